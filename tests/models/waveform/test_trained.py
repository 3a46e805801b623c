"""Towers on published encoders: trained, saved, loaded, searched, with each kind frozen and not."""

import json

import numpy as np
import pytest
import torch

import slapkit
from slapkit.models.encoders import waveform_encoder
from tests.models.waveform.wave_folders import noise
from tests.training.tones import assert_equal, make_tones, run, stopped_at, tiny


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    return make_tones(tmp_path_factory.mktemp("data") / "tones", clips=30, seconds=1.0, rate=16000)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def trained(folder: str, tones, cache, out, *, layer=-1, frozen: bool, **options):
    audio = waveform_encoder(folder, layer=layer, window_s=0.6, frozen=frozen)
    chosen = tiny({"steps": 2, "batch_size": 8} | options, {"audio": audio})
    return run(chosen, tones, out, cache)


@pytest.mark.parametrize(
    ("kind", "frozen", "layer", "objective"),
    [
        ("wav2vec2", True, 1, "slap"),
        ("hubert", False, None, "clap"),
        ("ast", False, 2, "slap"),
        ("whisper", False, -1, "siglip"),
        ("whisper", True, None, "slap"),
    ],
)
def test_two_steps_then_saved_and_loaded_without_the_source(
    folders, tones, cache, tmp_path, kind, frozen, layer, objective
):
    from transformers import AutoModel

    done = trained(folders[kind], tones, cache, tmp_path, layer=layer, frozen=frozen, objective=objective)
    assert all(np.isfinite(row["loss"]) for row in done.history)
    published = AutoModel.from_pretrained(folders[kind])
    before = (published.encoder if kind == "whisper" else published).state_dict()
    after = done.model.audio.encoder.model.state_dict()
    assert any(not torch.equal(value, before[name]) for name, value in after.items()) != frozen
    assert all((value - before[name]).abs().max() < 0.01 for name, value in after.items()), "from published weights on"
    content = json.loads((tmp_path / "config.json").read_text())
    content["model"]["audio"]["waveform"]["source"] = "/gone"
    (tmp_path / "config.json").write_text(json.dumps(content))
    sounds = [noise(16000, seed=i).numpy() for i in range(3)]
    found = slapkit.load(tmp_path, device="cpu").embed_audio(sounds, sample_rate=16000)
    assert found.shape == (3, 32) and np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    live = slapkit.models.inference.Model(done.model).embed_audio(sounds, sample_rate=16000)
    np.testing.assert_allclose(found, live, atol=1e-6)


def test_training_goes_on_where_it_stopped(folders, tones, cache, tmp_path):
    options = {"frozen": False, "objective": "clap", "checkpoint_every": 1, "steps": 3, "warmup_fraction": 0.0}
    whole = trained(folders["wav2vec2"], tones, cache, tmp_path / "whole", **options)
    with stopped_at(2):
        trained(folders["wav2vec2"], tones, cache, tmp_path / "cut", **options)
    cut = trained(folders["wav2vec2"], tones, cache, tmp_path / "cut", **options)
    assert_equal(whole.model.state_dict(), cut.model.state_dict())


def test_masks_hide_time_and_never_single_samples(folders, tones, cache, tmp_path):
    """A band of a spectrogram has no counterpart among samples: the same sample of every frame would be hidden."""
    from slapkit.training.loop import Trainer

    audio = waveform_encoder(folders["wav2vec2"], window_s=0.6, frozen=False)
    chosen = tiny({"batch_size": 8, "freq_mask": 8, "time_mask_s": 0.2, "masks": 2}, {"audio": audio})
    trainer, hidden_frames = Trainer(chosen.model, chosen.train, tones, tmp_path, cache, progress=False), 0
    for step in range(2):
        batch = trainer.batches.micro_batch(step, 0, torch.device("cpu"))
        rows = (batch["audio"] != batch["target_audio"]).float().mean(2)
        assert ((rows == 0) | (rows > 0.9)).all()  # a frame as a whole or not at all
        hidden_frames += (rows > 0.9).sum().item()
    assert hidden_frames > 5


def test_a_library_of_waves_is_built_and_shown(folders, tones, cache, tmp_path):
    from slapkit.search import Library

    trained(folders["hubert"], tones, cache, tmp_path / "run", frozen=True)
    library = Library.build(tones.root, tmp_path / "run", out=tmp_path / "library", progress=False)
    assert len(library) == 30
    found = library.search("a low calm tone", k=3)
    assert len(found) == 3
    assert library.log_mel(found["id"].iloc[0]).pixels.max() == 255
