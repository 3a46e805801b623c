"""Presets say what they follow, and refuse what they do not know."""

from __future__ import annotations

import json

import pytest

from slapkit.audio.frontend import FRONTENDS
from slapkit.errors import ConfigError
from slapkit.models.encoders import AudioEncoderConfig, TextEncoderConfig
from slapkit.models.joint import HeadConfig, ModelConfig
from slapkit.presets import PRESETS, Preset, preset
from slapkit.training.config import TrainConfig


def flat(values: dict, prefix: str = "") -> dict[str, object]:
    """Nested values under dotted keys."""
    out: dict[str, object] = {}
    for key, value in values.items():
        out |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return out


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_survives_json(name):
    chosen = preset(name)
    assert Preset.from_dict(json.loads(json.dumps(chosen.to_dict()))) == chosen


def test_paper_is_what_the_paper_says():
    chosen = preset("paper")
    audio, text, train = chosen.model.audio, chosen.model.text, chosen.train
    assert (audio.kind, audio.window_s, audio.frozen) == ("htsat", 10.0, False)
    assert (audio.frontend.sample_rate, audio.frontend.n_fft, audio.frontend.hop) == (48000, 1024, 480)
    assert audio.frontend == FRONTENDS["clap"] and audio.frontend.n_mels == 64
    assert text.source.startswith("roberta") and not text.frozen
    assert chosen.model.predictor == HeadConfig(hidden=4096, batch_norm=True, dropout=0.0)
    assert chosen.model.dim == 512
    assert (train.objective, train.tau, train.tau_end, train.lam) == ("slap", 0.95, None, 0.5)
    assert (train.batch_size, train.micro_batch, train.lr, train.warmup_fraction) == (768, 128, 4e-4, 0.1)
    assert train.steps * 768 == pytest.approx(60 * 260_000, rel=1e-4)
    assert train.precision == "bf16" and train.masks > 0


def test_released_differs_from_paper_exactly_where_the_release_does():
    paper, released = flat(preset("paper").to_dict()), flat(preset("released").to_dict())
    assert paper.keys() == released.keys()
    different = {key: (paper[key], released[key]) for key in paper if paper[key] != released[key]}
    assert different == {
        "model.predictor.batch_norm": (True, False),
        "model.predictor.dropout": (0.0, 0.1),
        "model.audio_projector.dropout": (0.0, 0.1),
        "model.text_projector.dropout": (0.0, 0.1),
        "model.text_projector.batch_norm": (False, True),  # in the text projector alone
        "train.tau": (0.95, 0.995),
        "train.batch_size": (768, 256),
        "train.lr": (4e-4, 1e-4),
        "train.steps": (60 * 260_000 // 768, 100 * 260_000 // 256),
    }
    assert released["model.audio_projector.batch_norm"] is False


def test_tiny_is_made_for_two_cores():
    chosen = preset("tiny")
    assert (chosen.model.audio.kind, chosen.model.text.source, chosen.model.text.frozen) == ("cnn", "minilm", True)


def test_values_change_one_by_one_at_any_depth():
    before = flat(preset("paper").to_dict())
    changed = preset(
        "paper",
        model={"dim": 128, "audio": {"frontend": {"f_max": 12000.0}}, "predictor": {"hidden": 64}},
        train={"lr": 1e-5},
    )
    after = flat(changed.to_dict())
    assert {key: after[key] for key in after if after[key] != before[key]} == {
        "model.dim": 128,
        "model.audio.frontend.f_max": 12000.0,
        "model.predictor.hidden": 64,
        "train.lr": 1e-5,
    }
    assert flat(preset("paper").to_dict()) == before


def test_a_whole_configuration_replaces_one():
    text = TextEncoderConfig(source="roberta-base", frozen=False)
    assert preset("tiny", model={"text": text}).model.text is text
    train = TrainConfig(steps=3)
    assert preset("tiny", train=train).train == train


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": {"dmi": 3}}, "'dmi'.*did you mean 'dim'"),
        ({"model": {"audio": {"knd": "cnn"}}}, "'knd'.*did you mean 'kind'"),
        ({"model": {"audio": {"frontend": {"n_mel": 64}}}}, "'n_mel'.*did you mean 'n_mels'"),
        ({"model": {"text": {"sorce": "minilm"}}}, "'sorce'.*did you mean 'source'"),
        ({"model": {"predictor": {"hiden": 3}}}, "'hiden'.*did you mean 'hidden'"),
        ({"train": {"learning_rate": 3}}, "'learning_rate'"),
        ({"train": {"objective": "clpa"}}, "objective='clpa'.*did you mean 'clap'"),
        ({"train": {"objective": "clip"}}, "objective='clip' is not a choice"),
        ({"train": {"lr": "1e-3"}}, "lr='1e-3' must be of type float"),
        ({"train": {"lr": 0.0}}, "lr=0.0 is out of range"),
        ({"model": {"audio": {"frontend": {"f_max": 50000.0}}}}, "f_max=50000.0 is out of range"),
        ({"model": {"audio": 3}}, "audio must be a mapping, not 3"),
        ({"model": 3}, "model.*3"),
        ({"train": [1]}, r"train.*\[1\]"),
        ({"train": ModelConfig()}, "train"),
    ],
)
def test_what_is_unknown_or_wrong_is_refused_by_name(changes, words):
    with pytest.raises(ConfigError, match=words):
        preset("tiny", **changes)


