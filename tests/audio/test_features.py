"""Features: one way from a file to them, and a cache that content decides, kills cost nothing and damage is noticed."""

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile
import torch

from slapkit import _rows
from slapkit.audio import decode, features
from slapkit.audio.features import FeatureCache, build, cache_path, extract
from slapkit.audio.frontend import FrontendConfig, LogMel
from slapkit.data import read
from slapkit.errors import AudioError, ConfigError, DataError, StorageError
from slapkit.models.embed import read_features

SMALL = FrontendConfig(sample_rate=8000, n_fft=256, hop=160, n_mels=16, f_max=4000.0, min_s=0.5)


def make(folder, cache, **options):
    return build(read(folder).audio_files(), SMALL, cache, progress=False, **options)


@pytest.fixture
def counted(monkeypatch):
    """Names of the files whose features were computed, in order."""
    done = []

    def count(path, frontend):
        done.append(os.path.basename(path))
        return extract(path, frontend)

    monkeypatch.setattr(features, "extract", count)
    return done


def by_id(store):
    return {id: np.array(store.row(row)) for row, id in enumerate(store.ids)}


def assert_same(a, b):
    assert a.ids == b.ids and a.failures == b.failures and (a.mean, a.std) == pytest.approx((b.mean, b.std))
    assert all(np.array_equal(x, y) for x, y in zip(by_id(a).values(), by_id(b).values(), strict=True))


def test_rows_are_the_log_mel_of_the_files(make_dataset, tmp_path):
    dataset = read(make_dataset())
    train = [clip.id for clip in dataset.split("train")]
    store = build(dataset.audio_files(), SMALL, tmp_path / "cache", moments_of=train, progress=False)
    assert len(store) == len(dataset) == 6 and not store.failures and store.ids == [clip.id for clip in dataset]
    for row, clip in enumerate(dataset.clips):
        expected = LogMel(SMALL)(torch.from_numpy(decode.read(clip.path, sample_rate=8000))[None])[0]
        assert store.lengths[row] == len(expected) and store.row_of(clip.id) == row
        assert np.array_equal(store.row(row), expected.numpy().astype(np.float16))
    values = np.concatenate([store.row(store.row_of(id)) for id in train]).astype(np.float64)
    assert (store.mean, store.std) == (pytest.approx(values.mean()), pytest.approx(values.std()))
    with pytest.raises(DataError, match="'x.wav'"):
        store.row_of("x.wav")


def write_wave(path, wave):
    soundfile.write(path, wave, 8000, subtype="FLOAT")
    return path


@pytest.mark.parametrize(
    "wave",
    [
        0.1 * np.random.default_rng(0).standard_normal(9000).astype(np.float32),
        0.1 * np.random.default_rng(1).standard_normal(1000).astype(np.float32),  # shorter than min_s
        np.zeros(8000, dtype=np.float32),
        np.full(8000, np.nan, dtype=np.float32),
    ],
    ids=["plain", "short", "silent", "NaN"],
)
@pytest.mark.parametrize("length", [20, 60])
def test_every_way_gives_the_same_features_and_the_same_errors(make_dataset, tmp_path, wave, length):
    root = make_dataset(count=2)
    path = write_wave(root / "audio/0.wav", wave)

    def cached():
        store = make(root, tmp_path / "cache")
        if "audio/0.wav" in store.failures:
            raise AudioError(store.failures["audio/0.wav"])
        return store.row(store.row_of("audio/0.wav"))

    ways = {
        "direct": lambda: extract(path, SMALL),
        "array": lambda: extract(wave, SMALL, sample_rate=8000),
        "cached": cached,
        "embedded": lambda: next(read_features([path], SMALL)),
        "embedded array": lambda: next(read_features([wave], SMALL, sample_rate=8000)),
    }
    try:
        whole = extract(path, SMALL)
    except AudioError as error:
        kind = "silent" if "silent" in str(error) else "NaN"
        for way in [*ways.values(), lambda: features.window(path, SMALL, length, 0, name="a")]:
            with pytest.raises(AudioError, match=kind):
                way()
        return
    for way in ways.values():
        found = way()
        assert found.dtype == np.float16 and np.array_equal(found, whole)
    window = features.window(path, SMALL, length, 0, name="a")
    assert window.dtype == np.float16
    assert np.abs(window - np.resize(whole, (length, 16)).astype(np.float32)).max() < 0.1  # seams resample anew


def test_windows_of_rows(make_dataset, tmp_path):
    store = make(make_dataset(count=3), tmp_path / "cache")
    n = int(store.lengths[1])
    crop = store.crop([1, 0, 1], [3, 0, n - 2], 5)
    assert crop.dtype == torch.float32 and crop.shape == (3, 5, 16)
    assert np.array_equal(crop[0].numpy(), store.row(1)[3:8].astype(np.float32))
    assert np.array_equal(crop[2].numpy(), store.row(1)[[n - 2, n - 1, 0, 1, 2]].astype(np.float32))
    for rows, starts, frames in [([3], [0], 5), ([-1], [0], 5), ([0], [n], 5), ([0], [-1], 5), ([0, 1], [0], 5)]:
        with pytest.raises(ConfigError):
            store.crop(rows, starts, frames)
    with pytest.raises(ConfigError):
        store.crop([0], [0], 0)


