"""Models broken on purpose, each in one way: the doctor names the fault."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest
import torch

from slapkit.audio.frontend import LogMel
from slapkit.hub.doctor import examine
from slapkit.hub.doctor.checks import CHECKS
from slapkit.hub.doctor.examination import run_check
from slapkit.hub.doctor.subject import Subject
from slapkit.models.inference import Model
from slapkit.models.weights import load_tensors, save_tensors


def failed(found) -> set[str]:
    """Names of the failed checks; the page must be fit to be written whatever they are."""
    json.dumps(found.to_dict(), allow_nan=False)
    assert found.text() and found._repr_html_()
    assert all(check.remedy for check in found.checks if check.verdict in ("warn", "fail"))
    return {check.name for check in found.checks if check.verdict == "fail"}


def run(name: str, model, **given):
    """Make one check of a model."""
    return run_check(next(kind for kind in CHECKS if kind.name == name), Subject(model, **given))


def rewrite_weights(folder, change) -> None:
    path = folder / "model.safetensors"
    tensors = load_tensors(path)
    change(tensors)
    save_tensors(tensors, path)


def shuffle(parameters, seed: int = 0) -> None:
    """Put the entries of each tensor in random order, in place."""
    generator = torch.Generator().manual_seed(seed)
    for value in parameters:
        value.data = value.data.flatten()[torch.randperm(value.numel(), generator=generator)].view_as(value)


class Wrapped:
    """The trained model behind a fault of the code around it."""

    def __init__(self, model: Model) -> None:
        self.inner, self.config = model, model.config

    def embed_audio(self, sounds, *, sample_rate=None):
        return self.inner.embed_audio(sounds, sample_rate=sample_rate)

    def embed_text(self, captions):
        return read_once(self.inner, tuple(captions)).copy()


@functools.lru_cache(maxsize=200)
def read_once(model: Model, captions: tuple[str, ...]) -> np.ndarray:
    """Embed captions, which all faults around the same model share."""
    return model.embed_text(captions)


@pytest.mark.slow
def test_wrapped_model_is_healthy(loaded):
    assert failed(examine(Wrapped(loaded), progress=False)) == set()


# Weights


def test_shuffled_weights_in_a_file(broken, held_out):
    def change(tensors):
        shuffle(value for name, value in sorted(tensors.items()) if value.dim() >= 1 and "running" not in name)

    rewrite_weights(broken, change)
    sounds, captions = held_out
    found = failed(examine(broken, sounds=sounds, captions=captions, progress=False))
    assert {"trained weights", "matched pairs", "audio tower as saved", "text tower as saved"} <= found
    assert "front end as saved" not in found


@pytest.mark.parametrize("tower", ["audio", "text"])
def test_one_tower_with_shuffled_weights(model, tower):
    shuffle(p for n, p in getattr(model.joint, tower).named_parameters() if tower == "audio" or "projector" in n)
    check = run("trained weights", model)
    assert check.verdict == "fail" and tower in check.words


@pytest.mark.slow
def test_rows_in_another_order_show_against_the_signature_and_in_pairs(broken, held_out):
    """Singular values are the same for rows in order invariance, so only what the rows do can tell."""

    def change(tensors):
        weight = tensors["text.projector.0.weight"]
        tensors["text.projector.0.weight"] = weight[torch.randperm(len(weight))].clone()

    rewrite_weights(broken, change)
    sounds, captions = held_out
    found = failed(examine(broken, sounds=sounds, captions=captions, progress=False))
    assert "text tower as saved" in found
    assert not found & {"audio tower as saved", "front end as saved", "trained weights"}


def test_nan_weights(broken):
    rewrite_weights(broken, lambda tensors: tensors["audio.projector.3.weight"][0].fill_(float("nan")))
    found = examine(broken, progress=False)
    assert failed(found) == {"finite weights", "finite embeddings"}
    assert "audio.projector.3.weight" in found.check("finite weights").words
    assert found.check("audio similarity").verdict == "unknown"


def test_running_statistics_of_another_model(model):
    for module in model.joint.audio.modules():
        if isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d):
            module.running_mean.add_(20 * module.running_var.sqrt())
    check = run("running statistics", model)
    assert check.verdict == "fail" and "audio" in check.words


def test_another_text_encoder(model):
    assert run("text encoder", model).verdict == "pass"
    with torch.no_grad():
        next(model.joint.text.encoder.model.encoder.parameters()).mul_(1.01)
    assert run("text encoder", model).verdict == "fail"


def test_file_cut_short(broken):
    path = broken / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    found = examine(str(broken), progress=False)
    assert failed(found) == {"opens"} and "safetensors" in found.check("opens").words


# Layers in the wrong mode


def test_dropout_left_on(model):
    next(m for m in model.joint.text.projector if isinstance(m, torch.nn.Dropout)).train()
    found = examine(model, progress=False)
    assert failed(found) == {"repeatable", "evaluation mode"}
    assert "text.projector" in found.check("evaluation mode").words and "captions" in found.check("repeatable").words


def test_batchnorm_left_in_training_mode(model):
    model.joint.audio.projector.train()
    assert run("evaluation mode", model).verdict == "fail"
    assert run("batch invariance", model).verdict == "fail"


# Towers that say little


def test_constant_text_tower(model):
    with torch.no_grad():
        model.joint.text_predictor[-1].weight.zero_()
    assert {"text similarity", "effective rank"} <= failed(examine(model, progress=False))


@pytest.mark.slow
def test_constant_audio_tower(model):
    with torch.no_grad():
        model.joint.audio_predictor[-1].weight.mul_(1e-4)
    found = failed(examine(model, progress=False))
    assert {"audio similarity", "effective rank"} <= found and "text similarity" not in found


def test_dead_dimensions(model):
    with torch.no_grad():
        for tensor in (model.joint.audio_predictor[-1].weight, model.joint.audio_predictor[-1].bias):
            tensor[:8].zero_()
    found = examine(model, progress=False)
    assert failed(found) == {"dead dimensions"} and found.check("dead dimensions").figure == 8 / 32


@pytest.mark.slow
def test_towers_of_different_runs(loaded, model, held_out):
    """Each tower is trained, yet they do not know of each other: one of them is turned at random."""
    turn = torch.linalg.qr(torch.randn(32, 32, generator=torch.Generator().manual_seed(0))).Q
    with torch.no_grad():
        last = model.joint.text_predictor[-1]
        last.weight.copy_(turn @ last.weight)
        last.bias.copy_(turn @ last.bias)
    sounds, captions = held_out
    assert failed(examine(model, sounds=sounds, captions=captions, progress=False)) == {"matched pairs"}


# Front end


@pytest.mark.parametrize("setting", [{"mel_scale": "htk"}, pytest.param({"norm": "none"}, marks=pytest.mark.slow)])
def test_another_mel_scale_in_the_configuration(broken, setting):
    content = json.loads((broken / "config.json").read_text())
    content["model"]["audio"]["frontend"].update(setting)
    (broken / "config.json").write_text(json.dumps(content))
    found = failed(examine(broken, progress=False))
    assert {"front end as saved", "audio tower as saved"} <= found and "text tower as saved" not in found


def test_another_mel_scale_than_the_configuration_says(model):
    assert run("front-end parity", model).verdict == "pass"
    model.log_mel = LogMel(model.config.audio.frontend.replace(mel_scale="htk"))
    assert run("front-end parity", model).verdict == "fail"


def test_sounds_at_another_level(loaded, held_out):
    import soundfile

    sounds = [3e-2 * soundfile.read(path, dtype="float32")[0] for path in held_out[0]]
    assert run("feature level", loaded, sounds=sounds).verdict == "fail"
    louder = [sound / 3e-2 for sound in sounds]
    assert run("feature level", loaded, sounds=louder).verdict == "pass"


# Faults of the code around the model


class IgnoresRate(Wrapped):
    def embed_audio(self, sounds, *, sample_rate=None):
        return self.inner.embed_audio(sounds, sample_rate=None if sample_rate is None else 24000)


class ReadsFilesAt48(Wrapped):
    def embed_audio(self, sounds, *, sample_rate=None):
        import soundfile

        if sample_rate is None:
            sounds, sample_rate = [soundfile.read(path, dtype="float32")[0] for path in sounds], 48000
        return self.inner.embed_audio(sounds, sample_rate=sample_rate)


class CentresTheBatch(Wrapped):
    def embed_text(self, captions):
        out = super().embed_text(captions)
        out = out - (out.mean(0) if len(out) > 1 else 0)
        return out / np.linalg.norm(out, axis=1, keepdims=True)


class ForgetsTheOrder(Wrapped):
    def embed_text(self, captions):
        return super().embed_text(sorted(captions, key=len))


class DrawsWindows(Wrapped):
    def __init__(self, model):
        super().__init__(model)
        self.rng = np.random.default_rng(0)

    def embed_audio(self, sounds, *, sample_rate=None):
        cut = [s[int(self.rng.integers(len(s) // 2)) :] if isinstance(s, np.ndarray) else s for s in sounds]
        return self.inner.embed_audio(cut, sample_rate=sample_rate)


class HashesSamples(Wrapped):
    def embed_audio(self, sounds, *, sample_rate=None):
        hashes = [abs(int(1e6 * float(np.abs(np.asarray(s)[1000:1100]).sum()))) for s in sounds]
        out = np.stack([np.random.default_rng(h).standard_normal(32) for h in hashes])
        return out / np.linalg.norm(out, axis=1, keepdims=True)


class FailsOnSilence(Wrapped):
    def embed_audio(self, sounds, *, sample_rate=None):
        out = self.inner.embed_audio(sounds, sample_rate=sample_rate)
        for row, sound in zip(out, sounds):
            if isinstance(sound, np.ndarray) and not sound.any():
                row[:] = np.nan
        return out


class ForgetsTheNorm(Wrapped):
    def embed_text(self, captions):
        return 3 * super().embed_text(captions)


class Raises(Wrapped):
    def embed_text(self, captions):
        raise KeyError("input_ids")


@pytest.mark.parametrize(
    ("fault", "names"),
    [
        (IgnoresRate, {"any sampling rate"}),
        (ReadsFilesAt48, {"any sampling rate"}),
        (CentresTheBatch, {"batch invariance"}),
        (ForgetsTheOrder, {"order invariance"}),
        (DrawsWindows, {"repeatable"}),
        (HashesSamples, {"small shifts"}),
        (FailsOnSilence, {"extreme inputs"}),
        (ForgetsTheNorm, {"finite embeddings"}),
        (Raises, {"finite embeddings"}),
    ],
)
def test_fault_around_the_model(loaded, fault, names):
    assert names <= failed(examine(fault(loaded), progress=False))


def test_padding_that_counts_as_content(model, monkeypatch):
    encoder = model.joint.text.encoder
    pad = encoder.pad
    monkeypatch.setattr(
        encoder, "pad", lambda ids: {k: torch.ones_like(v) if k == "attention_mask" else v for k, v in pad(ids).items()}
    )
    check = run("padding invariance", model)
    assert check.verdict == "fail" and "captions" in check.words
