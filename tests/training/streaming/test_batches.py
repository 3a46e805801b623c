"""Streamed micro-batches: the pairs of any other training, whoever decodes them and wherever it goes on."""

from __future__ import annotations

import json
import pickle
import shutil

import numpy as np
import pytest
import soundfile
import torch

from slapkit import data
from slapkit.audio import features
from slapkit.errors import ConfigError, DataError
from slapkit.training.batches import AudioSource, BatchSource
from slapkit.training.prefetch import StreamBatches
from slapkit.training.streaming import StreamConfig, StreamStore
from tests.training.streaming.stream_parts import write_collection
from tests.training.tones import tiny

CHOSEN = tiny({"masks": 0, "batch_size": 8, "steps": 40})
AUDIO = CHOSEN.model.audio


class NoText:
    """Stands in for captions: hands out their numbers."""

    def take(self, captions, device):
        return torch.from_numpy(np.asarray(captions))


def owners(clips: int) -> list[np.ndarray]:
    return [np.array([2 * i, 2 * i + 1]) for i in range(clips)]


@pytest.fixture(scope="module")
def store(collection, tmp_path_factory):
    return StreamStore(collection, AUDIO.frontend, AUDIO.window_frames, tmp_path_factory.mktemp("c"), progress=False)


def make(store, dataset, *, workers=0, rank=0, devices=1, listed=None, ahead=2, **changes):
    source = store.source([clip.id for clip in dataset.split("train")], AUDIO.window_frames)
    stream = StreamConfig(workers=workers, ahead=ahead)
    config = CHOSEN.train.replace(**changes)
    return StreamBatches(
        source, NoText(), owners(len(source)), config, stream=stream, rank=rank, devices=devices, listed=listed
    )


def heard(batches, steps):
    """All micro-batches of some steps: sound and captions."""
    return [batches.pairs(step, k) for step in steps for k in range(batches.micro_batches)]


def assert_same(a, b):
    assert len(a) == len(b)
    for (sound, captions), (other, others) in zip(a, b):
        np.testing.assert_array_equal(captions, others)
        assert torch.equal(sound, other)


def test_pairs_are_those_of_training_from_kept_features(store, collection, tmp_path):
    train = collection.split("train")
    kept = features.build(train.audio_files(), AUDIO.frontend, tmp_path, progress=False)
    cached = AudioSource(kept, [clip.id for clip in train], AUDIO.window_frames)
    plain = BatchSource(cached, NoText(), owners(len(train)), CHOSEN.train)
    streamed = make(store, collection)
    for step in range(9):
        sound, captions = streamed.pairs(step, 0)
        np.testing.assert_array_equal(captions, plain.plan(step)["captions"])
        for row, clip in zip(sound, plain.plan(step)["clips"]):
            whole = cached.store.row(cached.rows[clip]).astype(np.float32)
            windows = np.lib.stride_tricks.sliding_window_view(whole, len(row), axis=0).transpose(0, 2, 1)
            assert np.abs(windows - row.numpy()).max(axis=(1, 2)).min() < 0.1, "it is one of the clip's windows"


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(store, collection, workers):
    alone = heard(make(store, collection, micro_batch=4), range(7))
    assert_same(heard(make(store, collection, micro_batch=4, workers=workers), range(7)), alone)


def test_going_on_anywhere_is_having_come_there(store, collection):
    whole = heard(make(store, collection, micro_batch=4), range(10))
    assert_same(heard(make(store, collection, micro_batch=4), range(6, 10)), whole[12:])
    batches = make(store, collection, micro_batch=4, workers=2)
    assert_same(heard(batches, range(3)), whole[:6])
    assert_same(heard(batches, [7]), whole[14:16])  # a jump
    assert_same(heard(batches, [7, 2]), whole[14:16] + whole[4:6])  # the step again, as CLAP asks for, and a jump back


def test_what_goes_to_a_worker_is_light_and_whole(store, collection):
    batches = make(store, collection)
    sent = pickle.dumps(batches.drawing)  # where processes do not fork
    assert len(sent) < 30_000, "neither features nor encoders go along"
    sound, captions, failures = pickle.loads(sent)[3, 0]
    assert_same([(torch.from_numpy(sound).float(), captions)], heard(batches, [3]))
    assert not failures


def test_a_step_is_decoded_once(store, collection, monkeypatch):
    batches, asked = make(store, collection, micro_batch=2), []
    original = type(batches.audio).window_of
    monkeypatch.setattr(type(batches.audio), "window_of", lambda *a: (asked.append(a[1]), original(*a))[1])
    for _ in range(2):
        heard(batches, [4])
    assert len(asked) == 8 and len(batches._kept) == 4
    heard(batches, [5])
    assert len(batches._kept) == 4, "what is past is forgotten"


