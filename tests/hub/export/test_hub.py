"""The Hub's folder: whole, with a card, up and down without a network in between."""

import json
import shutil

import numpy as np
import pytest

import slapkit
from slapkit.errors import ConfigError
from slapkit.hub.export import to_hub_folder
from slapkit.models.encoders import TextEncoderConfig, waveform_encoder
from tests.hub.export.export_parts import build, save_run, sounds
from tests.models.waveform.wave_folders import write

CAPTIONS = ["drums", "a slow waltz for two flutes"]


def embeddings(model, rate: int = 24000) -> tuple[np.ndarray, np.ndarray]:
    waves = sounds(2)
    return model.embed_audio(waves, sample_rate=rate), model.embed_text(CAPTIONS)


def same(found, expected) -> None:
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.fixture
def run(text, tmp_path):
    return save_run(build("slap", {}, text, batch_norm=True), tmp_path / "run")


def test_the_folder_is_read_and_written_again(run, tmp_path):
    expected = embeddings(slapkit.load(run, device="cpu"))
    to_hub_folder(run, tmp_path / "out")
    same(embeddings(slapkit.load(tmp_path / "out", device="cpu")), expected)
    to_hub_folder(tmp_path / "out", tmp_path / "again")
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def test_where_a_training_started_is_named_without_its_place(run, tmp_path):
    config = json.loads((run / "checkpoint" / "config.json").read_text())
    config["train"]["init"] = "/home/me/runs/old"
    (run / "checkpoint" / "config.json").write_text(json.dumps(config))
    written = json.loads((to_hub_folder(run, tmp_path / "out") / "config.json").read_text())
    assert written["train"] == {"steps": 7, "init": "old"}


def test_a_frozen_text_encoder_out_of_a_folder_is_written_too(roberta, tmp_path):
    own = tmp_path / "own"
    shutil.copytree(roberta, own)
    text = TextEncoderConfig(source=str(own), pooling="mean", frozen=True, max_tokens=20)
    model = build("slap", {}, text, batch_norm=True)
    run = save_run(model, tmp_path / "run")
    assert not (run / "checkpoint" / "text_encoder").exists()  # a run keeps it by reference
    to_hub_folder(run, tmp_path / "out")
    shutil.rmtree(own)
    with pytest.raises(ConfigError):
        slapkit.load(run, device="cpu")
    same(embeddings(slapkit.load(tmp_path / "out", device="cpu")), embeddings(model))
    assert str(tmp_path) not in (tmp_path / "out" / "config.json").read_text()
    assert model.joint.text.frozen and model.joint.config.text.source == str(own)  # the model itself is as it was


def test_an_encoder_of_waves_needs_no_source(text, tmp_path):
    source = write(tmp_path / "source", "wav2vec2")
    run = save_run(build("clap", waveform_encoder(str(source), window_s=0.6), text, batch_norm=False), tmp_path / "run")
    expected = embeddings(slapkit.load(run, device="cpu"))
    to_hub_folder(run, tmp_path / "out")
    shutil.rmtree(source)
    same(embeddings(slapkit.load(tmp_path / "out", device="cpu")), expected)
    assert str(tmp_path) not in (tmp_path / "out" / "config.json").read_text()
