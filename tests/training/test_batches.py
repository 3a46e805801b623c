"""Which pairs form a step: a function of the seed, however they are shared out."""

import numpy as np
import pytest
import torch

from slapkit.audio import features
from slapkit.errors import DataError
from slapkit.models.encoders import TextEncoderConfig, build_text_encoder
from slapkit.training.batches import AudioSource, BatchSource, TextSource
from tests.training.tones import NoText, tiny

CPU = torch.device("cpu")


@pytest.fixture
def source(tones, cache):
    chosen = tiny({"masks": 0, "text_views": False, "window_views": False})
    store = features.build(tones.audio_files(), chosen.model.audio.frontend, cache, progress=False)
    audio = AudioSource(store, [c.id for c in tones], chosen.model.audio.window_frames)
    with pytest.raises(DataError, match="absent"):
        AudioSource(store, ["absent"], 10)

    def make(rank=0, devices=1, counts=None, **changes):
        clip_of_caption = np.repeat(np.arange(len(tones)), counts or [2] * len(tones))
        place = {"rank": rank, "devices": devices}
        return BatchSource(audio, NoText(), clip_of_caption, chosen.train.replace(**changes), **place)

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


def test_plan_is_that_of_a_loop_with_and_without_views(source):
    """What a run of before drew must be drawn again; views must not change what context towers see."""
    counts = [1 + i % 5 for i in range(48)]
    owners = np.split(np.arange(sum(counts)), np.cumsum(counts)[:-1])
    plain, views = source(counts=counts), source(counts=counts, text_views=True, window_views=True)
    for step in (0, 3, 100):
        plan, rng = plain.plan(step), np.random.default_rng([0, 1, step])
        clips = np.random.default_rng([0, 0, step // 3]).permutation(48)[step % 3 * 16 :][:16]
        assert plan.keys() == {"clips", "captions", "starts"} and (plan["clips"] == clips).all()
        assert (plan["captions"] == [rng.choice(owners[clip]) for clip in clips]).all()
        assert (plan["starts"] == rng.integers(0, plain.audio.places(clips))).all()
        assert all((views.plan(step)[key] == value).all() for key, value in plan.items())


def test_targets_see_another_caption_and_window_of_the_same_clip(source):
    counts = [1 + i % 3 for i in range(48)]
    views = source(counts=counts, text_views=True, window_views=True)
    clip_of_caption, pairs = np.repeat(np.arange(48), counts), set()
    for step in range(150):
        plan = views.plan(step)
        assert (clip_of_caption[plan["target_captions"]] == plan["clips"]).all()
        several = np.array(counts)[plan["clips"]] > 1
        assert ((plan["captions"] != plan["target_captions"]) == several).all()
        assert (plan["starts"] != plan["target_starts"]).all()
        assert (plan["target_starts"] < views.audio.places(plan["clips"])).all()
        pairs |= {*zip(plan["captions"].tolist(), plan["target_captions"].tolist())}
    assert len(pairs) == sum(n * max(n - 1, 1) for n in counts), "every other caption has its turn"
    alone = source(counts=counts, text_views=True)
    assert "target_starts" not in alone.plan(3)
    assert (alone.plan(3)["target_captions"] == views.plan(3)["target_captions"]).all()
    for objective in ("clap", "siglip"):
        rival = source(counts=counts, text_views=True, window_views=True, objective=objective)
        assert rival.plan(3).keys() == {"clips", "captions", "starts"}


def test_plan_is_independent_of_order(source):
    a, b = source(), source()
    later, earlier = a.plan(7), a.plan(2)
    for found, expected in ((earlier, b.plan(2)), (later, b.plan(7))):
        assert all((found[key] == value).all() for key, value in expected.items())


def test_devices_and_micro_batches_share_the_same_pairs(source):
    views = {"text_views": True, "window_views": True}
    whole, plain = source(**views).micro_batch(3, 0, CPU), source().micro_batch(3, 0, CPU)
    places = [{"rank": rank, "devices": 2, "micro_batch": 4} | views for rank in range(2)]
    parts = [source(**place).micro_batch(3, k, CPU) for place in places for k in range(2)]
    for name in ("audio", "text", "target_audio", "target_text"):
        assert torch.equal(torch.cat([part[name] for part in parts]), whole[name])
    assert torch.equal(whole["audio"], plain["audio"]) and torch.equal(whole["text"], plain["text"])
    assert not torch.equal(whole["audio"], whole["target_audio"])
    assert plain.keys() == {"audio", "text", "target_audio"}


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
    assert len(list(tmp_path.glob("text-*.representations"))) == 1
    assert torch.equal(first.table[0], first.table[2]) and not torch.equal(first.table[0], first.table[1])
    monkeypatch.setattr(type(encoder), "forward", None)
    assert torch.equal(first.table, TextSource(encoder, captions, cache_dir=tmp_path, **given).table)


def test_captions_are_represented_in_the_precision_of_the_training(tmp_path):
    encoder = build_text_encoder(TextEncoderConfig()).eval()
    given = {"frozen": True, "device": CPU, "cache_dir": tmp_path}
    exact, reduced = (
        TextSource(encoder, ["a slow flute", "fast drums"], precision=one, **given).table for one in ("no", "bf16")
    )
    assert not torch.equal(exact, reduced)
    assert (torch.cosine_similarity(exact, reduced) > 0.9999).all()
    assert exact.dtype == reduced.dtype == torch.float32