def test_ranks_hear_disjoint_parts_that_are_everything(store, collection):
    whole = make(store, collection)
    ranks = [make(store, collection, rank=rank, devices=2, micro_batch=2, workers=rank) for rank in range(2)]
    seen = []
    for step in range(4):  # 32 clips in 4 batches of 8: one epoch
        sound, captions = whole.pairs(step, 0)
        parts = [heard(batches, [step]) for batches in ranks]
        assert torch.equal(torch.cat([s for part in parts for s, _ in part]), sound)
        clips = [{int(c) // 2 for _, captions in part for c in captions} for part in parts]
        assert not clips[0] & clips[1] and clips[0] | clips[1] == {int(c) // 2 for c in captions}
        seen += [*clips[0], *clips[1]]
    assert sorted(seen) == list(range(32))


def test_the_loader_leaves_the_seed_of_dropout_alone(store, collection):
    device = torch.device("cpu")
    batches = make(store, collection, workers=1)
    batches.micro_batch(0, 0, device)
    first = torch.rand(3)
    batches.micro_batch(0, 0, device)  # asked for again: nothing is loaded
    assert torch.equal(torch.rand(3), first)
    make(store, collection, workers=0).micro_batch(0, 0, device)
    assert torch.equal(torch.rand(3), first)


@pytest.fixture
def damaged(tmp_path):
    """A collection in which some training clips cannot be used; their numbers among the training clips."""
    dataset = write_collection(tmp_path / "damaged")
    train = dataset.split("train").clips
    train[3].path.write_bytes(b"no sound")
    train[10].path.unlink()
    soundfile.write(train[15].path, np.zeros(48000), 24000, format="WAV")
    return dataset, {3, 10, 15}


def test_unusable_clips_are_replaced_and_listed(damaged, tmp_path):
    dataset, bad = damaged
    store = StreamStore(dataset, AUDIO.frontend, AUDIO.window_frames, tmp_path, progress=False)
    batches = make(store, dataset, listed=tmp_path / "unusable.jsonl")
    whole = heard(batches, range(8))
    ids = [clip.id for clip in dataset.split("train")]
    assert set(batches.failures) == {ids[i] for i in bad}
    lines = [json.loads(line) for line in (tmp_path / "unusable.jsonl").read_text().splitlines()]
    assert {line["id"]: line["reason"] for line in lines} == batches.failures
    assert not any(str(tmp_path) in line["reason"] for line in lines)
    used = np.concatenate([captions for _, captions in whole]) // 2
    assert not bad & set(used.tolist()) and len(used) == 64
    planned = np.concatenate([batches.plan(step)["clips"] for step in range(8)])
    np.testing.assert_array_equal(used[~np.isin(planned, list(bad))], planned[~np.isin(planned, list(bad))])
    assert_same(heard(make(store, dataset, workers=2), range(5, 8)), whole[5:])


def test_a_collection_of_ruins_stops_training(damaged, tmp_path):
    dataset, _ = damaged
    store = StreamStore(dataset, AUDIO.frontend, AUDIO.window_frames, tmp_path, progress=False)
    for clip in dataset.split("train"):
        clip.path.write_bytes(b"no sound")
    for workers in (0, 1):
        with pytest.raises(DataError, match=r"^12 draws in a row gave no sound for step 1"):
            make(store, dataset, workers=workers).pairs(0, 0)
    with pytest.raises(DataError, match="none of 32 sounds tried is usable"):
        StreamStore(dataset, AUDIO.frontend, AUDIO.window_frames, tmp_path, progress=False)


def test_levels_are_those_of_the_collection(store, collection, tmp_path):
    kept = features.build(collection.split("train").audio_files(), AUDIO.frontend, tmp_path, progress=False)
    assert abs(store.mean - kept.mean) < 2 and abs(store.std - kept.std) < 2, "dB, from one window of each clip"
    again = StreamStore(collection, AUDIO.frontend, AUDIO.window_frames, tmp_path, progress=False)
    assert (again.mean, again.std, again.fingerprint) == (store.mean, store.std, store.fingerprint)


def test_fingerprint_follows_names_sizes_and_captions(store, collection, tmp_path):
    def fingerprint():
        dataset = data.read(tmp_path / "copy")
        return StreamStore(dataset, AUDIO.frontend, AUDIO.window_frames, tmp_path, progress=False).fingerprint

    shutil.copytree(collection.root, tmp_path / "copy")
    assert fingerprint() == store.fingerprint, "the folder's place does not matter"
    path = collection.split("train")[0].id
    (tmp_path / "copy" / path).write_bytes((tmp_path / "copy" / path).read_bytes() + b"\0")
    first = fingerprint()
    table = tmp_path / "copy" / "metadata.jsonl"
    table.write_text(table.read_text().replace('tone 1"', 'tone one"'))
    assert len({first, fingerprint(), store.fingerprint}) == 3


def test_settings_are_checked():
    with pytest.raises(ConfigError, match="workers=-1"):
        StreamConfig(workers=-1)
    with pytest.raises(ConfigError, match="ahead=0"):
        StreamConfig(ahead=0)
    assert StreamConfig(workers=3).processes(8) == 3 and StreamConfig().processes(10_000) == 1
