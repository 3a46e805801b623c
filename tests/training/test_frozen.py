"""Frozen towers: encoded once for all that meets the same data again, with the values that the encoders give."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers.normalizers import BertNormalizer

import slapkit
from slapkit.audio import features
from slapkit.audio.frontend import FRONTENDS
from slapkit.audio.windows import overlapping_starts, tiled_starts
from slapkit.metrics.embedded import embed_split
from slapkit.metrics.probing import represent_clips
from slapkit.models.embed import Embedder
from slapkit.models.encoders import TextEncoderConfig, build_audio_encoder, build_text_encoder
from slapkit.models.encoders.musicnn import MusicNN
from slapkit.models.encoders.text import TextEncoder
from slapkit.models.representations import Representations, represent_captions
from slapkit.training.loop import Trainer
from tests.training.tones import assert_equal, run, stopped_at, tiny, weights, write_collection

CPU = torch.device("cpu")
MUSICNN = {
    "kind": "musicnn", "frontend": FRONTENDS["musicnn"].replace(min_s=1.0), "window_s": 1.0, "frozen": True,
    "bands": True,
}  # fmt: skip
VIEWS = {"text_views": True, "window_views": True}
PROBES = 2 * 8  # of the signature that is kept with a model


def frozen(**train):
    return tiny(VIEWS | train, {"audio": MUSICNN})


@pytest.fixture
def encoded(monkeypatch):
    """Numbers of inputs that musicnn and MiniLM took."""
    seen = []

    def counting(original):
        def count(self, x):
            seen.append(len(x["input_ids"] if isinstance(x, dict) else x))
            return original(self, x)

        return count

    monkeypatch.setattr(MusicNN, "raw", counting(MusicNN.raw))
    monkeypatch.setattr(TextEncoder, "forward", counting(TextEncoder.forward))
    return seen


def test_frozen_towers_are_encoded_once_for_all_trainings_and_measurements(tones, tmp_path, encoded):
    cache = tmp_path / "cache"
    run(frozen(), tones, tmp_path / "first", cache)
    captions = {caption for clip in tones for caption in clip.captions if clip.split != "test"}
    least = 40 * 3 + len(captions) + PROBES  # three windows a clip; a batch with a new caption is computed whole
    assert least <= sum(encoded) < least + 10
    models = {}
    for objective in ("slap", "clap"):
        encoded.clear()
        run(frozen(objective=objective, seed=1), tones, tmp_path / objective, cache)
        assert sum(encoded) == PROBES, "another seed and objective"
        models[objective] = slapkit.load(tmp_path / objective)
    options = {"split": "test", "cache_dir": cache, "progress": False}
    embed_split(models["clap"], tones, **options)
    encoded.clear()
    found = embed_split(models["slap"], tones, **options)
    h, _ = represent_clips(models["slap"], tones.split("test"), cache_dir=cache, progress=False)
    paths, hashes = [clip.path for clip in found.clips], found.clips.audio_hashes()
    with Embedder(models["slap"], cache_dir=cache) as embedder:
        library = [one.outputs[1] for one in embedder.embed(paths, hashes)]
    assert not encoded, "another model's test split, a probe and a library"
    direct = models["slap"].embed_audio(paths)
    np.testing.assert_allclose(found.audio(), direct, atol=1e-5)
    np.testing.assert_allclose(found.text(), models["slap"].embed_text(found.captions), atol=1e-5)
    means = np.stack([own.mean(axis=0) for own in library])
    np.testing.assert_allclose(means / np.linalg.norm(means, axis=1, keepdims=True), direct, atol=1e-5)
    assert h.shape == (8, 4548) and np.abs(h).max() <= 6


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_resumed_run_on_kept_representations_is_bit_equal(tones, tmp_path, precision):
    chosen, kept = frozen(micro_batch=4, precision=precision), tmp_path / "cache"
    run(chosen, tones, tmp_path / "whole", kept)
    with stopped_at(5):
        run(chosen, tones, tmp_path / "halves", kept)
    run(chosen, tones, tmp_path / "halves", kept)
    whole, halves = weights(tmp_path / "whole"), weights(tmp_path / "halves")
    assert_equal(whole, halves)
    assert (whole["audio.encoder.h_std"] != 1).all(), "standardised by the training split"


@pytest.mark.parametrize("heads_alone", [True, False])
def test_heads_alone_train_in_one_thread_and_give_the_others_back(tones, cache, tmp_path, heads_alone):
    before, seen = torch.get_num_threads(), []
    torch.set_num_threads(2)
    try:
        chosen = frozen(steps=2) if heads_alone else tiny({"steps": 2})
        run(chosen, tones, tmp_path, cache, callbacks=[lambda row: seen.append(torch.get_num_threads())])
        assert set(seen) == {1 if heads_alone else 2}
        with stopped_at(0):
            run(chosen.replace(train=chosen.train.replace(seed=9)), tones, tmp_path / "stopped", cache)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_streamed_training_standardises_by_the_windows_that_it_measures(tones, cache, tmp_path):
    run(frozen(steps=1), tones, tmp_path / "kept", cache)
    run(frozen(steps=1), tones, tmp_path / "streamed", cache, streaming=True, workers=0)
    kept, streamed = (weights(tmp_path / name)["audio.encoder.h_mean"] for name in ("kept", "streamed"))
    assert torch.corrcoef(torch.stack([kept, streamed]))[0, 1] > 0.99


def test_masks_of_a_stream_leave_pitches_alone(tones, cache, tmp_path):
    """The mean of the bands, which hides a part of them, is tens of dB below 0; the norm of all pitches is 1."""
    audio = MUSICNN | {"frontend": MUSICNN["frontend"].replace(pitches=True)}
    chosen = tiny({"masks": 4, "window_views": False}, {"audio": audio})
    options = {"progress": False, "streaming": True, "workers": 0}
    batch = Trainer(chosen.model, chosen.train, tones, tmp_path, cache, **options).batches.micro_batch(0, 0, CPU)
    hidden = batch["audio"] != batch["target_audio"]
    assert hidden[..., :96].any() and not hidden[..., 96:].any()


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    return write_collection(tmp_path_factory.mktemp("clips") / "music", clips=60)


def audio_of(dataset, cache, *, seed=0):
    """Representations by a small CNN with random weights."""
    chosen = tiny().model.audio.replace(frozen=True)
    store = features.build(dataset.audio_files(), chosen.frontend, cache, progress=False)
    torch.manual_seed(seed)
    encoder = build_audio_encoder(chosen).eval()
    return Representations(store, store.ids, encoder, chosen, cache, device=CPU, progress=False), store, encoder


def text_of(dataset, cache):
    encoder = build_text_encoder(TextEncoderConfig()).eval()
    return represent_captions(encoder, dataset.captions_flat()[0], cache, device=CPU, progress=False)


def test_values_are_those_of_the_encoder_and_tiles_cover_the_clips(collection, tmp_path):
    kept, store, encoder = audio_of(collection, tmp_path)
    window = tiny().model.audio.window_frames
    with torch.no_grad():
        for clip, length in enumerate(store.lengths):
            starts = overlapping_starts(int(length), window)
            h = encoder(store.crop([clip] * len(starts), starts, window))
            assert kept.places(np.array([clip])) == len(starts)
            found = kept.take(np.full(len(starts), clip), np.arange(len(starts)))
            torch.testing.assert_close(found, h, atol=1e-4, rtol=1e-4)
            clips, places = kept.tiles()
            assert (starts[places[clips == clip]] == tiled_starts(int(length), window)).all()
    part = collection.split("validation")
    again, *_ = audio_of(part, tmp_path)
    rows = [i for i, clip in enumerate(collection) if clip.split == "validation"]
    clips, places = again.tiles()
    assert torch.equal(again.take(clips, places), kept.take(np.array(rows)[clips], places))
    assert torch.equal(kept.sample(10_000), kept.take(*all_places(kept)))
    audio_of(part, tmp_path, seed=1)
    assert len(list(tmp_path.glob("audio-*.representations"))) == 2, "other weights"


def all_places(kept):
    clips = np.repeat(np.arange(len(kept)), kept.counts)
    return clips, np.concatenate([np.arange(count) for count in kept.counts])


def test_another_tokenizer_gives_captions_other_representations(tmp_path):
    encoder, captions = build_text_encoder(TextEncoderConfig()).eval(), ["Slow Flute"]
    first = represent_captions(encoder, captions, tmp_path, device=CPU, progress=False)
    encoder.tokenizer(["of some length"], padding="max_length", max_length=12, truncation=True)
    again = represent_captions(encoder, captions, tmp_path, device=CPU, progress=False)
    assert torch.equal(first, again) and len(list(tmp_path.glob("text-*.representations"))) == 1
    encoder.tokenizer.backend_tokenizer.normalizer = BertNormalizer(lowercase=False)
    other = represent_captions(encoder, captions, tmp_path, device=CPU, progress=False)
    with torch.no_grad():
        torch.testing.assert_close(other, encoder(encoder.tokenize(captions)), atol=1e-5, rtol=1e-5)
    assert (other - first).abs().max() > 0.01


# Writes slowly, so that a kill can hit it anywhere.
SLOW = """
import sys, time
from pathlib import Path
from slapkit import _rows
from slapkit.data import read
from tests.training import test_frozen
write, (what, root, cache) = _rows._write, sys.argv[1:]
def slow(file, data):
    for part in (data[: len(data) // 2], data[len(data) // 2 :]):
        time.sleep(0.003)
        write(file, part)
dataset = read(root)
if what == "audio":
    test_frozen.features.build(dataset.audio_files(), test_frozen.tiny().model.audio.frontend, cache, progress=False)
_rows._write = slow
getattr(test_frozen, what + "_of")(dataset, Path(cache))
"""


@pytest.mark.parametrize("what", ["audio", "text"])
def test_kill_9_loses_one_clip_at_most_and_what_follows_is_bit_equal(what, collection, tmp_path):
    compute, cache = {"audio": audio_of, "text": text_of}[what], tmp_path / "killed"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen([sys.executable, "-c", SLOW, what, str(collection.root), str(cache)], env=environment)
    while process.poll() is None and not any(path.stat().st_size > 3000 for path in cache.glob(f"{what}-*.jsonl")):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    finished = next(cache.glob(f"{what}-*.jsonl")).read_bytes()
    killed, whole = compute(collection, cache), compute(collection, tmp_path / "whole")
    assert torch.equal(every(killed), every(whole))
    lines = next(cache.glob(f"{what}-*.jsonl")).read_bytes()
    assert lines.startswith(finished[: finished.rindex(b"\n")]) and len(lines) > len(finished) + 1000


def every(found):
    """All values of `audio_of` or `text_of`."""
    return found if isinstance(found, torch.Tensor) else found[0].take(*found[0].tiles())
