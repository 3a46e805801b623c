"""Marks: kept on disk, and right answers beside the first one."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slapkit.data.dataset import AudioTextDataset, Clip
from slapkit.errors import LibraryError
from slapkit.metrics import retrieval_scores
from slapkit.metrics.embedded import make
from slapkit.search.marks import Marks, scores_with_marks


def test_marks_are_kept(tmp_path):
    marks, hostile = Marks(tmp_path), "<script>alert(1)</script>\u202e"
    for text, track in (("slow  flute ", "a.ogg"), ("slow flute", "b.ogg"), ("slow flute", "a.ogg"), (hostile, "c")):
        marks.add(text, track)
    again = Marks(tmp_path / "marks.json")
    assert again.pairs == marks.pairs == [("slow flute", "a.ogg"), ("slow flute", "b.ogg"), (hostile, "c")]
    for track in ("a.ogg", "nobody"):
        again.remove("slow flute", track)
    assert Marks(tmp_path).of(" slow flute") == ["b.ogg"] and len(again) == 2
    with pytest.raises(LibraryError, match="no text"):
        marks.add("  ", "a.ogg")


def test_two_who_mark_keep_the_marks_of_both(tmp_path):
    one, other = Marks(tmp_path), Marks(tmp_path)
    one.add("slow flute", "a.ogg")
    other.add("slow flute", "b.ogg")
    assert Marks(tmp_path).of("slow flute") == ["a.ogg", "b.ogg"]
    one.remove("slow flute", "b.ogg")
    other.add("fast jig", "c.ogg")
    assert Marks(tmp_path).pairs == other.pairs == [("slow flute", "a.ogg"), ("fast jig", "c.ogg")]


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"format": 9, "marks": []}', '{"format": 1, "marks": [{"text": 3, "track": "a"}]}']
)
def test_a_file_that_is_no_marks_is_left_as_it_is(tmp_path, text):
    (tmp_path / "marks.json").write_text(text)
    with pytest.raises(LibraryError, match="marks.json"):
        Marks(tmp_path)
    assert (tmp_path / "marks.json").read_text() == text


def world(rng, count=7, per_clip=2):
    """Embed clips by chance; some captions are shared."""
    words = [[f"caption {rng.integers(10)}" for _ in range(per_clip)] for _ in range(count)]
    clips = AudioTextDataset("nowhere", [Clip(f"{i}.ogg", Path(f"{i}.ogg"), tuple(own)) for i, own in enumerate(words)])
    arrays = {}
    for side, rows in (("audio", count), ("text", count * per_clip)):
        for kind in "qz":
            x = rng.standard_normal((rows, 4))
            arrays[f"{kind}_{side}"] = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    return make(clips, arrays)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000))
def test_marked_clips_are_right_answers_too(tmp_path_factory, seed):
    rng = np.random.default_rng(seed)
    embedded = world(rng)
    audio, text, captions = embedded.audio().astype(float), embedded.text().astype(float), embedded.captions
    ids, marks = [clip.id for clip in embedded.clips], Marks(tmp_path_factory.mktemp("marks") / "marks.json")
    result = scores_with_marks(embedded, marks)
    plain = retrieval_scores(embedded.space().text_to_audio)
    assert result["marks"] == 0 and result["q"]["before"] == result["q"]["after"] == plain != result["z"]["before"]
    for _ in range(6):
        marks.add(captions[rng.integers(len(captions))], ids[rng.integers(len(ids))])
    known = len(marks)
    marks.add("a caption of another split", ids[0])
    marks.add(captions[0], "track of another split")
    ranks = []
    for row, caption in enumerate(captions):
        right = {i for i, clip in enumerate(embedded.clips) if caption in clip.captions}
        right |= {i for i, id in enumerate(ids) if (caption, id) in marks.pairs}
        scores = [float(text[row] @ clip) for clip in audio]
        ranks.append(1 + min(sum(s > scores[i] for s in scores) for i in right))
    result = scores_with_marks(embedded, marks)
    assert result["marks"] == known and result["q"]["before"] == plain
    assert result["q"]["after"]["mean_rank"] == pytest.approx(np.mean(ranks) / len(ids))
    assert result["q"]["after"]["R@5"] == pytest.approx(np.mean(np.array(ranks) <= 5))
