"""A folder for transformers' ClapModel: it embeds as the model does, or nothing is written."""

import math

import numpy as np
import pytest
import torch
from transformers import ClapModel, ClapProcessor

import slapkit
from slapkit.errors import ConfigError
from slapkit.hub.export import ExportError, to_clap
from slapkit.hub.export import clap as clap_module
from slapkit.metrics import zero_shot
from slapkit.models.encoders import TextEncoderConfig
from tests.hub.export.export_parts import HTSAT, build, sounds

CAPTIONS = ["drums", "a slow waltz for two flutes", "music " * 50]


@torch.no_grad()
def by_transformers(folder, waves: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of sounds and captions by transformers' own classes alone."""
    model, processor = ClapModel.from_pretrained(folder).eval(), ClapProcessor.from_pretrained(folder)
    features = processor.feature_extractor(waves, sampling_rate=24000, return_tensors="pt")["input_features"]
    tokens = processor.tokenizer(CAPTIONS, padding=True, truncation=True, return_tensors="pt")
    short = torch.zeros(len(waves), 1, dtype=torch.bool)  # none is longer than the window
    ids, mask = tokens["input_ids"], tokens["attention_mask"]
    out = model(input_ids=ids, attention_mask=mask, input_features=features, is_longer=short)
    return out.audio_embeds.numpy(), out.text_embeds.numpy()


FUSED = {
    "htsat": HTSAT | {"enable_fusion": True, "fusion_type": "aff_2d"},
    "frontend": {"min_s": 1.0, "mel_scale": "htk", "norm": "none"},
}


@pytest.mark.parametrize(
    ("objective", "batch_norm", "audio"), [("clap", False, {}), ("slap", True, {}), ("clap", True, FUSED)]
)
def test_transformers_and_slapkit_read_what_is_written(clap_like, tmp_path, objective, batch_norm, audio):
    model, out = clap_like(objective, batch_norm, **audio), tmp_path / "out"
    if objective == "clap":
        with torch.no_grad():
            model.joint.log_scale.fill_(2.5)
    to_clap(model, out, card="# A card\n")
    wanted = [model.embed_audio(sounds(), sample_rate=24000, embedding="z"), model.embed_text(CAPTIONS, embedding="z")]
    assert np.abs(wanted[0][0] - wanted[0][1]).max() > 1e-3, "or all would pass"
    again = slapkit.load(out, device="cpu")
    for found, expected in zip(by_transformers(out, sounds()), wanted):
        np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_allclose(again.embed_audio(sounds(), sample_rate=24000), wanted[0], atol=1e-4)
    np.testing.assert_allclose(again.embed_text(CAPTIONS[:2]), wanted[1][:2], atol=1e-4)
    if objective == "clap":
        assert ClapModel.from_pretrained(out).logit_scale_a.item() == pytest.approx(2.5, abs=1e-5)
    assert (out / "README.md").read_text() == "# A card\n"
    assert not [p for p in out.rglob("*") if p.suffix in (".bin", ".pt", ".pkl")]


def test_the_pipeline_of_transformers_classifies_as_we_do(clap_like, tmp_path):
    from transformers import pipeline

    model, labels, prompt = (
        clap_like("clap"),
        ["drums", "a slow waltz", "two flutes"],
        "{}",
    )  # its own would be cut at 20 tokens
    with torch.no_grad():
        model.joint.log_scale.fill_(math.log(100))  # or all classes would be as likely
    classify = pipeline("zero-shot-audio-classification", model=str(to_clap(model, tmp_path / "out")))
    waves = [sounds(1, seconds)[0] for seconds in (0.4, 1.0)] + [np.cumsum(sounds(1)[0]) / 100]
    audio = model.embed_audio(waves, sample_rate=24000, embedding="z")
    cosines = zero_shot.prompt_scores(model, audio, labels, prompts=[prompt], embedding="z")[prompt]
    wanted = torch.from_numpy(100 * cosines).softmax(1).numpy()
    assert np.ptp(wanted, axis=0).max() > 0.002, "or a constant would pass"
    for wave, row in zip(waves, wanted):
        found = {
            one["label"]: one["score"] for one in classify(wave, candidate_labels=labels, hypothesis_template=prompt)
        }
        assert [found[label] for label in labels] == pytest.approx(row, abs=5e-4)


@pytest.mark.parametrize(
    ("audio", "named"),
    [
        ({"kind": "cnn", "htsat": {}}, "'cnn'"),
        ({"frontend": {"min_s": 1.0, "norm": "none"}}, "norm none"),
        ({"frontend": FUSED["frontend"]}, "norm none"),  # those of a fused encoder
        ({"window_s": 0.9}, "0.9 s.*up to 1.0 s"),
    ],
)
def test_parts_of_the_audio_tower_that_do_not_fit_are_named(clap_like, tmp_path, audio, named):
    with pytest.raises(ExportError, match=named):
        to_clap(clap_like(**audio), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_all_parts_that_do_not_fit_are_named(tmp_path):
    model = build("slap", {}, TextEncoderConfig(), batch_norm=True, text_projector=48)  # MiniLM, a BERT, by its mean
    with pytest.raises(ExportError, match="'cnn'.*'bert'.*'mean'.*text_projector.*48"):
        to_clap(model, tmp_path / "out")


@pytest.mark.parametrize(
    "part", ["audio.projector.0.weight", "text.projector.1.running_var", "audio.encoder", "text.encoder"]
)
def test_an_export_that_differs_is_not_written(clap_like, tmp_path, monkeypatch, part):
    """Weights that change behind the export's back, as a mapping that misses a tensor would have it."""
    model, fill = clap_like("clap"), clap_module._fill

    def wrong(clap, given):
        state = {n: t.clone() for n, t in given.joint.state_dict().items()}
        name = next(n for n in state if n.startswith(part) and state[n].is_floating_point() and state[n].numel() > 1)
        given.joint.load_state_dict(state | {name: state[name] + 0.5 * torch.rand_like(state[name])})
        fill(clap, given)
        given.joint.load_state_dict(state)

    monkeypatch.setattr(clap_module, "_fill", wrong)
    with pytest.raises(ExportError, match="differs from the model"):
        to_clap(model, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_there_is_left_alone(clap_like, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("mine")
    with pytest.raises(ConfigError, match="out"):
        to_clap(clap_like(), tmp_path / "out")
    assert [p.name for p in tmp_path.rglob("*")] == ["out", "thesis.tex"]
