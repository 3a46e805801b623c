"""Presets: a model and how it is trained, under one name.

- `tiny`: small CNN, frozen MiniLM. The method, sized for two CPU cores and minutes.
- `small`: reduced HTS-AT, frozen MiniLM. The method, sized for a laptop and an hour.
- `paper`: HTS-AT (68 M) and RoBERTa-base (125 M). Follows the paper: tau 0.95, batch 768, lr 4e-4, predictors with one
  hidden layer of 4096 and BatchNorm.
- `released`: the same encoders. Follows the released configuration: tau 0.995, batch 256, lr 1e-4, dropout 0.1, no
  BatchNorm but in the text projector.

`paper` and `released` start from scratch, with a tokenizer trained on the captions; `text={"source": "roberta-base"}`
takes the published weights instead. The paper names 60 epochs of 260 k pairs, the released configuration 100: that many
steps at that batch size are the defaults here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from slapkit.audio.frontend import FRONTENDS
from slapkit.config import Config, nearest
from slapkit.errors import ConfigError
from slapkit.models.encoders import AudioEncoderConfig, TextEncoderConfig
from slapkit.models.joint import HeadConfig, ModelConfig
from slapkit.training.config import TrainConfig

_HTSAT_193M = {
    "patch_embeds_hidden_size": 128,
    "depths": [2, 2, 12, 2],
    "num_attention_heads": [4, 8, 16, 32],
    "hidden_size": 1024,
}
_PAPER_PAIRS = 260_000


@dataclass(frozen=True)
class Preset(Config):
    """A model and its training."""

    model: ModelConfig
    train: TrainConfig


def _tiny() -> Preset:
    # Heads are narrow, for the encoder is small. Dropout on the text side alone: the frozen encoder shows the same
    # captions in every epoch.
    narrow = HeadConfig(hidden=256)
    return Preset(
        model=ModelConfig(
            audio_projector=narrow, text_projector=narrow.replace(dropout=0.2), predictor=narrow, dim=256
        ),
        train=TrainConfig(steps=1600, lr=2e-3, eval_every=200, checkpoint_every=200),
    )


def _small() -> Preset:
    htsat = {
        "spec_size": 128,
        "window_size": 4,
        "patch_embeds_hidden_size": 48,
        "depths": [2, 2, 2, 2],
        "num_attention_heads": [2, 4, 8, 16],
        "hidden_size": 384,
    }
    return Preset(
        model=ModelConfig(audio=AudioEncoderConfig(kind="htsat", htsat=htsat), predictor=HeadConfig(hidden=2048)),
        train=TrainConfig(steps=4000, lr=5e-4),
    )


def _paper() -> Preset:
    audio = AudioEncoderConfig(kind="htsat", frontend=FRONTENDS["clap"], window_s=10.0, htsat=_HTSAT_193M)
    text = TextEncoderConfig(source="roberta-scratch", frozen=False)
    plain = HeadConfig(batch_norm=False)
    return Preset(
        model=ModelConfig(
            audio=audio, text=text, audio_projector=plain, text_projector=plain, predictor=HeadConfig(hidden=4096)
        ),
        train=TrainConfig(
            steps=60 * _PAPER_PAIRS // 768,
            batch_size=768,
            micro_batch=128,
            lr=4e-4,
            tau=0.95,
            eval_every=1000,
            checkpoint_every=1000,
            precision="bf16",
        ),
    )


def _released() -> Preset:
    paper = _paper()
    dropout = HeadConfig(batch_norm=False, dropout=0.1)
    return Preset(
        model=paper.model.replace(
            audio_projector=dropout,
            text_projector=HeadConfig(dropout=0.1),
            predictor=HeadConfig(hidden=4096, batch_norm=False, dropout=0.1),
        ),
        train=paper.train.replace(steps=100 * _PAPER_PAIRS // 256, batch_size=256, lr=1e-4, tau=0.995),
    )


PRESETS: dict[str, Callable[[], Preset]] = {"tiny": _tiny, "small": _small, "paper": _paper, "released": _released}


def preset(
    name: str,
    *,
    model: Mapping[str, Any] | ModelConfig | None = None,
    train: Mapping[str, Any] | TrainConfig | None = None,
) -> Preset:
    """Return the preset `name` with some values changed; nested configurations may be given in part.

    Plain dictionaries, such as `htsat`, are replaced whole.

    Raises:
        ConfigError: the preset or a key is unknown, or a value is out of range.
    """
    if name not in PRESETS:
        raise ConfigError(f"there is no preset {name!r}: {nearest(name, PRESETS)}")
    chosen = PRESETS[name]()
    changes = {key: value for key, value in {"model": model, "train": train}.items() if value is not None}
    return _merge(chosen, changes)


def _merge(config: Config, changes: Mapping[str, Any]) -> Config:
    """Replace values, going into nested configurations where a mapping is given."""
    nested = {
        k: _merge(getattr(config, k), v)
        for k, v in changes.items()
        if isinstance(getattr(config, k, None), Config) and isinstance(v, Mapping)
    }
    return config.replace(**{**changes, **nested})
