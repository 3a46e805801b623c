"""The whole build: what a corpus holds, that it repeats, and that interruptions do no harm."""

import collections
import difflib
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from slapkit.data import scores
from slapkit.data.scores import melody
from slapkit.data.scores.convert import cache_path
from slapkit.data.scores.score import Score
from slapkit.data.scores.works import list_works
from slapkit.errors import ConfigError, DataError


def build(root: Path, **values) -> Path:
    return scores.build(size="smoke", clips=40, root=root, progress=False, **values)


def content(folder: Path) -> bytes:
    """The metadata, which hold a hash of each audio file."""
    assert scores.verify(folder) == [] and not list(folder.rglob("*.tmp"))
    return (folder / "metadata.jsonl").read_bytes()


def test_settings_are_checked_before_anything_is_built(tmp_path):
    for wrong in ({"size": "huge"}, {"clips": 3}, {"seed": -1}, {"sample_rate": 12}, {"workers": 0}, {"sise": "quick"}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            scores.build(root=tmp_path, **wrong)
    (tmp_path / "text.sf2").write_text("hello, this is text")
    for font in ("none.sf2", str(tmp_path / "text.sf2")):
        with pytest.raises(DataError, match=font):
            scores.build("smoke", root=tmp_path / "data", soundfont=font)
    assert not (tmp_path / "data").exists()


@pytest.mark.slow
def test_a_corpus_is_what_its_card_says(small_corpus):
    rows = scores.read_rows(small_corpus)
    assert len(rows) == 40 and len({row["file_name"] for row in rows}) == 40
    assert collections.Counter(row["split"] for row in rows) == {"train": 31, "validation": 3, "test": 6}
    for row in rows:
        info = soundfile.info(small_corpus / row["file_name"])
        assert (info.samplerate, info.channels, info.frames, info.subtype) == (32_000, 1, 320_000, "PCM_16")
        assert row["file_name"].split("/")[1] == row["split"]
        columns = ("captions", "caption_registers", "caption_frames", "caption_facts")
        assert {len(row[column]) for column in columns} == {10}
        wave, _ = soundfile.read(small_corpus / row["file_name"])
        assert np.isfinite(wave).all() and 0.02 < np.sqrt(np.mean(wave**2)) < 0.15 and np.abs(wave).max() <= 1.0
    assert content(small_corpus) and scores.is_complete(small_corpus)
    card = (small_corpus / "README.md").read_text()
    assert all(words in card for words in ("Source and terms", "may not be used commercially", "| test | 6 |"))
    before = (small_corpus / "corpus.json").stat().st_mtime_ns
    started = time.monotonic()
    assert build(small_corpus.parent) == small_corpus and time.monotonic() - started < 2
    assert (small_corpus / "corpus.json").stat().st_mtime_ns == before, "a complete corpus returns at once"


@pytest.mark.slow
def test_the_content_does_not_depend_on_workers_or_the_cache(small_corpus, tmp_path):
    assert content(build(tmp_path, workers=1)) == content(small_corpus)


@pytest.mark.slow
def test_lost_and_damaged_files_are_made_again(small_corpus, tmp_path):
    shutil.copytree(small_corpus.parent, tmp_path / "data")
    copy = tmp_path / "data" / small_corpus.name
    rows = scores.read_rows(copy)
    (copy / rows[0]["file_name"]).unlink()
    (copy / rows[1]["file_name"]).write_bytes(b"fLaC")
    kept = (copy / rows[5]["file_name"]).stat().st_mtime_ns
    for notes in list((tmp_path / "data" / ".notes").iterdir())[:3]:
        notes.write_bytes(notes.read_bytes()[:100])
    assert content(build(tmp_path / "data")) == content(small_corpus)
    assert (copy / rows[5]["file_name"]).stat().st_mtime_ns == kept


@pytest.mark.slow
def test_a_build_killed_again_and_again_completes_with_the_same_content(small_corpus, tmp_path):
    root = tmp_path / "data"
    code = "from slapkit.data import scores; scores.build(size='smoke', clips=40, root={!r}, progress=False)"
    chance = random.Random(0)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-c", code.format(str(root))], env=environment)
        time.sleep(chance.uniform(1.0, 3.0))
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert any(root.rglob("*.npz")), "the builds had begun"
    assert content(build(root)) == content(small_corpus)


@pytest.mark.slow
def test_no_work_group_or_melody_is_in_two_splits(small_corpus):
    rows = scores.read_rows(small_corpus)
    for key in ("work", "group"):
        pairs = {(row[key], row["split"]) for row in rows}
        assert len(pairs) == len({value for value, _ in pairs})
    works = {work.id: work for work in list_works()}
    lines = {}
    for name, split in {(row["work"], row["split"]) for row in rows}:
        score = Score.read(cache_path(works[name], small_corpus.parent / ".notes"))
        lines[name] = split, ["".join(chr(1000 + s) for s in melody.steps(score, part)) for part in score.parts]
    # An independent look: no two works of different splits share a run of steps that is most of either melody.
    for (_, (a, one)), (_, (b, other)) in itertools.combinations(lines.items(), 2):
        if a == b:
            continue
        for x, y in itertools.product((s for s in one if len(s) > 12), (s for s in other if len(s) > 12)):
            match = difflib.SequenceMatcher(None, x, y, autojunk=False).find_longest_match()
            assert match.size < max(10, 0.5 * min(len(x), len(y)))
