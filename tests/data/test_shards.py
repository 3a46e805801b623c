"""Packed collections: plain tar archives that sound like the files that went in, and nothing else gets out."""

from __future__ import annotations

import json
import shutil
import tarfile

import numpy as np
import pytest

from slapkit.data.shards import member, read_shards, write_shards
from slapkit.errors import AudioError, DataError
from slapkit.training.streaming import StreamStore
from tests.training.tones import tiny, write_collection

AUDIO = tiny().model.audio


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    return write_collection(tmp_path_factory.mktemp("stream") / "music")


@pytest.fixture(scope="module")
def packed(collection, tmp_path_factory):
    return write_shards(collection, tmp_path_factory.mktemp("p") / "packed", shard_bytes=300_000, progress=False)


@pytest.fixture
def copy(packed, tmp_path):
    return shutil.copytree(packed.root, tmp_path / "copy")


def test_a_packed_collection_says_what_the_files_said(packed, collection):
    assert [(c.id, c.captions, c.split, c.group) for c in packed] == [
        (c.id, c.captions, c.split, c.group) for c in collection
    ]
    assert packed.name == collection.name and packed.splits == {"train": 32, "validation": 8}
    shards = sorted((packed.root / "shards").glob("*.tar"))
    assert len(shards) > 3 and all(path.stat().st_size < 800_000 for path in shards)
    for clip, original in zip(packed, collection):
        content = member(clip.path)
        assert (content is None) == (clip.split == "validation")
        found = clip.path.read_bytes() if content is None else content.read()
        assert found == original.path.read_bytes()


def test_any_tar_program_reads_the_shards(packed, collection):
    names = []
    for path in sorted((packed.root / "shards").glob("*.tar")):
        with tarfile.open(path) as archive:
            for item in archive:
                names.append(item.name)
                assert archive.extractfile(item).read() == (collection.root / item.name).read_bytes()
    assert sorted(names) == [clip.id for clip in collection.split("train")] and names != sorted(names)


def test_windows_out_of_shards_are_those_of_the_files(packed, collection, tmp_path):
    sources = []
    for dataset in (packed, collection):
        store = StreamStore(dataset, AUDIO.frontend, AUDIO.window_frames, tmp_path, progress=False)
        sources.append((store, store.source([c.id for c in dataset.split("train")], AUDIO.window_frames)))
    (first, shards), (second, files) = sources
    assert (first.mean, first.std) == (second.mean, second.std)
    for clip in range(len(files)):
        for place in (0, 2**52, 2**53 - 1):
            np.testing.assert_array_equal(shards.window_of(clip, place), files.window_of(clip, place))


def test_packing_again_gives_the_same_bytes(packed, collection, tmp_path):
    write_shards(collection, tmp_path / "again", shard_bytes=300_000, progress=False)
    for path in packed.root.rglob("*"):
        if path.is_file():
            assert (tmp_path / "again" / path.relative_to(packed.root)).read_bytes() == path.read_bytes(), path
    with pytest.raises(DataError, match="holds a data set already"):
        write_shards(collection, tmp_path / "again", progress=False)


def test_an_interrupted_packing_is_not_taken_for_one(collection, tmp_path, monkeypatch):
    from slapkit.data import shards

    monkeypatch.setattr(shards, "atomic_path", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_shards(collection, tmp_path / "x", progress=False)
    with pytest.raises(DataError, match="no packed data set"):
        read_shards(tmp_path / "x")
    monkeypatch.undo()
    assert len(write_shards(collection, tmp_path / "x", progress=False)) == len(collection)


@pytest.mark.parametrize("id", ["../../etc/passwd", "/etc/passwd", "audio/../../x.wav", "a\\..\\b", "", "a\0b"])
def test_names_that_leave_the_folder_are_refused(copy, id):
    lines = (copy / "metadata.jsonl").read_text().splitlines()
    row = json.loads(lines[2]) | {"id": id}
    (copy / "metadata.jsonl").write_text("\n".join([*lines[:2], json.dumps(row), *lines[3:]]) + "\n")
    with pytest.raises(DataError, match="line 3: .* leaves the folder"):
        read_shards(copy)


def test_damage_is_told(copy):
    dataset = read_shards(copy)
    clip = next(c for c in dataset.split("train") if "00000.tar" in str(c.path))
    shard = copy / "shards" / "00000.tar"
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(AudioError, match="is cut off"):
        member(clip.path)
    with pytest.raises(AudioError, match="holds no 'audio/none.wav'"):
        member(shard / "audio" / "none.wav")
    assert member(copy / "shards" / "absent.tar" / "a.wav") is None
    shard.unlink()
    with pytest.raises(DataError, match="lacks 1 of"):
        read_shards(copy)
    (copy / "metadata.jsonl").write_text('{"id": 3}\n')
    with pytest.raises(DataError, match="cannot be read"):
        read_shards(copy)


def test_an_index_that_claims_too_much(copy, packed):
    index = json.loads((copy / "shards.json").read_text())
    id = packed.split("train")[0].id
    for place in ([index["members"][id][0], 0, 10**11], [index["members"][id][0], -5, 10]):
        other = copy.parent / f"c{place[1]}"
        shutil.copytree(copy, other)
        (other / "shards.json").write_text(json.dumps(index | {"members": index["members"] | {id: place}}))
        clip = next(c for c in read_shards(other) if c.id == id)
        with pytest.raises(AudioError, match="is cut off|cannot be read"):
            member(clip.path)
    (copy / "shards.json").write_text(json.dumps(index | {"format": 9}))
    from slapkit.data import shards

    shards._index.cache_clear()
    with pytest.raises(DataError, match="format 9"):
        read_shards(copy)
