"""Presets say what they follow, and refuse what they do not know."""

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


def test_values_change_one_by_one_at_any_depth():
    before = flat(preset("paper").to_dict())
    model = {"dim": 128, "audio": {"frontend": {"f_max": 12000.0}}, "predictor": {"hidden": 64}}
    after = flat(preset("paper", model=model, train={"lr": 1e-5}).to_dict())
    changed = {"model.dim": 128, "model.audio.frontend.f_max": 12000.0, "model.predictor.hidden": 64, "train.lr": 1e-5}
    assert {key: after[key] for key in after if after[key] != before[key]} == changed
    assert flat(preset("paper").to_dict()) == before


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": {"dmi": 3}}, "'dmi'.*did you mean 'dim'"),
        ({"model": {"audio": {"frontend": {"n_mel": 64}}}}, "'n_mel'.*did you mean 'n_mels'"),
        ({"train": {"learning_rate": 3}}, "'learning_rate'"),
        ({"train": {"objective": "clpa"}}, "objective='clpa'.*did you mean 'clap'"),
        ({"train": {"lr": "1e-3"}}, "lr='1e-3'.*float"),
        ({"model": {"audio": {"frontend": {"f_max": 50000.0}}}}, "f_max=50000.0"),
        ({"model": {"audio": 3}}, "audio.*3"),
        ({"model": 3}, "model.*3"),
        ({"train": [1]}, r"train.*\[1\]"),
        ({"train": ModelConfig()}, "train"),
    ],
)
def test_what_is_unknown_or_wrong_is_refused_by_name(changes, words):
    with pytest.raises(ConfigError, match=words):
        preset("tiny", **changes)


def test_an_unknown_preset_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="'papr'.*'paper'"):
        preset("papr")


OUT_OF_RANGE = {
    HeadConfig: [("hidden", -1), ("dropout", 1.0), ("dropout", -0.1), ("dropout", 0.1, {"hidden": 0})],
    ModelConfig: [("dim", 0)],
    AudioEncoderConfig: [("window_s", 0.0), ("mel_std", 0.0), ("mel_mean", float("nan")), ("channels", (32, 0))],
    TextEncoderConfig: [("source", " "), ("max_tokens", 1), ("max_tokens", 513), ("layers", ())]
    + [("layers", (3, -1), {"pooling": "pooler"}), ("frozen", True, {"source": "roberta-scratch"})],
    TrainConfig: [("steps", 0), ("batch_size", 1), ("micro_batch", 65), ("lr", 0.0), ("lr", float("inf"))]
    + [("weight_decay", -1.0), ("warmup_fraction", 1.0), ("clip_norm", 0.0), ("tau", 1.1), ("tau_end", -0.1)]
    + [("lam", 1.1), ("masks", -1), ("seed", -1), ("seed", 2**32), ("log_every", 0)],
}


@pytest.mark.parametrize(("kind", "wrong"), [(kind, one) for kind, found in OUT_OF_RANGE.items() for one in found])
def test_values_out_of_range_are_refused_by_key_and_value(kind, wrong):
    key, value, *beside = wrong
    with pytest.raises(ConfigError) as caught:
        kind(**{key: value}, **(beside[0] if beside else {}))
    assert f"{key}=" in str(caught.value) and repr(value) in str(caught.value)