def test_an_unknown_preset_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="'papr'.*did you mean 'paper'"):
        preset("papr")


@pytest.mark.parametrize("missing", [{}, {"model": {}}, {"train": {}}])
def test_a_preset_has_both_parts(missing):
    with pytest.raises(ConfigError, match="Preset"):
        Preset.from_dict(missing)


OUT_OF_RANGE = [
    (HeadConfig, {"hidden": 0}),
    (HeadConfig, {"dropout": 1.0}),
    (HeadConfig, {"dropout": -0.1}),
    (ModelConfig, {"dim": 0}),
    (AudioEncoderConfig, {"window_s": 0.0}),
    (AudioEncoderConfig, {"window_s": float("inf")}),
    (AudioEncoderConfig, {"mel_std": 0.0}),
    (AudioEncoderConfig, {"mel_mean": float("nan")}),
    (AudioEncoderConfig, {"channels": (32,)}),
    (AudioEncoderConfig, {"channels": (32, 0)}),
    (TextEncoderConfig, {"source": " "}),
    (TextEncoderConfig, {"max_tokens": 1}),
    (TextEncoderConfig, {"max_tokens": 513}),
    (TrainConfig, {"steps": 0}),
    (TrainConfig, {"batch_size": 1}),
    (TrainConfig, {"micro_batch": 0}),
    (TrainConfig, {"micro_batch": 65}),
    (TrainConfig, {"lr": 0.0}),
    (TrainConfig, {"lr": float("inf")}),
    (TrainConfig, {"weight_decay": -1.0}),
    (TrainConfig, {"warmup_fraction": 1.0}),
    (TrainConfig, {"warmup_fraction": -0.1}),
    (TrainConfig, {"clip_norm": 0.0}),
    (TrainConfig, {"tau": 1.1}),
    (TrainConfig, {"tau_end": -0.1}),
    (TrainConfig, {"lam": 1.1}),
    (TrainConfig, {"masks": -1}),
    (TrainConfig, {"seed": -1}),
    (TrainConfig, {"log_every": 0}),
]


@pytest.mark.parametrize(("kind", "values"), OUT_OF_RANGE, ids=lambda x: getattr(x, "__name__", None) or str(x))
def test_values_out_of_range_are_refused_by_key_and_value(kind, values):
    ((key, value),) = values.items()
    with pytest.raises(ConfigError) as caught:
        kind(**values)
    assert f"{key}=" in str(caught.value) and repr(value) in str(caught.value)


def test_a_scratch_encoder_cannot_be_frozen():
    with pytest.raises(ConfigError, match="frozen=True"):
        TextEncoderConfig(source="roberta-scratch", frozen=True)
