"""Models broken on purpose, each in one way: the doctor names the fault."""

import functools
import json

import numpy as np
import pytest
import soundfile
import torch

from slapkit.hub.doctor import examine
from slapkit.hub.doctor.checks import CHECKS
from slapkit.hub.doctor.examination import run_check
from slapkit.hub.doctor.subject import Subject
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


def shuffle(parameters) -> None:
    """Put the entries of each tensor in random order, in place."""
    generator = torch.Generator().manual_seed(0)
    for value in parameters:
        value.data = value.data.flatten()[torch.randperm(value.numel(), generator=generator)].view_as(value)


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


def test_nan_weights(broken):
    rewrite_weights(broken, lambda tensors: tensors["audio.projector.3.weight"][0].fill_(float("nan")))
    found = examine(broken, progress=False)
    assert failed(found) == {"finite weights", "finite embeddings"}
    assert "audio.projector.3.weight" in found.check("finite weights").words
    assert found.check("audio similarity").verdict == "unknown"


def test_another_text_encoder(model):
    assert run("text encoder", model).verdict == "pass"
    with torch.no_grad():
        next(model.joint.text.encoder.model.encoder.parameters()).mul_(1.01)
    assert run("text encoder", model).verdict == "fail"


def test_file_cut_short(broken):
    path = broken / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    found = examine(str(broken), progress=False)
    assert failed(found) == {"opens"} and "model.safetensors" in found.check("opens").words


# Layers in the wrong mode, towers that say little


def test_dropout_left_on(model):
    next(m for m in model.joint.text.projector if isinstance(m, torch.nn.Dropout)).train()
    found = examine(model, progress=False)
    assert failed(found) == {"repeatable", "evaluation mode"}
    assert "text.projector" in found.check("evaluation mode").words and "captions" in found.check("repeatable").words


def test_batchnorm_left_in_training_mode(model):
    model.joint.audio.projector.train()
    assert run("evaluation mode", model).verdict == run("batch invariance", model).verdict == "fail"


@pytest.mark.parametrize("tower", ["text", pytest.param("audio", marks=pytest.mark.slow)])
def test_constant_tower(model, tower):
    with torch.no_grad():
        getattr(model.joint, f"{tower}_predictor")[-1].weight.mul_(1e-4)
    found = failed(examine(model, progress=False))
    other = {"text": "audio", "audio": "text"}[tower]
    assert {f"{tower} similarity", "effective rank"} <= found and f"{other} similarity" not in found


# Front end


@pytest.mark.parametrize("setting", [{"mel_scale": "htk"}, pytest.param({"norm": "none"}, marks=pytest.mark.slow)])
def test_another_mel_scale_in_the_configuration(broken, setting):
    content = json.loads((broken / "config.json").read_text())
    content["model"]["audio"]["frontend"].update(setting)
    (broken / "config.json").write_text(json.dumps(content))
    found = failed(examine(broken, progress=False))
    assert {"front end as saved", "audio tower as saved"} <= found and "text tower as saved" not in found


@pytest.mark.parametrize(("factor", "verdict"), [(1, "pass"), (3e-2, "fail")])
def test_sounds_at_another_level(loaded, held_out, factor, verdict):
    sounds = [np.float32(factor) * soundfile.read(path, dtype="float32")[0] for path in held_out[0]]
    assert run("feature level", loaded, sounds=sounds).verdict == verdict


# Faults of the code around the model


class Wrapped:
    """The trained model behind a fault of the code around it."""

    def __init__(self, model, audio=None, text=None) -> None:
        self.inner, self.config, self.audio, self.text = model, model.config, audio, text

    def embed_audio(self, sounds, *, sample_rate=None):
        if self.audio is None:
            return self.inner.embed_audio(sounds, sample_rate=sample_rate)
        return self.audio(self.inner, sounds, sample_rate)

    def embed_text(self, captions):
        if self.text is None:
            return read_once(self.inner, tuple(captions)).copy()
        return self.text(self.inner, captions)


@functools.lru_cache(maxsize=200)
def read_once(model, captions: tuple[str, ...]) -> np.ndarray:
    """Embed captions, which all faults around the same model share."""
    return model.embed_text(captions)


def ignores_rate(model, sounds, rate):
    return model.embed_audio(sounds, sample_rate=None if rate is None else 24000)


def reads_files_at_48(model, sounds, rate):
    if rate is None:
        sounds, rate = [soundfile.read(path, dtype="float32")[0] for path in sounds], 48000
    return model.embed_audio(sounds, sample_rate=rate)


def draws_windows(model, sounds, rate, rng=np.random.default_rng(0)):  # noqa: B008
    cut = [s[int(rng.integers(len(s) // 2)) :] if isinstance(s, np.ndarray) else s for s in sounds]
    return model.embed_audio(cut, sample_rate=rate)


def fails_on_faint_sounds(model, sounds, rate):
    out = model.embed_audio(sounds, sample_rate=rate)
    out[[isinstance(sound, np.ndarray) and np.abs(sound).max() < 2e-3 for sound in sounds]] = np.nan
    return out


def centres_the_batch(model, captions):
    out = model.embed_text(captions)
    out = out - (out.mean(0) if len(out) > 1 else 0)
    return out / np.linalg.norm(out, axis=1, keepdims=True)


def counts_padding(model, captions):
    longest = max(map(len, captions))
    return model.embed_text([caption + " x" * (longest - len(caption)) for caption in captions])


def raises(model, captions):
    raise KeyError("input_ids")


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        ({"audio": ignores_rate}, "any sampling rate"),
        ({"audio": reads_files_at_48}, "any sampling rate"),
        ({"audio": draws_windows}, "repeatable"),
        ({"audio": fails_on_faint_sounds}, "extreme inputs"),
        ({"text": centres_the_batch}, "batch invariance"),
        ({"text": lambda model, captions: model.embed_text(sorted(captions, key=len))}, "batch invariance"),
        ({"text": counts_padding}, "padding invariance"),
        ({"text": lambda model, captions: 3 * model.embed_text(captions)}, "finite embeddings"),
        ({"text": raises}, "finite embeddings"),
    ],
)
def test_fault_around_the_model(loaded, fault, name):
    assert run(name, Wrapped(loaded)).verdict in ("pass", "unknown")
    assert run(name, Wrapped(loaded, **fault)).verdict == "fail"
