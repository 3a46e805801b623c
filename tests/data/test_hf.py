"""Data sets of the `datasets` library: what it saved is read, and what is read it has again."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from slapkit.data import collections, hf, read
from slapkit.errors import DataError, SlapkitError
from slapkit.runs import read_data

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def quiet(tmp_path, monkeypatch):
    """Keep what is unpacked below `tmp_path`."""
    monkeypatch.chdir(tmp_path)
    datasets.disable_progress_bars()


def sound(path, seed):
    soundfile.write(path, 0.1 * np.random.default_rng(seed).standard_normal(800), 8000)
    return path.read_bytes()


@pytest.fixture
def sounds(tmp_path):
    return [sound(tmp_path / f"{i}.flac", i) for i in range(6)]


def made(sounds, *, words="caption", splits=("train", "dev")):
    """Two splits of three rows, the last row of each without a sound."""

    def rows(first, data):
        audio = [{"bytes": one, "path": f"../s {i}.flac"} for i, one in enumerate(data[:2])] + [None]
        label = datasets.ClassLabel(names=["folk", "jazz"])
        columns = {
            "audio": audio, words: [f"{first} {i}" for i in range(3)], "genre": [0, 1, 1], "tempo": [90.5, None, 1e-5],
            "cover": [b"\x89PNG"] * 3,
        }  # fmt: skip
        found = datasets.Dataset.from_dict(columns).cast_column("audio", datasets.Audio(decode=False))
        return found.cast_column("audio", datasets.Audio()).cast_column("genre", label)

    return datasets.DatasetDict({splits[0]: rows("one", sounds), splits[1]: rows("two", sounds[3:])})


def saved(found, path):
    found.save_to_disk(path)


def parquet(found, path):
    (path / "data").mkdir(parents=True)
    for split, rows in found.items():
        rows.to_parquet(path / "data" / f"{split}-00000-of-00001.parquet")


def check(dataset, sounds):
    assert dataset.splits == {"train": 2, "validation": 2}
    assert [clip.captions for clip in dataset.split("train")] == [("one 0",), ("one 1",)]
    assert [clip.path.read_bytes() for clip in dataset.split("validation")] == sounds[3:5], "the bytes as they were"
    assert [clip.facts["genre"] for clip in dataset.split("train")] == ["folk", "jazz"]
    assert [clip.facts["tempo"] for clip in dataset.split("train")] == [90.5, None]
    assert [(p.row, p.reason) for p in dataset.problems] == [(3, "the row names no file"), (6, "the row names no file")]
    assert "left out: cover" in dataset.notes[0]


@pytest.mark.parametrize("write", [saved, parquet])
def test_what_datasets_saved_is_read_and_kept_as_files(write, sounds, tmp_path):
    write(made(sounds), tmp_path / "mine")
    dataset = read("mine")
    check(dataset, sounds)
    assert hf.name_of(Path(".")) == tmp_path.name
    assert dataset.name == "mine" and dataset.root.is_relative_to(tmp_path / "data" / "hf")
    assert dataset[0].path.name == "000000-s-0.flac", "no name leaves the folder"
    times = {path: path.stat().st_mtime_ns for path in dataset.root.rglob("*")}
    assert read("mine").fingerprint == dataset.fingerprint
    assert times == {path: path.stat().st_mtime_ns for path in dataset.root.rglob("*")}, "written once"
    assert collections.read("auto", "mine").fingerprint == dataset.fingerprint
    shutil.rmtree("mine")
    write(made(sounds[::-1]), tmp_path / "mine")
    assert read("mine").fingerprint != dataset.fingerprint, "other content is other data"


def test_what_a_kill_left_is_completed(sounds, tmp_path, monkeypatch):
    saved(made(sounds), tmp_path / "mine")
    whole, written = hf.atomic_write_bytes, []

    def killed(path, data):
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(path)
        whole(path, data)

    monkeypatch.setattr(hf, "atomic_write_bytes", killed)
    with pytest.raises(KeyboardInterrupt):
        read("mine")
    monkeypatch.setattr(hf, "atomic_write_bytes", whole)
    check(read("mine"), sounds)


def test_columns_are_named_where_they_cannot_be_found(sounds, tmp_path):
    saved(made(sounds, words="description", splits=("train", "valid")), tmp_path / "mine")
    with pytest.raises(DataError, match="no column of captions .*description.*caption="):
        read("mine")
    with pytest.raises(DataError, match="no column 'descripton': did you mean 'description'"):
        read("mine", caption="descripton")
    check(read("mine", caption="description"), sounds)
    bytes_alone = {"cover": [b"x"], "sound": sounds[:1], "text": ["x"]}
    datasets.Dataset.from_dict(bytes_alone).to_parquet(tmp_path / "one.parquet")
    with pytest.raises(DataError, match=r"several columns hold bytes \(cover, sound\)"):
        read("one.parquet")
    assert read("one.parquet", audio="sound")[0].path.read_bytes() == sounds[0]


def test_a_file_of_bytes_and_lists_of_captions(sounds, tmp_path):
    rows = {"flac": sounds[:2], "captions": [["a", "b"], ["c"]], "split": ["train", "eval"]}
    datasets.Dataset.from_dict(rows).to_parquet(tmp_path / "one.parquet")
    dataset = read(tmp_path / "one.parquet")
    assert [(clip.captions, clip.split) for clip in dataset] == [(("a", "b"), "train"), (("c",), "test")]
    assert [clip.path.suffix for clip in dataset] == [".flac", ".flac"], "by how they begin"


def test_there_and_back(sounds, tmp_path):
    rows = '{"file_name": "0.flac", "captions": ["x", "y"], "split": "train", "work": "w", "tempo": 90.5}\n'
    rows += '{"file_name": "1.flac", "captions": ["z"], "split": "test", "tags": ["a", "b"]}\n'
    (tmp_path / "metadata.jsonl").write_text(rows)
    ours = read(tmp_path)
    given = ours.to_datasets()
    assert {split: rows.column_names for split, rows in given.items()} == {
        "train": ["audio", "captions", "work", "tempo"], "test": ["audio", "captions", "tags"],
    }  # fmt: skip
    assert isinstance(given["train"].features["audio"], datasets.Audio)
    given.save_to_disk(tmp_path / "back")
    back = read("back")
    for clip, other in zip(sorted(back, key=lambda c: c.captions), sorted(ours, key=lambda c: c.captions)):
        assert clip.path.read_bytes() == other.path.read_bytes()
        assert (clip.captions, clip.split) == (other.captions, other.split)
        assert {k: v for k, v in clip.facts.items() if v is not None} == other.facts
    frame = ours.to_pandas()
    assert frame.captions.tolist() == [["x", "y"], ["z"]] and frame.split.tolist() == ["train", "test"]


def test_the_hub_is_asked_by_its_prefix_alone(sounds, tmp_path, monkeypatch):
    """The hub's client, which takes a folder for the hub's cache, is the real one; the network is closed."""
    with pytest.raises(DataError, match="'hf:owner/name' cannot be fetched: .*check the name"):
        read("hf:owner/name")
    with pytest.raises(DataError, match="no data set at owner/name"):
        read("owner/name")
    home = tmp_path / "hub" / "datasets--owner--name"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("0a1b" * 10)
    parquet(made(sounds), home / "snapshots" / ("0a1b" * 10))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    dataset = read("hf:owner/name", progress=False)
    check(dataset, sounds)
    assert dataset.name == "owner--name"
    assert read_data("hf:owner/name").fingerprint == dataset.fingerprint, "and so does -p data="


def test_without_the_library_its_extra_is_named(sounds, tmp_path, monkeypatch):
    saved(made(sounds), tmp_path / "mine")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(SlapkitError, match=r"pip install 'slapkit\[hf\]'"):
        read("mine")
