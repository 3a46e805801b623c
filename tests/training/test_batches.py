"""Which pairs form a step: a function of the seed, however they are shared out."""

import numpy as np
import pytest
import torch

from slapkit.audio import features
from slapkit.errors import DataError
from slapkit.models.encoders import TextEncoderConfig, build_text_encoder
from slapkit.training.batches import AudioSource, BatchSource, TextSource
from tests.training.tones import tiny

CPU = torch.device("cpu")


class NoText:
    """Stands in for captions: hands out their numbers."""

    def take(self, captions, device):
        return torch.from_numpy(np.asarray(captions))


@pytest.fixture
def source(tones, cache):
    chosen = tiny({"masks": 0})
    store = features.build(tones.audio_files(), chosen.model.audio.frontend, cache, progress=False)
    audio = AudioSource(store, [c.id for c in tones], chosen.model.audio.window_frames)
    with pytest.raises(DataError, match="absent"):
        AudioSource(store, ["absent"], 10)

    def make(rank=0, devices=1, **changes):
        owners = [np.array([2 * i, 2 * i + 1]) for i in range(len(tones))]
        return BatchSource(audio, NoText(), owners, chosen.train.replace(**changes), rank=rank, devices=devices)

    return make


def test_an_epoch_shows_every_clip_once_with_all_its_captions_and_windows_in_turn(source):
    batches = source()
    plans = [batches.plan(step) for step in range(200)]
    first, second = (np.concatenate([plan["clips"] for plan in plans[i : i + 3]]) for i in (0, 3))
    assert sorted(first) == sorted(second) == list(range(48)) and list(first) != list(second)
    assert all((plan["captions"] // 2 == plan["clips"]).all() for plan in plans)
    assert {int(c) % 2 for plan in plans for c in plan["captions"]} == {0, 1}
    starts = np.concatenate([plan["starts"] for plan in plans])
    assert starts.min() == 0 and starts.max() == batches.audio.places(np.array([0]))[0] - 1


def test_plan_is_independent_of_order(source):
    a, b = source(), source()
    later, earlier = a.plan(7), a.plan(2)
    for found, expected in ((earlier, b.plan(2)), (later, b.plan(7))):
        assert all((found[key] == value).all() for key, value in expected.items())


def test_devices_and_micro_batches_share_the_same_pairs(source):
    whole = source().micro_batch(3, 0, CPU)
    parts = [source(rank=r, devices=2, micro_batch=4).micro_batch(3, k, CPU) for r in range(2) for k in range(2)]
    for name in ("audio", "text"):
        assert torch.equal(torch.cat([part[name] for part in parts]), whole[name])


def test_augmentation_repeats_with_the_micro_batch_and_spares_the_target(source):
    batches = source(masks=2)
    first, again = (batches.micro_batch(3, 0, CPU) for _ in range(2))
    assert torch.equal(first["audio"], again["audio"])
    assert not torch.equal(first["audio"], first["target_audio"])
    assert torch.equal(first["target_audio"], source().micro_batch(3, 0, CPU)["audio"])


def test_frozen_captions_are_kept_for_the_next_run(tmp_path, monkeypatch):
    encoder = build_text_encoder(TextEncoderConfig()).eval()
    captions, given = ["a slow flute", "fast drums", "a slow flute"], {"frozen": True, "device": CPU}
    first = TextSource(encoder, captions, cache_dir=tmp_path, **given)
    assert len(list(tmp_path.glob("text-*.safetensors"))) == 1
    assert torch.equal(first.table[0], first.table[2]) and not torch.equal(first.table[0], first.table[1])
    monkeypatch.setattr(type(encoder), "forward", None)
    assert torch.equal(first.table, TextSource(encoder, captions, cache_dir=tmp_path, **given).table)
