"""Which pairs form a step: a function of the seed, however they are shared out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from slapkit.audio import features
from slapkit.training.batches import AudioSource, BatchSource, TextSource
from tests.training.tones import tiny


class NoText:
    """Stands in for captions: hands out their numbers."""

    def take(self, captions, device):
        return torch.from_numpy(np.asarray(captions))


@pytest.fixture
def source(tones, cache):
    chosen = tiny({"masks": 0})
    store = features.build(tones.audio_files(), chosen.model.audio.frontend, cache, progress=False)
    audio = AudioSource(store, [c.id for c in tones], chosen.model.audio.window_frames)

    def make(rank=0, devices=1, **changes):
        owners = [np.array([2 * i, 2 * i + 1]) for i in range(len(tones))]
        return BatchSource(audio, NoText(), owners, chosen.train.replace(**changes), rank=rank, devices=devices)

    return make


def test_an_epoch_shows_every_clip_once(source):
    batches = source()
    seen = np.concatenate([batches.plan(step)["clips"] for step in range(3)])
    assert sorted(seen) == list(range(48))
    again = np.concatenate([batches.plan(step)["clips"] for step in range(3, 6)])
    assert sorted(again) == sorted(seen) and list(again) != list(seen)


def test_captions_belong_to_their_clips_and_both_are_used(source):
    batches = source()
    plans = [batches.plan(step) for step in range(30)]
    for plan in plans:
        assert (plan["captions"] // 2 == plan["clips"]).all()
    assert {int(c) % 2 for plan in plans for c in plan["captions"]} == {0, 1}


def test_windows_reach_both_ends(source):
    batches = source()
    starts = np.concatenate([batches.plan(step)["starts"] for step in range(200)])
    assert starts.min() == 0 and starts.max() == batches.audio.places(np.array([0]))[0] - 1


def test_plan_is_independent_of_order(source):
    a, b = source(), source()
    later, earlier = a.plan(7), a.plan(2)
    for key, value in b.plan(2).items():
        assert (earlier[key] == value).all()
    for key, value in b.plan(7).items():
        assert (later[key] == value).all()


def test_devices_and_micro_batches_share_the_same_pairs(source):
    device = torch.device("cpu")
    whole = source().micro_batch(3, 0, device)
    parts = [source(rank=r, devices=2, micro_batch=4).micro_batch(3, k, device) for r in range(2) for k in range(2)]
    assert torch.equal(torch.cat([p["audio"] for p in parts]), whole["audio"])
    assert torch.equal(torch.cat([p["text"] for p in parts]), whole["text"])


def test_augmentation_repeats_with_the_micro_batch_and_spares_the_target(source):
    batches = source(masks=2)
    first, again, other = (batches.micro_batch(3, k, torch.device("cpu")) for k in (0, 0, 0))
    assert torch.equal(first["audio"], again["audio"])
    assert not torch.equal(first["audio"], first["target_audio"])
    assert torch.equal(first["target_audio"], source().micro_batch(3, 0, torch.device("cpu"))["audio"])


def test_frozen_captions_are_kept_for_the_next_run(tmp_path, monkeypatch):
    from slapkit.models.encoders import TextEncoderConfig, build_text_encoder

    encoder = build_text_encoder(TextEncoderConfig())
    captions = ["a slow flute", "fast drums", "a slow flute"]
    first = TextSource(encoder, captions, frozen=True, device=torch.device("cpu"), cache_dir=tmp_path, progress=False)
    assert len(list(tmp_path.glob("text-*.safetensors"))) == 1
    assert torch.equal(first.table[0], first.table[2]) and not torch.equal(first.table[0], first.table[1])
    monkeypatch.setattr(type(encoder), "forward", None)
    again = TextSource(encoder, captions, frozen=True, device=torch.device("cpu"), cache_dir=tmp_path, progress=False)
    assert torch.equal(first.table, again.table)
