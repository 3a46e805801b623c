"""The feature cache: content decides, interruptions cost nothing, damage is noticed."""

import errno
import json
import os
import shutil

import numpy as np
import pytest
import soundfile
import torch

from slapkit.audio import decode, features, windows, worker
from slapkit.audio.features import build, cache_path
from slapkit.audio.frontend import FRONTENDS, FrontendConfig, LogMel
from slapkit.data import read
from slapkit.errors import ConfigError, DataError, SlapkitError, StorageError

SMALL = FrontendConfig(sample_rate=8000, n_fft=256, hop=160, n_mels=16, f_max=4000.0, min_s=0.5)


def make(folder, cache, **options):
    return build(read(folder).audio_files(), SMALL, cache, progress=False, **options)


def cache_files(folder):
    return sorted(p.name for p in folder.iterdir() if p.suffix != ".lock")


@pytest.fixture
def counted(monkeypatch):
    """Names of the files whose features were computed, in order."""
    done = []
    attempt = worker.attempt

    def count(path, config):
        done.append(os.path.basename(path))
        return attempt(path, config)

    monkeypatch.setattr(worker, "attempt", count)
    return done


def test_rows_are_the_log_mel_of_the_files(make_dataset, tmp_path):
    dataset = read(make_dataset())
    store = build(dataset.audio_files(), SMALL, tmp_path / "cache", progress=False)
    assert store.rows == len(store) == len(dataset) == 6 and not store.failures
    assert store.ids == [clip.id for clip in dataset.clips]
    for row, clip in enumerate(dataset.clips):
        wave = decode.read(clip.path, sample_rate=8000)
        expected = LogMel(SMALL)(torch.from_numpy(wave)[None])[0]
        assert store.lengths[row] == len(expected)
        assert np.array_equal(store.row(row), expected.numpy().astype(np.float16))
        assert store.row_of(clip.id) == row
    with pytest.raises(DataError, match="no features of 'x.wav'"):
        store.row_of("x.wav")


def test_short_clips_are_repeated(tmp_path, sound):
    wave = 0.1 * np.random.default_rng(0).standard_normal(1000)
    sound("set/a.wav", wave, 8000)
    (tmp_path / "set/metadata.csv").write_text("file_name,caption\na.wav,noise\n")
    store = make(tmp_path / "set", tmp_path / "cache")
    padded = windows.repeat_pad(decode.read(tmp_path / "set/a.wav", sample_rate=8000), 4000)
    assert np.array_equal(store.row(0), LogMel(SMALL)(torch.from_numpy(padded)[None])[0].numpy().astype(np.float16))


def test_moments_are_those_of_the_training_rows(make_dataset, tmp_path):
    dataset = read(make_dataset())
    train = [clip.id for clip in dataset.split("train")]
    store = build(dataset.audio_files(), SMALL, tmp_path / "cache", moments_of=train, progress=False)
    values = np.concatenate([store.row(store.row_of(clip.id)) for clip in dataset.split("train")]).astype(np.float64)
    assert store.mean == pytest.approx(values.mean(), rel=1e-9)
    assert store.std == pytest.approx(values.std(), rel=1e-9)
    test = build(dataset.split("test").audio_files(), SMALL, tmp_path / "cache", progress=False)
    rest = np.concatenate([test.row(i) for i in range(test.rows)]).astype(np.float64)
    assert test.mean == pytest.approx(rest.mean(), rel=1e-9), "no training rows: all"


def test_crops(make_dataset, tmp_path):
    store = make(make_dataset(), tmp_path / "cache")
    last = int(store.lengths[2]) - 20
    crop = store.crop([2, 0, 2], np.array([last, 0, 3]), 20)
    assert crop.dtype == torch.float32 and crop.shape == (3, 20, 16)
    for got, (row, start) in zip(crop, [(2, last), (0, 0), (2, 3)], strict=True):
        assert np.array_equal(got.numpy(), store.row(row)[start : start + 20].astype(np.float32))
    n = int(store.lengths[0])
    wrapped = store.crop(torch.tensor([0]), torch.tensor([n - 1]), 2 * n + 3)[0].numpy()
    assert np.array_equal(wrapped, store.row(0)[(n - 1 + np.arange(2 * n + 3)) % n].astype(np.float32))
    assert store.crop([], [], 20).shape == (0, 20, 16)
    alone = torch.cat([store.crop([r], [0], 20) for r in range(6)])
    assert torch.equal(alone, store.crop(range(6), [0] * 6, 20)), "the batch changes nothing"
    crop.zero_()
    assert store.row(2).any(), "a crop is a copy"


