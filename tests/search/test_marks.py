"""Marks: kept on disk, and right answers beside the first one."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slapkit.data.dataset import AudioTextDataset, Clip
from slapkit.errors import LibraryError
from slapkit.metrics import retrieval_scores, text_to_audio_ranks
from slapkit.search.marks import Marks, scores_with_marks, text_to_audio_with_marks


def unit(rng, *shape):
    x = rng.standard_normal(shape)
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def test_marks_are_kept(tmp_path):
    marks = Marks(tmp_path)
    assert len(marks) == 0 and not (tmp_path / "marks.json").exists()
    marks.add("slow  flute ", "a.ogg")
    marks.add("slow flute", "b.ogg")
    marks.add("slow flute", "a.ogg")
    marks.add("<script>alert(1)</script>\u202e", "c.ogg")
    again = Marks(tmp_path / "marks.json")
    assert again.pairs == marks.pairs and len(again) == 3
    assert again.of(" slow flute") == ["a.ogg", "b.ogg"] and ("slow flute", "b.ogg") in again
    again.remove("slow flute", "a.ogg")
    again.remove("slow flute", "nobody")
    assert Marks(tmp_path).of("slow flute") == ["b.ogg"]
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
    with pytest.raises(LibraryError, match="marks.json holds no marks"):
        Marks(tmp_path)
    assert (tmp_path / "marks.json").read_text() == text


def world(seed, tracks=7, captions=15):
    rng = np.random.default_rng(seed)
    audio, text = unit(rng, tracks, 4), unit(rng, captions, 4)
    owners = rng.integers(0, tracks, captions)
    words = [f"caption {rng.integers(0, 10)}" for _ in range(captions)]  # some captions are shared
    return audio, text, owners, words, [f"{i}.ogg" for i in range(tracks)]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000))
def test_no_marks_change_nothing_and_marks_follow_a_slow_oracle(tmp_path_factory, seed):
    audio, text, owners, words, ids = world(seed)
    marks = Marks(tmp_path_factory.mktemp("marks") / "marks.json")
    plain = text_to_audio_ranks(audio=audio, text=text, clip_of_caption=owners)

    def ranks():
        return text_to_audio_with_marks(
            audio=audio, text=text, clip_of_caption=owners, captions=words, ids=ids, marks=marks.pairs
        )

    for a, b in zip(plain, ranks()):
        np.testing.assert_array_equal(a, b)
    rng = np.random.default_rng(seed)
    for _ in range(6):
        marks.add(words[rng.integers(len(words))], ids[rng.integers(len(ids))])
    marks.add("a caption of another split", ids[0])
    marks.add(words[0], "track of another split")
    after = ranks()
    for row, caption in enumerate(words):
        right = {int(owners[row])} | {i for i, id in enumerate(ids) if (caption, id) in marks}
        scores = [float(text[row].astype(float) @ track) for track in audio.astype(float)]
        assert after.expected[row] == 1 + min(sum(s > scores[i] for s in scores) for i in right)
    assert (after.expected <= plain.expected).all(), "a mark never makes a caption worse"
    assert retrieval_scores(after)["R@1"] >= retrieval_scores(plain)["R@1"]


def test_scores_before_and_after(tmp_path):
    audio, text, owners, words, ids = world(3)
    arrays = {f"{kind}_{side}": x for kind in "qz" for side, x in (("audio", audio), ("text", text))}
    arrays["z_text"] = -text
    clips = AudioTextDataset(tmp_path, [Clip(id, tmp_path / id, ()) for id in ids])
    marks = Marks(tmp_path / "marks.json")
    result = scores_with_marks(arrays, words, owners, clips, marks)
    assert result["marks"] == 0 and result["q"]["before"] == result["q"]["after"] != result["z"]["before"]
    expected = retrieval_scores(text_to_audio_ranks(audio=audio, text=text, clip_of_caption=owners))
    assert result["q"]["before"] == expected
    for caption in words:
        marks.add(caption, ids[int(np.argmax(audio @ text[words.index(caption)]))])
    marks.add("elsewhere", ids[0])
    result = scores_with_marks(arrays, words, owners, clips, marks)
    assert result["marks"] == len(set(words)) and result["q"]["after"]["R@1"] > expected["R@1"]
    assert result["q"]["before"] == expected
    json.dumps(result, allow_nan=False)