def test_content_is_the_key(make_dataset, tmp_path, counted):
    root = make_dataset()
    first = by_id(make(root, tmp_path / "cache"))
    test = build(read(root).split("test").audio_files(), SMALL, tmp_path / "cache", progress=False)
    assert len(test) == 2 and len(counted) == 6, "a part costs nothing"
    shutil.copy(root / "audio/3.wav", root / "audio/5.wav")  # equal files share a row
    with open(root / "metadata.jsonl", "a") as file:
        soundfile.write(root / "audio/new.wav", 0.2 * np.sin(np.arange(8000)), 8000)
        file.write("\n" + json.dumps({"file_name": "audio/new.wav", "captions": ["new"]}))
    other = tmp_path / "elsewhere"
    root.rename(other)
    found = by_id(make(other, tmp_path / "cache"))
    assert counted[6:] == ["new.wav"], "only what is new is computed, wherever it is"
    assert np.array_equal(found["audio/5.wav"], first["audio/3.wav"])
    build(read(other).audio_files(), SMALL.replace(hop=80), tmp_path / "cache", progress=False)
    assert len(counted) == 7 + 6, "each front end has its own"


def break_some(root):
    """Spoil clips 1 to 4 of a data set, each in another way; 5 and 6 have other channels and another rate."""
    rng = np.random.default_rng(0)
    (root / "audio/1.wav").write_bytes(b"not audio at all")
    soundfile.write(root / "audio/2.wav", np.zeros(8000), 8000)
    soundfile.write(root / "audio/3.wav", np.full(8000, np.nan), 8000, subtype="FLOAT")
    soundfile.write(root / "audio/4.wav", np.zeros(0), 8000)
    soundfile.write(root / "audio/5.wav", rng.uniform(-0.1, 0.1, (8000, 8)), 8000)
    soundfile.write(root / "audio/6.wav", rng.uniform(-0.1, 0.1, 11025), 11025)


def test_files_that_cannot_be_used_are_listed_whoever_computes(make_dataset, tmp_path, counted):
    root = make_dataset(count=8)
    break_some(root)
    store = make(root, tmp_path / "cache", workers=1)
    assert list(store.failures) == [f"audio/{i}.wav" for i in (1, 2, 3, 4)]
    for word, reason in zip(["decoded", "silent", "NaN", "zero length"], store.failures.values(), strict=True):
        assert word in reason and str(tmp_path) not in reason
    assert store.ids == [f"audio/{i}.wav" for i in (0, 5, 6, 7)]
    assert_same(make(root, tmp_path / "other", workers=2), store)
    assert cache_path(tmp_path / "other", SMALL).read_bytes() == cache_path(tmp_path / "cache", SMALL).read_bytes()
    computed = len(counted)
    assert_same(make(root, tmp_path / "cache"), store)
    assert len(counted) == computed, "failures are kept too"
    with pytest.raises(DataError, match="'audio/2.wav'.*silent"):
        store.row_of("audio/2.wav")


def test_a_file_that_crashes_or_hangs_the_decoder_fails_alone(make_dataset, tmp_path, monkeypatch):
    root = make_dataset()

    def harm(path, frontend):
        if path.endswith("3.wav"):
            os.kill(os.getpid(), signal.SIGKILL)
        if path.endswith("4.wav"):
            time.sleep(60)
        return extract(path, frontend)

    monkeypatch.setattr(features, "extract", harm)
    monkeypatch.setattr(features, "TIMEOUT_S", 1.0)
    store = make(root, tmp_path / "cache", workers=2)
    assert len(store) == 4 and list(store.failures) == ["audio/3.wav", "audio/4.wav"]
    assert "crashed" in store.failures["audio/3.wav"] and "1 s" in store.failures["audio/4.wav"]


HARMS = ["empty", "cut", "a byte", "data gone", "half a row"]
HARMS += ["index torn", "index garbled", "index gone", "a sum", "a start"]