@pytest.mark.parametrize(
    ("rows", "starts", "frames"),
    [([6], [0], 5), ([-1], [0], 5), ([0], [-1], 5), ([0], [10**6], 5), ([0, 1], [0], 5), ([0], [0], 0), (0, 0, 5)],
)
def test_crops_out_of_range_are_refused(make_dataset, tmp_path, rows, starts, frames):
    store = make(make_dataset(), tmp_path / "cache")
    with pytest.raises(ConfigError, match="rows|starts|frames"):
        store.crop(rows, starts, frames)


def test_it_is_built_once_and_subsets_are_free(make_dataset, tmp_path, counted):
    dataset = read(make_dataset())
    first = build(dataset.audio_files(), SMALL, tmp_path / "cache", progress=False)
    assert len(counted) == 6
    again = build(dataset.audio_files(), SMALL, tmp_path / "cache", progress=False)
    part = build(dataset.split("test").audio_files(), SMALL, tmp_path / "cache", progress=False)
    assert len(counted) == 6 and again.path == part.path == first.path
    assert part.rows == 2 and part.ids == [clip.id for clip in dataset.split("test")]
    assert np.array_equal(part.row(0), first.row(first.row_of(part.ids[0])))
    assert len(cache_files(tmp_path / "cache")) == 1, "no journal or partial file stays"


def test_content_is_the_key(make_dataset, tmp_path, counted):
    root = make_dataset()
    first = make(root, tmp_path / "cache")
    other = tmp_path / "elsewhere" / "copy"
    shutil.copytree(root, other)
    lines = [json.loads(line) for line in (other / "metadata.jsonl").read_text().splitlines()]
    for line in lines:
        (other / line["file_name"]).rename(other / "audio" / f"renamed-{line['file_name'][6:]}")
        line |= {"file_name": f"audio/renamed-{line['file_name'][6:]}", "captions": ["else"], "split": "test"}
    (other / "metadata.jsonl").write_text("\n".join(json.dumps(line) for line in reversed(lines)))
    same = make(other, tmp_path / "cache")
    assert same.path == first.path and len(counted) == 6
    assert np.array_equal(same.row(same.row_of("audio/renamed-3.wav")), first.row(first.row_of("audio/3.wav")))
    soundfile.write(other / "audio/renamed-3.wav", 0.2 * np.sin(np.arange(8000)), 8000)
    changed = make(other, tmp_path / "cache")
    assert changed.path != first.path and counted[6:] == ["renamed-3.wav"], "only what is new is computed"
    finer = build(read(root).audio_files(), SMALL.replace(hop=80), tmp_path / "cache", progress=False)
    assert finer.path not in (first.path, changed.path) and len(counted) == 13


def test_equal_sounds_share_a_row(make_dataset, tmp_path, counted):
    root = make_dataset(count=3)
    shutil.copy(root / "audio/0.wav", root / "audio/2.wav")
    store = make(root, tmp_path / "cache")
    assert store.rows == 3 and len(counted) == 2
    assert np.array_equal(store.row(0), store.row(2))


def test_front_ends_by_name(make_dataset, tmp_path):
    store = build(read(make_dataset(count=2)).audio_files(), "light", tmp_path / "cache", progress=False)
    assert store.frontend == FRONTENDS["light"] and store.lengths.tolist() == [251, 251]
    with pytest.raises(ConfigError, match="did you mean 'light'"):
        build({}, "ligth", tmp_path / "cache")


