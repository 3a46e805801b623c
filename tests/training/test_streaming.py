"""Streamed micro-batches: the pairs of any other training, whoever decodes them and wherever it goes on."""

import json
import pickle
import shutil

import numpy as np
import pytest
import soundfile
import torch

from slapkit import data
from slapkit.audio import features
from slapkit.errors import CheckpointError, ConfigError, DataError
from slapkit.training.batches import AudioSource, BatchSource
from slapkit.training.streaming import StreamBatches, StreamStore
from tests.training.tones import NoText, assert_equal, run, stopped_at, tiny, weights, write_collection

CHOSEN = tiny({"masks": 0, "batch_size": 8, "steps": 40})
AUDIO = CHOSEN.model.audio


@pytest.fixture(autouse=True)
def one_thread():
    """The processes that the tests start use one thread: with more, sums are rounded otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def owners(clips: int) -> np.ndarray:
    return np.arange(2 * clips) // 2


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    return write_collection(tmp_path_factory.mktemp("stream") / "music")


def stored(dataset, cache) -> StreamStore:
    return StreamStore(dataset, AUDIO.frontend, AUDIO.window_frames, cache, progress=False)


@pytest.fixture(scope="module")
def store(collection, tmp_path_factory):
    return stored(collection, tmp_path_factory.mktemp("c"))


def make(store, dataset, *, workers=0, micro_batch=None, views=False, **options):
    source = store.source([clip.id for clip in dataset.split("train")], AUDIO.window_frames)
    config = CHOSEN.train.replace(micro_batch=micro_batch, text_views=views, window_views=views)
    return StreamBatches(source, NoText(), owners(len(source)), config, workers=workers, **options)


def drawn(batches, steps):
    """The pairs of all micro-batches of some steps, without what they lack."""
    found = (batches.pairs(step, k) for step in steps for k in range(batches.micro_batches))
    return [[torch.as_tensor(value) for value in pairs if value is not None] for pairs in found]


def assert_same(a, b):
    assert len(a) == len(b)
    for pairs, others in zip(a, b):
        assert len(pairs) == len(others)
        assert all(torch.equal(value, other) for value, other in zip(pairs, others))


def test_pairs_are_those_of_training_from_kept_features(store, collection, tmp_path):
    train = collection.split("train")
    kept = features.build(train.audio_files(), AUDIO.frontend, tmp_path, progress=False)
    cached = AudioSource(kept, [clip.id for clip in train], AUDIO.window_frames)
    plain, streamed = BatchSource(cached, NoText(), owners(len(train)), CHOSEN.train), make(store, collection)
    for step in range(5):
        sound, captions = streamed.pairs(step, 0)[:2]
        np.testing.assert_array_equal(captions, plain.plan(step)["captions"])
        for row, clip in zip(sound, plain.plan(step)["clips"]):
            whole = kept.row(cached.rows[clip]).astype(np.float32)
            windows = np.lib.stride_tricks.sliding_window_view(whole, len(row), axis=0).transpose(0, 2, 1)
            assert np.abs(windows - row.numpy()).max(axis=(1, 2)).min() < 0.1, "it is one of the clip's windows"
    assert abs(store.mean - kept.mean) < 2 and abs(store.std - kept.std) < 2, "dB, from one window of each clip"


@pytest.mark.parametrize("views", [False, True])
def test_workers_change_nothing_wherever_they_begin(views, store, collection):
    given = {"micro_batch": 4, "views": views}
    whole = drawn(make(store, collection, **given), range(10))
    assert_same(drawn(make(store, collection, **given), range(6, 10)), whole[12:])
    batches = make(store, collection, workers=2, **given)
    assert_same(drawn(batches, range(3)), whole[:6])
    assert_same(drawn(batches, [7]), whole[14:16])  # a jump
    assert_same(drawn(batches, [7, 2]), whole[14:16] + whole[4:6])  # the step again, as CLAP asks, and a jump back


def test_what_goes_to_a_worker_is_light_and_whole(store, collection):
    batches = make(store, collection)
    sent = pickle.dumps(batches.drawing)  # where processes do not fork
    assert len(sent) < 30_000, "neither features nor encoders go along"
    (sound, captions, *targets), failures = pickle.loads(sent)[3, 0]
    assert_same([(torch.from_numpy(sound).float(), torch.from_numpy(captions))], drawn(batches, [3]))
    assert targets == [None, None]
    assert not failures


def test_a_step_is_decoded_once_and_leaves_the_seed_of_dropout_alone(store, collection, monkeypatch):
    batches, device, opened = make(store, collection), torch.device("cpu"), []
    original = features.window
    monkeypatch.setattr(features, "window", lambda *a, **k: opened.append(1) or original(*a, **k))
    batches.micro_batch(0, 0, device)
    first = torch.rand(3)
    batches.micro_batch(0, 0, device)
    assert len(opened) == 8 and torch.equal(torch.rand(3), first)
    make(store, collection, workers=1).micro_batch(0, 0, device)
    assert torch.equal(torch.rand(3), first)


def test_devices_share_a_step(store, collection):
    whole = make(store, collection)
    ranks = [make(store, collection, rank=rank, devices=2, micro_batch=2, workers=rank) for rank in range(2)]
    for step in range(4):
        parts = [pair for batches in ranks for pair in drawn(batches, [step])]
        assert_same([[torch.cat(values) for values in zip(*parts)]], drawn(whole, [step]))


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
    store = stored(dataset, tmp_path)
    batches = make(store, dataset, listed=tmp_path / "unusable.jsonl")
    whole = drawn(batches, range(8))
    ids = [clip.id for clip in dataset.split("train")]
    assert set(batches.failures) == {ids[i] for i in bad}
    lines = [json.loads(line) for line in (tmp_path / "unusable.jsonl").read_text().splitlines()]
    assert {line["id"]: line["reason"] for line in lines} == batches.failures
    assert not any(str(tmp_path) in line["reason"] for line in lines)
    used = np.concatenate([captions for _, captions in whole]) // 2
    with_views = drawn(make(store, dataset, views=True), range(8))
    assert_same([pairs[:2] for pairs in with_views], whole)
    _, captions, _, others = (torch.cat(values) for values in zip(*with_views))
    assert torch.equal(captions // 2, others // 2) and not (captions == others).any()
    assert all((sound != other).any() for sound, _, other, _ in with_views)
    assert not bad & set(used.tolist()) and len(used) == 64
    planned = np.concatenate([batches.plan(step)["clips"] for step in range(8)])
    sound = ~np.isin(planned, list(bad))
    np.testing.assert_array_equal(used[sound], planned[sound])
    assert_same(drawn(make(store, dataset, workers=2), range(5, 8)), whole[5:])


def test_a_collection_of_ruins_stops_training(damaged, tmp_path):
    dataset, _ = damaged
    store = stored(dataset, tmp_path)
    for clip in dataset.split("train"):
        clip.path.write_bytes(b"no sound")
    for workers in (0, 1):
        with pytest.raises(DataError, match="step 1"):
            make(store, dataset, workers=workers).pairs(0, 0)
    with pytest.raises(ConfigError, match="workers=-1"):
        make(store, dataset, workers=-1)
    with pytest.raises(DataError, match="none of 32"):
        stored(dataset, tmp_path)


def test_fingerprint_follows_names_sizes_and_captions(store, collection, tmp_path):
    def fingerprint():
        return stored(data.read(tmp_path / "copy"), tmp_path).fingerprint

    shutil.copytree(collection.root, tmp_path / "copy")
    assert fingerprint() == store.fingerprint, "the folder's place does not matter"
    path = collection.split("train")[0].id
    (tmp_path / "copy" / path).write_bytes((tmp_path / "copy" / path).read_bytes() + b"\0")
    first = fingerprint()
    table = tmp_path / "copy" / "metadata.jsonl"
    table.write_text(table.read_text().replace('tone 1"', 'tone one"'))
    assert len({first, fingerprint(), store.fingerprint}) == 3


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["slap", "clap"])
def test_streamed_training_learns_and_goes_on_after_a_stop(objective, tones, tmp_path):
    chosen, options = tiny({"objective": objective, "micro_batch": 8, "steps": 20}), {"streaming": True, "workers": 0}
    whole = run(chosen, tones, tmp_path / "whole", **options)
    losses = [row["loss"] for row in whole.history]
    assert sum(losses[-5:]) < 0.95 * sum(losses[:5])
    assert len(list((tmp_path / "whole" / "cache").glob("*.features"))) == 1, "of the validation split"
    with stopped_at(5):
        run(chosen, tones, tmp_path / "stopped", **options)
    run(chosen, tones, tmp_path / "stopped", streaming=True, workers=1)
    assert_equal(weights(tmp_path / "whole"), weights(tmp_path / "stopped"))


def test_kept_features_do_not_mix_with_streaming(tones, tmp_path):
    chosen = tiny({"steps": 2})
    run(chosen, tones, tmp_path / "files", streaming=True, workers=0)
    with pytest.raises(CheckpointError, match="data: "):
        run(chosen, tones, tmp_path / "files")
