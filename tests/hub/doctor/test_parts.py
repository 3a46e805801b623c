"""The parts of an examination, each against an independent reckoning."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from slapkit.audio.frontend import FRONTENDS, FrontendConfig, LogMel
from slapkit.errors import AudioError, DataError
from slapkit.hub.doctor import examine, frontend, probes, signature, space, weights
from slapkit.hub.doctor.check import Check, judged
from slapkit.hub.doctor.examination import Examination
from slapkit.hub.doctor.report import as_page
from slapkit.hub.doctor.subject import Subject


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


class Table:
    """A model that looks embeddings up by the place of the sound or caption."""

    def __init__(self, audio: np.ndarray, text: np.ndarray) -> None:
        self.audio, self.text = audio, text

    def embed_audio(self, sounds, *, sample_rate=None):
        return self.audio[: len(sounds)]

    def embed_text(self, captions):
        return self.text[: len(captions)]


# Probes


def test_probe_sounds_are_the_same_function_of_time_at_every_rate():
    """Every second sample at 48 kHz is a sample at 24 kHz, and below their band nothing was lost."""
    low, high = (probes.sounds(rate, band=9900.0, count=6, seed=3) for rate in (24000, 48000))
    for one, other in zip(low, high):
        assert len(one) == 24000 * probes.SECONDS and one.dtype == np.float32
        np.testing.assert_allclose(other[::2], one, atol=2e-5)
        spectrum = np.abs(np.fft.rfft(other * np.hanning(len(other)))) ** 2
        assert spectrum[round(10500 * probes.SECONDS) :].sum() < 1e-4 * spectrum.sum()


def test_probe_sounds_are_many_and_depend_on_the_seed_alone():
    first, again, other = (np.stack(probes.sounds(24000, band=9900.0, count=12, seed=s)) for s in (0, 0, 1))
    assert np.array_equal(first, again) and not np.allclose(first, other, atol=0.01)
    correlations = np.corrcoef(first) - np.eye(12)
    assert np.abs(correlations).max() < 0.5, "no two alike"
    assert 0.04 < first.std(axis=1).min() and np.abs(first).max() <= 1.5
    assert len(set(probes.CAPTIONS)) == len(probes.CAPTIONS) >= 40


# The front end's oracle


@pytest.mark.parametrize(
    "config",
    [
        FRONTENDS["light"],
        FRONTENDS["clap-fusion"],
        FrontendConfig(sample_rate=16000, n_fft=512, hop=160, n_mels=40, f_min=50.0, f_max=7600.0, mel_scale="htk"),
    ],
)
def test_definition_agrees_with_the_module(config):
    wave = probes.sounds(config.sample_rate, band=6000.0, count=1)[0]
    ours = frontend.log_mel_of(wave, config)
    theirs = LogMel(config)(torch.from_numpy(wave)[None])[0].numpy()
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(np.maximum(ours, -60), np.maximum(theirs, -60), atol=1e-2)


@pytest.mark.parametrize(("name", "verdict"), [("clap", "pass"), ("clap-fusion", "fail")])
def test_settings_of_clap_are_compared_with_transformers(name, verdict):
    config = SimpleNamespace(audio=SimpleNamespace(frontend=FRONTENDS["clap"]))
    model = SimpleNamespace(config=config, log_mel=LogMel(FRONTENDS[name]))
    check = frontend.parity(Subject(model))
    assert check.verdict == verdict and "ClapFeatureExtractor" in check.words


# Weights


@pytest.mark.parametrize("shape", [(64, 64), (40, 300), (300, 20)])
def test_largest_singular_value(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    matrix += 3 * torch.outer(torch.ones(shape[0]), torch.linspace(-1, 1, shape[1]))  # a gap, as training leaves it
    exact = torch.linalg.svdvals(matrix.double())[0].item()
    assert weights._strongest(matrix) == pytest.approx(exact, rel=1e-4)


def test_mismatch_of_statistics_by_hand():
    layer = torch.nn.BatchNorm1d(3).eval()
    layer.running_mean[:] = torch.tensor([0.0, 1.0, 2.0])
    layer.running_var[:] = 4.0
    sums, rng = [0, 0.0, 0.0], torch.Generator().manual_seed(0)
    hook = layer.register_forward_pre_hook(weights._adding(sums))
    x = torch.randn(4000, 3, generator=rng) * 2 * math.e + torch.tensor([6.0, 7.0, 8.0])  # 3 spreads off, e times wider
    layer(x[:1000])
    layer(x[1000:])
    hook.remove()
    assert weights._mismatch(layer, *sums) == pytest.approx(3.0, abs=0.1)
    layer.running_mean += 6
    assert weights._mismatch(layer, *sums) == pytest.approx(1.0, abs=0.05)


# The space


def test_pairs_by_counting():
    rng = np.random.default_rng(0)
    audio = unit(rng.standard_normal((20, 8)))
    text = unit(audio + 0.6 * rng.standard_normal((20, 8)))
    subject = Subject(Table(audio, text), sounds=[np.zeros(1)] * 20, captions=[str(i) for i in range(20)])
    cosines = text @ audio.T
    beaten = [cosines[i, i] > cosines[i, j] for i in range(20) for j in range(20) if i != j]
    check = space.pairs(subject)
    assert check.figure == pytest.approx(np.mean(beaten)) and check.verdict == "pass"


def test_pairs_that_know_nothing_are_at_chance():
    false_alarms = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        audio, text = (unit(rng.standard_normal((30, 16))) for _ in range(2))
        subject = Subject(Table(audio, text), sounds=[np.zeros(1)] * 30, captions=[str(i) for i in range(30)])
        false_alarms += space.pairs(subject).verdict != "fail"
    assert false_alarms <= 1, "a hundredth of random pairings may pass"
    constant = np.repeat(audio[:1], 30, 0)
    subject = Subject(Table(audio, constant), sounds=[np.zeros(1)] * 30, captions=[str(i) for i in range(30)])
    assert space.pairs(subject).verdict == "fail"


@pytest.mark.parametrize("dead", [0, 1, 4])
def test_dead_dimensions_are_counted(dead):
    rng = np.random.default_rng(0)
    audio, text = unit(rng.standard_normal((probes.COUNT, 32))), unit(rng.standard_normal((len(probes.CAPTIONS), 32)))
    text[:, 3 : 3 + dead] = 0
    check = space.dead_dimensions(Subject(Table(audio, unit(text))))
    assert check.figure == dead / 32 and check.verdict == {0: "pass", 1: "warn", 4: "fail"}[dead]


# Signatures


def test_signature_leaves_the_model_as_it_was(loaded):
    joint = loaded.joint
    try:
        joint.text.projector.train()
        joint.audio.projector.requires_grad_(True)
        modes = [m.training for m in joint.modules()]
        wanted = [p.requires_grad for p in joint.parameters()]
        found = signature.signature_of(joint)
        assert modes == [m.training for m in joint.modules()] and any(modes)
        assert wanted == [p.requires_grad for p in joint.parameters()] and any(wanted)
    finally:
        joint.eval().requires_grad_(False)
    assert len(json.dumps(found)) < 6000
    assert np.shape(found["audio"]) == np.shape(found["text"]) == (8, 16) and np.shape(found["frontend"]) == (64,)
    assert found == signature.signature_of(joint), "dropout was off"


def test_a_model_without_finite_embeddings_is_saved_without_signature(model):
    with torch.no_grad():
        model.joint.text.projector[-1].bias.fill_(float("inf"))
    assert signature.signature_of(model.joint) is None


@pytest.mark.parametrize(
    "saved", [None, "x", [], {"format": 99}, {"format": 1}, {"format": 1, "audio": "x", "text": [[None]]}]
)
def test_a_signature_that_says_nothing(loaded, saved):
    assert {check.verdict for check in signature.as_saved(Subject(loaded, signature=saved))} == {"unknown"}


# What is given


def test_data_that_cannot_be_used_is_named(loaded, tmp_path):
    with pytest.raises(DataError, match="1 captions for 0 sounds"):
        examine(loaded, captions=["a"], progress=False)
    with pytest.raises(DataError, match="say its sample_rate"):
        examine(loaded, sounds=[np.zeros(9)], progress=False)
    with pytest.raises(DataError, match="no sounds"):
        examine(loaded, sounds=[], progress=False)
    with pytest.raises(AudioError, match="absent.wav"):
        examine(loaded, sounds=[tmp_path / "absent.wav"], progress=False)


# Verdicts and pages


@pytest.mark.parametrize(
    ("figure", "less_is_worse", "verdict"),
    [(0.0, False, "pass"), (1.0, False, "warn"), (2.0, False, "fail"), (math.nan, False, "fail"),
     (math.inf, False, "fail"), (9.0, True, "pass"), (1.0, True, "fail"), (2.0, True, "fail"), (2.5, True, "warn"),
     (math.nan, True, "fail")],
)  # fmt: skip
def test_verdicts(figure, less_is_worse, verdict):
    warn, fail = (3.0, 2.0) if less_is_worse else (1.0, 2.0)
    check = judged("x", figure, warn=warn, fail=fail, words="w", remedy="r", less_is_worse=less_is_worse)
    assert check.verdict == verdict and bool(check.remedy) == (verdict != "pass")


def test_pages_escape_what_they_show():
    nasty = "<script>alert(1)</script>\x1b[31m $x$"
    found = Examination(nasty, [Check("opens", "fail", math.nan, math.inf, nasty, nasty)])
    for page in (as_page(found), found._repr_html_()):
        assert "<script" not in page and "&lt;script&gt;" in page
    assert "\x1b" not in found.text() and all(len(line) <= 100 for line in found.text().splitlines()[1:])
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["checks"][0]["figure"] is None
    assert found.verdict == "fail" and "opens failed" in found.text()