@pytest.mark.parametrize("harm", HARMS)
def test_damage_is_noticed_and_mended(make_dataset, tmp_path, harm, caplog):
    root = make_dataset()
    store = make(root, tmp_path / "whole")
    make(root, tmp_path / "cache")
    path = cache_path(tmp_path / "cache", SMALL)
    index = path.with_suffix(".jsonl")
    data, lines = bytearray(path.read_bytes()), index.read_bytes()
    if harm in ("empty", "cut"):
        data = data[: len(data) // 2 - 7 if harm == "cut" else 0]
    elif harm == "a byte":
        data[100] ^= 1
    elif harm == "half a row":
        data += b"half a row"
        lines = b"".join(lines.splitlines(keepends=True)[:-1])
    elif harm == "index torn":
        lines = lines[:-30]
    elif harm == "index garbled":
        lines = lines.replace(b"null", b"\0\0\0\0", 2).replace(b"[", b'["', 1)
    elif harm in ("a sum", "a start"):
        first, *rest = lines.splitlines(keepends=True)
        values = json.loads(first)
        values[4 if harm == "a sum" else 1] = 1e6 if harm == "a sum" else "0"
        lines = b"".join([json.dumps(values).encode() + b"\n", *rest])
    path.write_bytes(data)
    index.write_bytes(lines)
    if "gone" in harm:
        (index if harm == "index gone" else path).unlink()
    assert_same(make(root, tmp_path / "cache"), store)
    assert_same(make(root, tmp_path / "cache"), store)
    cache = FeatureCache(tmp_path / "cache", SMALL)
    assert len(cache.rows) == 6 and not cache.missing(cache.rows)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_full_disk_is_reported_and_work_is_kept(make_dataset, tmp_path, monkeypatch, counted, error):
    root = make_dataset()
    whole = make(root, tmp_path / "whole")
    counted.clear()
    write, room = _rows._write, [3]

    def full(file, data):
        room[0] -= data.startswith(b"[")  # a line of the index
        if room[0] < 0:
            file.write(data[:7])
            raise error
        write(file, data)

    monkeypatch.setattr(_rows, "_write", full)
    with pytest.raises((StorageError, KeyboardInterrupt)):
        make(root, tmp_path / "cache")
    monkeypatch.setattr(_rows, "_write", write)
    done = len(counted)
    assert_same(make(root, tmp_path / "cache"), whole)
    assert len(counted) - done == 3


# Computes slowly, so that a kill can hit it anywhere, and writes the name of each file that it computes.
SLOW = """
import os, sys, time
from pathlib import Path
from slapkit import _rows
from slapkit.audio import features
from tests.audio.test_features import make
write, extract, (root, cache, log, workers) = _rows._write, features.extract, sys.argv[1:]
def slow(file, data):
    for part in (data[: len(data) // 2], data[len(data) // 2 :]):
        time.sleep(0.002)
        write(file, part)
def logged(path, frontend):
    with open(log, "a") as file:
        file.write(os.path.basename(path) + "\\n")
    return extract(path, frontend)
_rows._write, features.extract = slow, logged
make(Path(root), Path(cache), workers=int(workers))
"""


def slow_build(root, cache, log, workers):
    here = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", SLOW, *map(str, (root, cache, log, workers))]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": here}, stderr=subprocess.DEVNULL)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_kills_lose_nothing_finished_and_leave_no_process(make_dataset, tmp_path, workers):
    root, cache, log = make_dataset(count=120, seconds=0.2), tmp_path / "cache", tmp_path / "log"
    whole, rng, index = make(root, tmp_path / "whole"), random.Random(0), cache_path(cache, SMALL).with_suffix(".jsonl")
    orphans: list[psutil.Process] = []
    for _ in range(2):
        process, before = slow_build(root, cache, log, workers), index.stat().st_size if index.exists() else 0
        while process.poll() is None and (index.stat().st_size if index.exists() else 0) == before:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.1))
        orphans += psutil.Process(process.pid).children()
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert 0 < len(FeatureCache(cache, SMALL).rows) < 120
    assert slow_build(root, cache, log, workers).wait() == 0
    assert_same(make(root, cache), whole)
    assert 120 <= len(log.read_text().split()) <= 120 + 2 * (1 if workers == 1 else 8 * workers + 1)
    assert not psutil.wait_procs(orphans, timeout=3)[1]


def test_processes_that_build_the_same_do_it_once(make_dataset, tmp_path):
    root, cache, log = make_dataset(count=40, seconds=0.3), tmp_path / "cache", tmp_path / "log"
    processes = [slow_build(root, cache, log, 1) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert len(log.read_text().split()) == 40
    assert_same(make(root, cache), make(root, tmp_path / "whole"))


def test_a_failure_of_the_machine_is_tried_again(make_dataset, tmp_path, monkeypatch):
    folder, broken = make_dataset(), []

    def fail_once(path, frontend):
        if not broken:
            broken.append(path)
            raise AudioError(f"{path} cannot be read") from OSError(errno.EMFILE, "too many open files")
        return extract(path, frontend)

    monkeypatch.setattr(features, "extract", fail_once)
    first = make(folder, tmp_path)
    assert len(first) == 5 and [*first.failures.values()] == ["the file cannot be read"]
    again = make(folder, tmp_path)
    assert len(again) == 6 and not again.failures


def test_no_usable_file_is_an_error(make_dataset, tmp_path):
    root = make_dataset(count=2)
    for i in range(2):
        soundfile.write(root / f"audio/{i}.wav", np.zeros(8000 + i), 8000)
    with pytest.raises(DataError, match="audio/0.wav: .*silent"):
        make(root, tmp_path / "cache")
