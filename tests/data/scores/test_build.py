from __future__ import annotations

import collections
import difflib
import errno
import importlib.util
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest

from slapkit.data import scores
from slapkit.data.scores import melody
from slapkit.data.scores.build import _identity
from slapkit.data.scores.config import CorpusConfig
from slapkit.data.scores.convert import cache_path, convert_works
from slapkit.data.scores.score import Score
from slapkit.data.scores.works import Work, list_works
from slapkit.errors import ConfigError, DataError, StorageError


def fingerprint(folder: Path) -> str:
    return json.loads((folder / "corpus.json").read_text())["fingerprint"]


def test_settings_are_checked_before_anything_is_built(tmp_path):
    for wrong in ({"size": "huge"}, {"clips": 3}, {"seed": -1}, {"sample_rate": 12}, {"workers": 0}, {"sise": "quick"}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            scores.build(root=tmp_path, **wrong)
    with pytest.raises(DataError, match="none.sf2"):
        scores.build("smoke", root=tmp_path, soundfont="none.sf2")
    assert list(tmp_path.iterdir()) == []


def test_folders_of_different_settings_differ():
    variants = [
        {},
        {"seed": 1},
        {"size": "full"},
        {"clips": 99},
        {"clip_s": 5.0},
        {"sample_rate": 24_000},
        {"soundfont": "a"},
    ]
    names = [CorpusConfig(**variant).folder_name("0123456789") for variant in variants]
    assert len(set(names)) == len(names) and names[0] == "scores-quick"
    assert _identity(CorpusConfig(workers=1), "x") == _identity(CorpusConfig(workers=7, soundfont="other/path"), "x")


@pytest.mark.slow
def test_a_corpus_is_what_its_card_says(small_corpus):
    import soundfile

    rows = scores.read_rows(small_corpus)
    assert len(rows) == 40 and len({row["file_name"] for row in rows}) == 40
    assert collections.Counter(row["split"] for row in rows) == {"train": 31, "validation": 3, "test": 6}
    for row in rows:
        info = soundfile.info(small_corpus / row["file_name"])
        assert (info.samplerate, info.channels, info.frames, info.subtype) == (32_000, 1, 320_000, "PCM_16")
        assert row["file_name"].split("/")[1] == row["split"]
        assert len(row["captions"]) >= 5 and len(row["caption_frames"]) == len(row["captions"])
        wave, _ = soundfile.read(small_corpus / row["file_name"])
        assert np.isfinite(wave).all() and 0.02 < np.sqrt(np.mean(wave**2)) < 0.15 and np.abs(wave).max() <= 1.0
    assert scores.verify(small_corpus) == [] and scores.is_complete(small_corpus)
    card = (small_corpus / "README.md").read_text()
    for words in ("Source and terms", "may not be used commercially", fingerprint(small_corpus)[:16], "| test | 6 |"):
        assert words in card
    assert all(
        (small_corpus / "figures" / f"{name}.svg").stat().st_size > 1000 for name in ("styles", "instruments", "facts")
    )
    assert not list(small_corpus.rglob("*.tmp")) and not (small_corpus / "journal.jsonl").exists()


@pytest.mark.slow
def test_a_complete_corpus_returns_at_once(small_corpus):
    before = (small_corpus / "corpus.json").stat().st_mtime_ns
    started = time.monotonic()
    assert scores.build(size="smoke", clips=40, root=small_corpus.parent, progress=False) == small_corpus
    assert time.monotonic() - started < 2
    assert (small_corpus / "corpus.json").stat().st_mtime_ns == before


@pytest.mark.slow
def test_the_fingerprint_does_not_depend_on_workers_or_the_cache(small_corpus, tmp_path):
    again = scores.build(size="smoke", clips=40, root=tmp_path, workers=1, progress=False)
    assert fingerprint(again) == fingerprint(small_corpus)
    assert (again / "metadata.jsonl").read_bytes() == (small_corpus / "metadata.jsonl").read_bytes()


@pytest.mark.slow
def test_lost_and_damaged_files_are_made_again(small_corpus, tmp_path):
    shutil.copytree(small_corpus.parent, tmp_path / "data")
    copy = tmp_path / "data" / small_corpus.name
    rows = scores.read_rows(copy)
    (copy / rows[0]["file_name"]).unlink()
    (copy / rows[1]["file_name"]).write_bytes(b"OggS")
    kept = (copy / rows[5]["file_name"]).stat().st_mtime_ns
    for notes in list((tmp_path / "data" / ".notes").iterdir())[:3]:
        notes.write_bytes(notes.read_bytes()[:100])
    scores.build(size="smoke", clips=40, root=tmp_path / "data", progress=False)
    assert scores.verify(copy) == [] and fingerprint(copy) == fingerprint(small_corpus)
    assert (copy / rows[5]["file_name"]).stat().st_mtime_ns == kept


@pytest.mark.slow
def test_a_build_killed_again_and_again_completes_with_the_same_fingerprint(small_corpus, tmp_path):
    root = tmp_path / "data"
    code = (
        "import sys; from slapkit import corpus; scores.build(size='smoke', clips=40, root=sys.argv[1], progress=False)"
    )
    chance = random.Random(0)
    for _ in range(5):
        build = subprocess.Popen([sys.executable, "-c", code, str(root)])
        time.sleep(chance.uniform(0.3, 3.0))
        build.send_signal(signal.SIGKILL)
        build.wait()
    folder = scores.build(size="smoke", clips=40, root=root, progress=False)
    assert fingerprint(folder) == fingerprint(small_corpus)
    assert scores.verify(folder) == [] and not list(folder.rglob("*.tmp"))


@pytest.mark.slow
def test_a_full_disk_is_told_and_the_build_continues_later(small_corpus, tmp_path, monkeypatch):
    shutil.copytree(small_corpus.parent / ".notes", tmp_path / "data" / ".notes")
    replace = os.replace

    def full(source, target):
        if str(target).endswith("00020.flac"):
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        return replace(source, target)

    monkeypatch.setattr(os, "replace", full)  # the workers are forks: they see it too
    with pytest.raises(StorageError, match="00020.flac.*free some space"):
        scores.build(size="smoke", clips=40, root=tmp_path / "data", progress=False)
    monkeypatch.undo()
    folder = scores.build(size="smoke", clips=40, root=tmp_path / "data", progress=False)
    assert fingerprint(folder) == fingerprint(small_corpus)


@pytest.mark.slow
def test_no_work_group_or_melody_stands_in_two_splits(small_corpus):
    rows = scores.read_rows(small_corpus)
    for key in ("work", "group"):
        splits = collections.defaultdict(set)
        for row in rows:
            splits[row[key]].add(row["split"])
        assert all(len(found) == 1 for found in splits.values())
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


@pytest.mark.slow
def test_the_datasets_library_reads_the_folder_as_it_stands(small_corpus, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    import datasets

    if importlib.util.find_spec("torchcodec") is None:  # asked for even where nothing is decoded: any module will do
        monkeypatch.setitem(sys.modules, "torchcodec", types.ModuleType("torchcodec"))
        encoders = types.ModuleType("torchcodec.encoders")
        encoders.AudioEncoder = None
        monkeypatch.setitem(sys.modules, "torchcodec.encoders", encoders)

    loaded = datasets.load_dataset("audiofolder", data_dir=str(small_corpus), cache_dir=str(tmp_path))
    assert {split: len(part) for split, part in loaded.items()} == {"train": 31, "validation": 3, "test": 6}
    part = loaded["test"].cast_column("audio", datasets.Audio(decode=False))
    by_name = {row["file_name"].rsplit("/")[-1]: row for row in scores.read_rows(small_corpus)}
    for row in part:
        expected = by_name[Path(row["audio"]["path"]).name]
        assert row["captions"] == expected["captions"] and row["instruments"] == expected["instruments"]


@pytest.mark.slow
def test_works_that_cannot_be_converted_are_listed_and_left_out(tmp_path):
    good = "X:1\nT:Good\nM:4/4\nL:1/8\nK:G\nGABc dedB|GABc dedB|\n"
    texts = {"good": good, "empty": "", "nonsense": "<mei><broken"}
    works = [Work(name, "user", "reel", name, name, "", text) for name, text in texts.items()]
    works.append(Work("missing", "user", "reel", "missing", "missing", str(tmp_path / "good.xml")))
    (tmp_path / "good.xml").write_text("not a score at all")
    paths, failures = convert_works(works, tmp_path / "notes", workers=2, progress=False)
    assert list(paths) == ["good"] and set(failures) == {"empty", "nonsense", "missing"}
    assert all(failures.values()) and len(Score.read(paths["good"])) == 16


def test_the_full_size_is_planned_from_all_works():
    from slapkit.data.scores.config import CLIPS_PER_WORK
    from slapkit.data.scores.splits import choose_works

    config = CorpusConfig(size="full")
    assert config.n_clips == 30_000
    assert len(choose_works(list_works(), config.n_clips // CLIPS_PER_WORK, 0)) == len(list_works())
