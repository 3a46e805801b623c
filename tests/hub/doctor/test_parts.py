"""The parts of an examination, each against an independent reckoning."""

import json
import math

import numpy as np
import pytest

from slapkit.errors import AudioError, ConfigError, DataError
from slapkit.hub.doctor import examine
from slapkit.hub.doctor.examination import judge
from slapkit.hub.doctor.report import Check, Examination
from slapkit.models.signature import SECONDS, probe_sounds, signature_of
from tests.hub.doctor.test_broken import run


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
    """Every second sample at 48 kHz is a sample at 24 kHz, and above the band there is nothing."""
    for one, other in zip(*(probe_sounds(rate, band=9900.0, count=6, seed=3) for rate in (24000, 48000))):
        assert len(one) == 24000 * SECONDS and one.dtype == np.float32
        np.testing.assert_allclose(other[::2], one, atol=2e-5)
        spectrum = np.abs(np.fft.rfft(other * np.hanning(len(other)))) ** 2
        assert spectrum[round(10500 * SECONDS) :].sum() < 1e-4 * spectrum.sum()


# The space


def pairs(audio, text, captions=None):
    captions = captions or [str(i) for i in range(len(text))]
    return run("matched pairs", Table(audio, text), sounds=[np.zeros(1)] * len(audio), captions=captions)


def test_pairs_by_counting():
    rng = np.random.default_rng(0)
    audio = unit(rng.standard_normal((20, 8)))
    text = unit(audio + 0.6 * rng.standard_normal((20, 8)))
    cosines = text @ audio.T
    beaten = [cosines[i, i] > cosines[i, j] for i in range(20) for j in range(20) if i != j]
    check = pairs(audio, text)
    assert check.figure == pytest.approx(np.mean(beaten)) and check.verdict == "pass"


def test_pairs_at_chance_fail():
    false_alarms = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        audio, text = (unit(rng.standard_normal((30, 16))) for _ in range(2))
        false_alarms += pairs(audio, text).verdict != "fail"
    assert false_alarms <= 1, "a hundredth of random pairings may pass"
    assert pairs(audio, np.repeat(audio[:1], 30, 0)).verdict == "fail"
    assert pairs(np.repeat(audio[:1], 30, 0), text).figure == 0.5, "ties count half"


def test_a_caption_is_right_for_all_sounds_that_have_it():
    rng, kinds = np.random.default_rng(0), np.repeat(np.eye(2, 8), 10, axis=0)
    audio, captions = unit(kinds + 0.1 * rng.standard_normal((20, 8))), ["jig"] * 10 + ["air"] * 10
    assert pairs(audio, kinds, captions).figure == 1
    assert pairs(audio, kinds, ["jig"] * 20).verdict == "unknown"


@pytest.mark.parametrize("name", ["audio similarity", "effective rank"])
@pytest.mark.parametrize("count", [1, 3])
def test_a_few_sounds_do_not_condemn_a_model(loaded, count, name):
    assert run(name, loaded, sounds=list(probe_sounds(24000))[:count]).verdict == "unknown"


# Signatures


def test_signature_leaves_the_model_as_it_was(loaded):
    joint = loaded.joint
    try:
        joint.text.projector.train()
        joint.audio.projector.requires_grad_(True)
        modes, wanted = [m.training for m in joint.modules()], [p.requires_grad for p in joint.parameters()]
        found = signature_of(joint)
        assert modes == [m.training for m in joint.modules()] and any(modes)
        assert wanted == [p.requires_grad for p in joint.parameters()] and any(wanted)
    finally:
        joint.eval().requires_grad_(False)
    assert len(json.dumps(found)) < 6000
    assert np.shape(found["audio"]) == np.shape(found["text"]) == (8, 16) and np.shape(found["frontend"]) == (64,)
    assert found == signature_of(joint), "dropout was off"


# What is given, verdicts and pages


@pytest.mark.parametrize(
    ("given", "error", "named"),
    [
        ({"captions": ["a"]}, DataError, "1 captions"), ({"sounds": [np.zeros(9)]}, DataError, "sample_rate"),
        ({"sounds": []}, DataError, "no sounds"), ({"sounds": ["absent.wav"]}, AudioError, "absent.wav"),
        ({"seed": -1}, ConfigError, "seed=-1"),
    ],
)  # fmt: skip
def test_data_that_cannot_be_used_is_named(loaded, given, error, named):
    with pytest.raises(error, match=named):
        examine(loaded, **given, progress=False)


@pytest.mark.parametrize(
    ("figure", "warn", "fail", "verdict"),
    [(0.0, 1, 2, "pass"), (1.0, 1, 2, "warn"), (2.0, 1, 2, "fail"), (math.nan, 1, 2, "fail"), (math.inf, 1, 2, "fail"),
     (1, 1, 1, "fail"), (9.0, 3, 2, "pass"), (1.0, 3, 2, "fail"), (2.0, 3, 2, "fail"), (2.5, 3, 2, "warn"),
     (math.nan, 3, 2, "fail")],
)  # fmt: skip
def test_verdicts(figure, warn, fail, verdict):
    assert judge(figure, warn, fail) == verdict


def test_pages_escape_what_they_show(tmp_path):
    nasty = "<script>alert(1)</script>\x1b[31m $x$"
    found = Examination(nasty, [Check("weights", "opens", "fail", math.nan, math.inf, nasty, nasty)])
    for page in (found.write_html(tmp_path / "page.html").read_text(), found._repr_html_()):
        assert "<script" not in page and "&lt;script&gt;" in page
    assert "\x1b" not in found.text() and all(len(line) <= 100 for line in found.text().splitlines()[1:])
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["checks"][0]["figure"] is None
    assert found.verdict == "fail" and "opens failed" in found.text()
