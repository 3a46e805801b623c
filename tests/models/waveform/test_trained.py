"""Towers on published encoders: trained, saved, loaded, searched, with each kind frozen and not."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import slapkit
from slapkit.models.encoders import waveform_encoder
from slapkit.training import train
from tests.models.waveform.wave_folders import noise
from tests.training.tones import make_tones, tiny


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    return make_tones(tmp_path_factory.mktemp("data") / "tones", clips=30, seconds=1.0, rate=16000)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def trained(folder: str, tones, cache, out, *, layer=-1, frozen: bool, **options):
    audio = waveform_encoder(folder, layer=layer, window_s=0.6, frozen=frozen)
    chosen = tiny({"steps": 2, "batch_size": 8} | options, {"audio": audio})
    return train(model=chosen.model, config=chosen.train, dataset=tones, out_dir=out, cache_dir=cache, progress=False)


@pytest.mark.parametrize(
    ("kind", "frozen", "layer", "objective"),
    [
        ("wav2vec2", True, 1, "slap"),
        ("wav2vec2", False, 1, "slap"),
        ("hubert", False, None, "clap"),
        ("ast", True, -1, "clap"),
        ("ast", False, 2, "slap"),
        ("whisper", False, -1, "siglip"),
        ("whisper", True, None, "slap"),
    ],
)
def test_two_steps_then_saved_and_loaded(folders, tones, cache, tmp_path, kind, frozen, layer, objective):
    from transformers import AutoModel

    done = trained(folders[kind], tones, cache, tmp_path, layer=layer, frozen=frozen, objective=objective)
    assert all(np.isfinite(row["loss"]) for row in done.history)
    published = AutoModel.from_pretrained(folders[kind])
    before = (published.encoder if kind == "whisper" else published).state_dict()
    after = done.model.audio.encoder.model.state_dict()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert bool(changed) != frozen  # and it began at the published weights
    assert all((value - before[name]).abs().max() < 0.01 for name, value in after.items())
    sounds = [noise(16000, seed=i).numpy() for i in range(3)]
    model = slapkit.load(tmp_path, device="cpu")
    found = model.embed_audio(sounds, sample_rate=16000)
    assert found.shape == (3, 32) and np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    live = slapkit.models.inference.Model(done.model).embed_audio(sounds, sample_rate=16000)
    np.testing.assert_allclose(found, live, atol=1e-6)
    alone = np.concatenate([model.embed_audio([sound], sample_rate=16000) for sound in sounds])
    np.testing.assert_allclose(found, alone, atol=1e-5)


def test_a_checkpoint_needs_no_source(folders, tones, cache, tmp_path):
    trained(folders["wav2vec2"], tones, cache, tmp_path, frozen=True)
    sounds = [noise(16000).numpy()]
    expected = slapkit.load(tmp_path, device="cpu").embed_audio(sounds, sample_rate=16000)
    content = json.loads((tmp_path / "config.json").read_text())
    content["model"]["audio"]["waveform"]["source"] = "/gone"
    (tmp_path / "config.json").write_text(json.dumps(content))
    np.testing.assert_array_equal(slapkit.load(tmp_path, device="cpu").embed_audio(sounds, sample_rate=16000), expected)


def test_training_goes_on_where_it_stopped(folders, tones, cache, tmp_path):
    options = {"frozen": False, "objective": "clap", "checkpoint_every": 1, "steps": 3, "warmup_fraction": 0.0}
    whole = trained(folders["wav2vec2"], tones, cache, tmp_path / "whole", **options)

    def stop(row):
        if row["step"] == 2:
            raise KeyboardInterrupt

    audio = waveform_encoder(folders["wav2vec2"], window_s=0.6, frozen=False)
    chosen = tiny({k: v for k, v in options.items() if k != "frozen"} | {"batch_size": 8}, {"audio": audio})
    parts = {"model": chosen.model, "config": chosen.train, "dataset": tones, "out_dir": tmp_path / "cut"}
    with pytest.raises(KeyboardInterrupt):
        train(**parts, cache_dir=cache, progress=False, callbacks=[stop])
    cut = train(**parts, cache_dir=cache, progress=False)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, cut.model.state_dict()[name]), name


def test_masks_hide_time_and_never_single_samples(folders, tones, cache, tmp_path):
    """A band of a spectrogram has no counterpart among samples: the same sample of every frame would be hidden."""
    from slapkit.training.loop import Trainer

    audio = waveform_encoder(folders["wav2vec2"], window_s=0.6)
    chosen = tiny(
        {"batch_size": 8, "freq_mask": 8, "time_mask_s": 0.2, "masks": 2}, {"audio": audio.replace(frozen=False)}
    )
    trainer = Trainer(chosen.model, chosen.train, tones, tmp_path, cache, progress=False)
    hidden_frames = 0
    for step in range(4):
        batch = trainer.batches.micro_batch(step % 2, 0, torch.device("cpu"))
        hidden = batch["audio"] != batch["target_audio"]
        rows = hidden.float().mean(2)
        assert ((rows == 0) | (rows > 0.9)).all()  # a frame as a whole or not at all
        hidden_frames += (rows > 0.9).sum().item()
    assert hidden_frames > 10


def test_a_library_of_waves_is_built_and_shown(folders, tones, cache, tmp_path):
    from slapkit.search import Library

    trained(folders["hubert"], tones, cache, tmp_path / "run", frozen=True)
    library = Library.build(tones.root, tmp_path / "run", out=tmp_path / "library", progress=False)
    assert len(library) == 30
    found = library.search("a low calm tone", k=3)
    assert len(found) == 3
    assert library.log_mel(found["id"].iloc[0]).pixels.max() == 255


def test_a_long_file_gives_the_samples_of_a_short_one(tmp_path, monkeypatch):
    import soundfile

    from slapkit.audio import features
    from slapkit.audio.frontend import FrontendConfig

    frontend = FrontendConfig(kind="wave", sample_rate=16000, hop=320, min_s=0.5)
    soundfile.write(tmp_path / "x.wav", noise(16000 * 5 + 77).numpy(), 16000, subtype="FLOAT")
    whole = features.extract(tmp_path / "x.wav", frontend)
    monkeypatch.setattr(features, "LONG_S", 2.0)
    monkeypatch.setattr(features, "PIECE_S", 1.0)
    np.testing.assert_array_equal(features.extract(tmp_path / "x.wav", frontend), whole)
