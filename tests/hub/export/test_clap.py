"""A folder for transformers' ClapModel: what it hears and reads is what the model does, or nothing is written."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import slapkit
from slapkit.errors import ConfigError
from slapkit.hub.export import ExportError, to_clap
from slapkit.hub.export import clap as clap_module
from slapkit.models.encoders import TextEncoderConfig
from tests.hub.export.export_parts import build, sounds

CAPTIONS = ["drums", "a slow waltz for two flutes", "music " * 50]


@torch.no_grad()
def by_transformers(folder, waves: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of sounds and captions by transformers' own classes alone."""
    from transformers import ClapModel, ClapProcessor

    model, processor = ClapModel.from_pretrained(folder).eval(), ClapProcessor.from_pretrained(folder)
    heard = processor.feature_extractor(waves, sampling_rate=24000, return_tensors="pt")
    read = processor.tokenizer(CAPTIONS, padding=True, truncation=True, return_tensors="pt")
    short = torch.zeros(len(waves), 1, dtype=torch.bool)  # none is longer than what it hears at once
    inputs = {"input_features": heard["input_features"], "is_longer": short}
    out = model(input_ids=read["input_ids"], attention_mask=read["attention_mask"], **inputs)
    return out.audio_embeds.numpy(), out.text_embeds.numpy()


@pytest.mark.parametrize("objective", ["clap", "slap"])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_transformers_hears_and_reads_as_the_model_does(clap_like, tmp_path, objective, batch_norm):
    model = clap_like(objective, batch_norm)
    to_clap(model, tmp_path / "out", card="# A card\n")
    audio, text = by_transformers(tmp_path / "out", sounds())
    expected = model.embed_audio(sounds(), sample_rate=24000, embedding="z")
    np.testing.assert_allclose(audio, expected, atol=1e-5)
    np.testing.assert_allclose(text, model.embed_text(CAPTIONS, embedding="z"), atol=1e-5)
    assert np.abs(expected[0] - expected[1]).max() > 1e-3  # the sounds are told apart
    assert (tmp_path / "out" / "README.md").read_text() == "# A card\n"
    assert not [p for p in (tmp_path / "out").rglob("*") if p.suffix in (".bin", ".pt", ".pkl")]


def test_the_temperature_travels(clap_like, tmp_path):
    from transformers import ClapModel

    model = clap_like("clap")
    with torch.no_grad():
        model.joint.log_scale.fill_(2.5)
    to_clap(model, tmp_path / "out")
    assert ClapModel.from_pretrained(tmp_path / "out").logit_scale_a.item() == pytest.approx(2.5, abs=1e-5)


def test_what_is_written_is_read_back_as_slapkits_own(clap_like, tmp_path):
    model = clap_like("clap")
    to_clap(model, tmp_path / "out")
    again = slapkit.load(tmp_path / "out", device="cpu")
    found = again.embed_audio(sounds(), sample_rate=24000)
    np.testing.assert_allclose(found, model.embed_audio(sounds(), sample_rate=24000), atol=1e-5)
    np.testing.assert_allclose(again.embed_text(CAPTIONS[:2]), model.embed_text(CAPTIONS[:2]), atol=1e-5)


def test_a_fused_encoder_and_its_bands_fit(clap_like, tmp_path):
    from tests.hub.export.export_parts import HTSAT

    fused = HTSAT | {"enable_fusion": True, "fusion_type": "aff_2d"}
    bands = {"min_s": 1.0, "mel_scale": "htk", "norm": "none"}
    model = clap_like("clap", htsat=fused, frontend=bands)
    to_clap(model, tmp_path / "out")
    audio, _ = by_transformers(tmp_path / "out", sounds())
    np.testing.assert_allclose(audio, model.embed_audio(sounds(), sample_rate=24000), atol=1e-5)


@pytest.mark.parametrize(
    ("audio", "words"),
    [
        ({"kind": "cnn", "htsat": {}}, "audio encoder is 'cnn'"),
        ({"frontend": {"min_s": 1.0, "norm": "none"}}, "mel bands"),
        ({"frontend": {"min_s": 1.0, "norm": "none", "mel_scale": "htk"}}, "mel bands"),  # those of a fused encoder
        ({"window_s": 0.9}, "window of 0.9 s.*repeats short clips up to 1.0 s"),
    ],
)
def test_parts_of_the_audio_tower_that_do_not_fit_are_named(clap_like, tmp_path, audio, words):
    with pytest.raises(ExportError, match=words):
        to_clap(clap_like(**audio), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_parts_of_the_text_tower_and_the_heads_that_do_not_fit_are_named_all(roberta, tmp_path):
    audio: dict = {}
    model = build("slap", audio, TextEncoderConfig(), batch_norm=True)  # MiniLM, a BERT, by its mean
    with pytest.raises(ExportError, match="'cnn'.*'bert', not RoBERTa.*pooled by 'mean'"):
        to_clap(model, tmp_path / "out")
    from slapkit.models.inference import Model
    from slapkit.models.joint import HeadConfig, JointModel

    wide = model.config.replace(text_projector=HeadConfig(hidden=48))
    with pytest.raises(ExportError, match="text_projector has a hidden layer of 48"):
        to_clap(Model(JointModel.build(wide, "slap")), tmp_path / "out")


@pytest.mark.parametrize(
    "part", ["audio.projector.0.weight", "text.projector.1.running_var", "audio.encoder", "text.encoder"]
)
def test_an_export_that_differs_is_not_written(clap_like, tmp_path, monkeypatch, part):
    """Weights that change behind the export's back, as a mapping that misses a tensor would have it."""
    model, fill = clap_like("clap"), clap_module._fill

    def wrong(clap, given):
        state = {n: t.clone() for n, t in given.joint.state_dict().items()}
        name = next(n for n in state if n.startswith(part) and state[n].is_floating_point() and state[n].numel() > 1)
        changed = {n: t for n, t in state.items()}
        changed[name] = state[name] + 0.5 * torch.rand_like(state[name])
        given.joint.load_state_dict(changed)
        fill(clap, given)
        given.joint.load_state_dict(state)

    monkeypatch.setattr(clap_module, "_fill", wrong)
    with pytest.raises(ExportError, match="differs from the model by"):
        to_clap(model, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_there_is_left_alone(clap_like, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("mine")
    with pytest.raises(ConfigError, match="out is there already"):
        to_clap(clap_like(), tmp_path / "out")
    assert [p.name for p in tmp_path.rglob("*")] == ["out", "thesis.tex"]