def break_some(root):
    """Spoil clips 1 to 6 of a data set, each in another way."""
    rng = np.random.default_rng(0)
    (root / "audio/1.wav").write_bytes(b"not audio at all")
    soundfile.write(root / "audio/2.wav", np.zeros(8000), 8000)
    soundfile.write(root / "audio/3.wav", np.full(8000, np.nan), 8000, subtype="FLOAT")
    soundfile.write(root / "audio/4.wav", np.zeros(0), 8000)
    soundfile.write(root / "audio/5.wav", rng.uniform(-0.1, 0.1, (8000, 8)), 8000)
    soundfile.write(root / "audio/6.wav", rng.uniform(-0.1, 0.1, 11025), 11025)


@pytest.mark.parametrize("workers", [1, 2])
def test_sounds_that_cannot_be_used_are_listed(make_dataset, tmp_path, workers, counted):
    root = make_dataset(count=8)
    break_some(root)
    store = make(root, tmp_path / "cache", workers=workers)
    reasons = store.failures
    assert list(reasons) == [f"audio/{i}.wav" for i in (1, 2, 3, 4)]
    for words, reason in zip(["cannot be decoded", "silent", "NaN", "zero length"], reasons.values(), strict=True):
        assert words in reason and str(tmp_path) not in reason
    assert store.ids == [f"audio/{i}.wav" for i in (0, 5, 6, 7)]
    computed = len(counted)
    again = make(root, tmp_path / "cache", workers=workers)
    assert again.failures == store.failures and len(counted) == computed
    with pytest.raises(DataError, match="no features of 'audio/2.wav': the sound is silent"):
        store.row_of("audio/2.wav")


def test_when_no_sound_is_usable(make_dataset, tmp_path):
    root = make_dataset(count=2)
    for i in range(2):
        soundfile.write(root / f"audio/{i}.wav", np.zeros(8000 + i), 8000)
    with pytest.raises(DataError, match="audio/0.wav: .* silent"):
        make(root, tmp_path / "cache")


def test_a_missing_decoder_stops_the_build_and_blames_no_clip(make_dataset, tmp_path, monkeypatch):
    import sys

    root = make_dataset()
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(SlapkitError, match="pip install soundfile"):
        make(root, tmp_path / "cache")
    monkeypatch.undo()
    assert make(root, tmp_path / "cache").rows == 6
    monkeypatch.setitem(sys.modules, "soundfile", None)
    assert make(root, tmp_path / "cache").rows == 6, "what is cached needs no decoder"


def test_workers_give_the_same_bytes(make_dataset, tmp_path):
    root = make_dataset(count=12)
    break_some(root)
    one = make(root, tmp_path / "one", workers=1).path.read_bytes()
    assert make(root, tmp_path / "two", workers=2).path.read_bytes() == one


def test_a_decoder_that_crashes_takes_one_clip_with_it(make_dataset, tmp_path, monkeypatch):
    root = make_dataset()
    ask = worker._Worker.ask

    def crash(self, path, config):
        if path.endswith("3.wav"):
            self.process.kill()
        return ask(self, path, config)

    monkeypatch.setattr(worker._Worker, "ask", crash)
    store = make(root, tmp_path / "cache", workers=2)
    assert store.rows == 5
    assert list(store.failures) == ["audio/3.wav"] and "crashed" in store.failures["audio/3.wav"]


def test_an_interrupted_build_goes_on_where_it_stopped(make_dataset, tmp_path, monkeypatch, counted):
    root = make_dataset()
    whole = make(root, tmp_path / "whole").path.read_bytes()
    counted.clear()

    def stop(self, features, real=features.Row.of):
        if len(counted) == 4:
            raise KeyboardInterrupt
        return real(self, features)

    monkeypatch.setattr(features.Row, "of", classmethod(lambda cls, key, values: stop(key, values)))
    with pytest.raises(KeyboardInterrupt):
        make(root, tmp_path / "cache")
    monkeypatch.undo()
    assert [p.rsplit(".")[-1] for p in cache_files(tmp_path / "cache")] == ["journal", "partial"]
    assert len((tmp_path / "cache" / cache_files(tmp_path / "cache")[0]).read_text().splitlines()) == 3
    assert make(root, tmp_path / "cache").path.read_bytes() == whole
    assert len(cache_files(tmp_path / "cache")) == 1


