"""WebDataset: what we write `webdataset` and `datasets` read, and what they write is read and streamed in place."""

import errno
import hashlib
import io
import json
import shutil
import tarfile

import numpy as np
import pytest
import torch
import webdataset

from slapkit.audio import features
from slapkit.data import collections, read, write_table, write_webdataset, writing
from slapkit.data.scan import sources_of
from slapkit.errors import DataError, StorageError
from slapkit.training.streaming import StreamBatches, StreamStore
from slapkit.viz.widgets.map import audio_of
from tests.training.test_streaming import assert_same, drawn, owners
from tests.training.tones import NoText, tiny, write_collection

CHOSEN = tiny({"masks": 0, "batch_size": 8, "steps": 40})
AUDIO = CHOSEN.model.audio


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_collection(tmp_path_factory.mktemp("files") / "music")


@pytest.fixture(scope="module")
def tars(files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tars") / "music"
    write_webdataset(files, folder, clips_per_tar=10)
    return folder


def known(dataset, *, by=lambda clip: clip.captions):
    hashes = dataset.audio_hashes(progress=False)
    return sorted((by(clip), digest, clip.split) for clip, digest in zip(dataset, hashes))


def test_there_and_back(files, tars):
    assert sorted(path.name for path in tars.iterdir()) == [
        "train-000000.tar", "train-000001.tar", "train-000002.tar", "train-000003.tar", "validation-000000.tar",
    ]  # fmt: skip
    dataset = read(tars)
    assert known(dataset) == known(files) and not dataset.problems
    assert dataset[0].id == "train-000000.tar/000000000.wav" and dataset.splits == files.splits
    assert len(collections.read("auto", tars)) == len(files)
    assert len(audio_of(dataset[0].path)[0]) == len(files[0].path.read_bytes()), "a map plays it"
    with pytest.raises(DataError, match="holds tars already"):
        write_webdataset(files, tars)
    with pytest.raises(DataError, match="000000000.wav lies in a tar.*write_webdataset"):
        write_table(dataset)
    assert not (tars / "metadata.jsonl").exists(), "it would hide the tars"


def test_tars_are_written_all_or_none(files, tmp_path, monkeypatch):
    shown = []

    def full(tar, key, clip):
        if len(shown) == 15:
            raise OSError(errno.ENOSPC, "No space left on device")
        shown.append(key)

    monkeypatch.setattr(writing, "_add", full)
    with pytest.raises(StorageError, match="train-000001.tar"):
        write_webdataset(files, tmp_path, clips_per_tar=10)
    assert not list(tmp_path.iterdir())


def test_webdataset_and_datasets_read_what_we_write(files, tars, tmp_path):
    found = webdataset.WebDataset([str(p) for p in sorted(tars.glob("train*"))], shardshuffle=False)
    samples = list(found)
    train = files.split("train")
    assert [json.loads(sample["json"])["text"] for sample in samples] == [list(clip.captions) for clip in train]
    for sample, clip in zip(samples, train):
        assert sample[clip.path.suffix[1:]] == clip.path.read_bytes()
    datasets = pytest.importorskip("datasets")
    flac = files.with_clips([clip for clip in files if clip.path.suffix == ".flac"])
    write_webdataset(flac, tmp_path / "flac")
    try:
        import torchcodec  # noqa: F401
    except (ImportError, RuntimeError, OSError):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(datasets.Audio, "encode_example", lambda self, value: value)
            rows = list(_rows_of(datasets, tmp_path / "flac"))
    else:
        rows = list(_rows_of(datasets, tmp_path / "flac"))
    train = flac.split("train").clips
    assert [(row["json"]["text"], row["flac"]["bytes"]) for row in rows] == [
        (list(clip.captions), clip.path.read_bytes()) for clip in train
    ]


def _rows_of(datasets, folder):
    found = datasets.load_dataset(str(folder), streaming=True)["train"]
    return found.cast_column("flac", datasets.Audio(decode=False))


def test_what_webdataset_writes_is_read(files, tmp_path):
    (tmp_path / "eval").mkdir()
    flac = next(clip.path for clip in files if clip.path.suffix == ".flac").read_bytes()
    with webdataset.TarWriter(str(tmp_path / "eval" / "0.tar")) as sink:
        sink.write({"__key__": "a/0", "flac": flac, "json": {"text": ["x", "y"], "tag": ["folk"], "split": "dev"}})
        sink.write({"__key__": "b", "flac": flac, "txt": "one\ncaption"})
        sink.write({"__key__": "c", "flac": flac, "json": {"title": "z"}})
        sink.write({"__key__": "d", "txt": "no sound"})
        sink.write({"__key__": "b", "flac": flac, "txt": "the key again"})
        sink.write({"__key__": "e", "flac": flac, "txt": "x", "json": b"{"})
    dataset = read(tmp_path)
    assert {clip.id: (clip.captions, clip.split, clip.facts) for clip in dataset} == {
        "eval/0.tar/a/0.flac": (("x", "y"), "validation", {"tag": ["folk"]}),
        "eval/0.tar/b.flac": (("one caption",), "test", {}),
    }
    assert len(dataset) + len(dataset.problems) == 6, "used or listed"
    assert any("2 members were left out: repeated" in problem.reason for problem in dataset.problems)
    assert not any("of the table" in failure.reason for failure in sources_of(dataset)[1]), "there is no table"


def packed(path, *members):
    """Write a tar with members under any name."""
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def test_names_in_a_tar_stay_in_it_however_they_are_written(files, tmp_path):
    private = files[0].path  # what a tar from a stranger may name, and must not show
    flac = next(clip.path for clip in files if clip.path.suffix == ".flac").read_bytes()
    for number, name in enumerate(("./a/0", "/a/0", f"{private.with_suffix('')}", "../a/0", "x//../a/0", "a\\0")):
        root = tmp_path / str(number)
        root.mkdir()
        packed(root / "x.tar", (f"{name}{private.suffix}", flac), (f"{name}.txt", b"a jig"))
        dataset = read(root)
        assert [(clip.captions, clip.path.is_relative_to(root / "x.tar")) for clip in dataset] == [(("a jig",), True)]
        assert dataset.audio_hashes() == [hashlib.sha256(flac).hexdigest()]


def test_tars_with_an_index_in_parquet_are_read(files, tmp_path):
    import pandas as pd

    about = json.dumps({"caption": "a jig", "status": "success"}).encode()
    packed(tmp_path / "00000.tar", ("0.wav", files[0].path.read_bytes()), ("0.json", about), ("0.txt", b"a jig"))
    pd.DataFrame({"caption": ["a jig"], "status": ["success"]}).to_parquet(tmp_path / "00000.parquet")
    for dataset in (read(tmp_path), collections.read("auto", tmp_path)):
        assert dataset[0].captions == ("a jig",) and "00000.parquet: it is not read, the tars are" in dataset.notes
    with pytest.raises(DataError, match="no column 'sound'"):
        read(tmp_path, audio="sound")


def test_facts_that_pandas_has_not_are_none(files, tmp_path):
    for number in range(2):
        about = json.dumps({"text": "a jig", "work": float("nan"), "tempo": [float("inf")]}).encode()
        packed(tmp_path / f"{number}.tar", ("0.wav", files[number].path.read_bytes()), ("0.json", about))
    dataset = read(tmp_path)
    assert [clip.facts for clip in dataset] == [{"work": None, "tempo": [None]}] * 2
    assert len({clip.group for clip in dataset}) == 2, "no group of all that have none"


@pytest.mark.parametrize(("split", "listed"), [("", 0), ("nan", 0), (None, 0), (3, 1)])
def test_a_split_of_nothing_is_none(files, tmp_path, split, listed):
    about = json.dumps({"text": "a jig", "split": split}).encode()
    packed(tmp_path / "x.tar", ("0.wav", files[0].path.read_bytes()), ("0.json", about))
    dataset = read(tmp_path)
    assert dataset.splits == {} and [p.value for p in dataset.problems] == [f"x.tar/0.wav: {split}"] * listed


def test_what_is_called_a_tar_and_is_none_is_listed(tars, tmp_path):
    (tmp_path / "folder.tar").mkdir()
    (tmp_path / "gone.tar").symlink_to("nowhere.tar")
    (tmp_path / "outside.tar").symlink_to(tars / "train-000000.tar")
    with pytest.raises(DataError, match="gone.tar.*\n.*outside.tar|outside.tar.*\n.*gone.tar"):
        read(tmp_path)
    with pytest.raises(DataError, match="no layout known"):
        collections.read("auto", tmp_path)
    shutil.copy(tars / "train-000000.tar", tmp_path)
    dataset = read(tmp_path)
    assert len(dataset) == 10 and [problem.value for problem in dataset.problems] == ["gone.tar", "outside.tar"]
    assert "leaves the folder" in dataset.problems[1].reason


@pytest.mark.parametrize("cut", [0.3, 0.55, 0.9, "end"])
def test_a_tar_cut_off_is_listed(tars, tmp_path, cut):
    shutil.copytree(tars, tmp_path / "music")
    path = tmp_path / "music" / "train-000001.tar"
    data = path.read_bytes()
    path.write_bytes(data.rstrip(b"\0") if cut == "end" else data[: int(cut * len(data))])
    dataset = read(tmp_path / "music")
    said = [problem.reason for problem in dataset.problems if problem.value == "train-000001.tar"]
    assert len(said) == 1 and "cut off" in said[0]
    assert len(read(tars)) - len(dataset) <= 10


@pytest.mark.parametrize(("name", "words"), [("x.tar", "compressed"), ("x.tar.gz", "unpack it")])
def test_compressed_tars_are_named(tmp_path, name, words):
    with tarfile.open(tmp_path / name, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("0.flac"))
    with pytest.raises(DataError, match=f"{name}(.|\n)*{words}|{words}(.|\n)*{name}"):
        read(tmp_path)


def stored(dataset, cache):
    return StreamStore(dataset, AUDIO.frontend, AUDIO.window_frames, cache, progress=False)


def test_streaming_from_tars_draws_as_from_files(files, tars, tmp_path):
    """A pure function of seed and step, whoever decodes, wherever it begins, however it is shared."""
    dataset = read(tars)

    def make(store, dataset, workers=0, **options):
        source = store.source([clip.id for clip in dataset.split("train")], AUDIO.window_frames)
        return StreamBatches(source, NoText(), owners(len(source)), CHOSEN.train, workers=workers, **options)

    store = stored(dataset, tmp_path / "t")
    assert store.fingerprint == stored(dataset, tmp_path / "t").fingerprint
    whole = drawn(make(store, dataset), range(6))
    assert_same(whole, drawn(make(stored(files, tmp_path / "f"), files), range(6)))
    assert_same(drawn(make(store, dataset, workers=2), range(4, 6)), whole[4:])
    ranks = [drawn(make(store, dataset, rank=rank, devices=2), [3])[0] for rank in range(2)]
    assert_same([[torch.cat(values) for values in zip(*ranks)]], whole[3:4])
    (kept,) = (tmp_path / "t").glob("*.features")
    assert np.array_equal(kept.read_bytes(), next((tmp_path / "f").glob("*.features")).read_bytes()), "by content"
    with pytest.raises(Exception, match=r"train-000000.tar/none.flac does not exist"):
        features.extract(tars / "train-000000.tar" / "none.flac", AUDIO.frontend)