@pytest.mark.parametrize("harm", ["journal cut", "journal spoilt", "data cut", "data flipped", "no journal", "no data"])
def test_whatever_an_interruption_leaves_the_result_is_the_same(make_dataset, tmp_path, harm):
    root = make_dataset()
    path = make(root, tmp_path / "whole").path
    file = features.FeatureFile(path)
    (tmp_path / "cache").mkdir()
    partial = tmp_path / "cache" / path.with_suffix(".partial").name
    journal = partial.with_suffix(".journal")
    data = bytearray(file.data[: file.offsets[5]].tobytes() + b"half a row")
    lines = b"".join(json.dumps(row.to_list()).encode() + b"\n" for row in file.entries[:5])
    if harm == "data cut":
        data = data[: file.offsets[3] * 32 - 7]
    if harm == "data flipped":
        data[int(file.offsets[1]) * 32 + 5] ^= 1
    if harm == "journal cut":
        lines = lines[:-30]
    if harm == "journal spoilt":
        lines = lines.replace(b"null", b"\0\0\0\0", 2)
    if harm != "no data":
        partial.write_bytes(data)
    if harm != "no journal":
        journal.write_bytes(lines)
    assert make(root, tmp_path / "cache").path.read_bytes() == path.read_bytes()
    assert len(cache_files(tmp_path / "cache")) == 1


@pytest.mark.parametrize("harm", ["empty", "cut", "a byte of the data", "a footer byte", "longer", "another file"])
def test_a_damaged_file_is_noticed_and_built_again(make_dataset, tmp_path, harm, caplog):
    root = make_dataset()
    path = make(root, tmp_path / "cache").path
    good = path.read_bytes()
    bad = bytearray(good)
    if harm == "empty":
        bad = b""
    elif harm == "cut":
        bad = bad[: len(bad) // 2]
    elif harm == "a byte of the data":
        bad[100] ^= 1
    elif harm == "a footer byte":
        bad[-100] ^= 1
    elif harm == "longer":
        bad = b"\0\0" * 16 + bad
    else:
        bad = b"x" * 5000
    path.write_bytes(bad)
    store = make(root, tmp_path / "cache")
    assert store.path.read_bytes() == good
    assert "it is not used" in caplog.text


def test_a_full_disk_is_told_and_work_is_kept(make_dataset, tmp_path, monkeypatch, counted):
    root = make_dataset()
    whole = make(root, tmp_path / "whole").path.read_bytes()
    counted.clear()
    write, room = features._write, [3]

    def full(file, data):
        room[0] -= data.startswith(b"[")  # a journal's line
        if room[0] < 0:
            file.write(data[:7])
            raise OSError(errno.ENOSPC, "No space left on device")
        write(file, data)

    monkeypatch.setattr(features, "_write", full)
    with pytest.raises(StorageError, match="no space left to write .*partial: .*needed.*finished work is kept"):
        make(root, tmp_path / "cache")
    assert len(counted) == 4
    monkeypatch.setattr(features, "_write", write)
    assert make(root, tmp_path / "cache").path.read_bytes() == whole
    assert len(counted) == 4 + 3


def test_a_full_disk_at_the_very_end(make_dataset, tmp_path, monkeypatch, counted):
    root = make_dataset()

    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(features, "sync_file", full)
        with pytest.raises(StorageError, match="no space left"):
            make(root, tmp_path / "cache")
    done = len(counted)
    assert make(root, tmp_path / "cache").rows == 6 and len(counted) == done


def test_a_folder_that_cannot_be_made(make_dataset, tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(StorageError, match="cannot write"):
        make(make_dataset(), tmp_path / "cache")


def test_a_file_that_vanished(make_dataset, tmp_path):
    root = make_dataset()
    dataset = read(root)
    (root / "audio/0.wav").unlink()
    with pytest.raises(DataError, match="0.wav cannot be read any more"):
        build(dataset.audio_files(), SMALL, tmp_path / "cache", progress=False)


def test_paths_do_not_depend_on_order_or_repetition(tmp_path):
    keys = ["b" * 64, "a" * 64]
    assert cache_path(tmp_path, SMALL, keys) == cache_path(tmp_path, SMALL, [*keys[::-1], keys[0]])
    assert cache_path(tmp_path, SMALL, keys) != cache_path(tmp_path, SMALL, keys[:1])
