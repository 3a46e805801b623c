"""A checkpoint of any kind as the start of a training."""

import logging
from pathlib import Path

import torch
from torch import nn

from slapkit.errors import CheckpointError
from slapkit.hub.load import load_joint
from slapkit.models.joint import JointModel, ModelConfig, Objective
from slapkit.models.weights import differences

logger = logging.getLogger(__name__)


def with_encoders_of(model: ModelConfig, init: str | Path) -> ModelConfig:
    """Return `model` with the encoders of the checkpoint `init`: architecture, front end, window and tokenizer.

    Heads, width and whether the audio encoder is frozen stay as they are in `model`.

    Raises:
        CheckpointError: see `load_joint`.
    """
    source = load_joint(init).config
    text = source.text.replace(fingerprint=None, frozen=source.text.frozen and model.text.frozen)
    return model.replace(audio=source.audio.replace(frozen=model.audio.frozen), text=text)


def start_from(model: ModelConfig, objective: Objective, init: str | Path, *, seed: int = 0) -> JointModel:
    """Return a new joint model with the encoders of the checkpoint `init`, to be trained.

    A projector is taken too where its shapes are the same. Other projectors, predictors and temperature are drawn by
    `seed`; the log names them. A CNN keeps the mean and standard deviation that its weights know.

    Raises:
        CheckpointError: nothing usable is at `init`, or its encoders are not those of `model`.
    """
    torch.manual_seed(seed)
    source = load_joint(init)
    _check_encoders(model, source.config, init)
    audio = source.config.audio.replace(frozen=model.audio.frozen)
    joint = JointModel(model.replace(audio=audio), objective, source.audio.encoder, source.text.encoder)
    joint.note, joint.vocabulary = source.note, source.vocabulary
    taken, drawn = ["audio encoder", "text encoder"], []
    for name in ("audio", "text"):
        ours, theirs = (getattr(m, name).projector for m in (joint, source))
        same = _shapes(ours) == _shapes(theirs)
        if same:
            ours.load_state_dict(theirs.state_dict())
        (taken if same else drawn).append(f"{name} projector")
    drawn.append("predictors" if joint.has_predictor else "temperature")
    logger.info("from %s: %s; drawn anew: %s", init, ", ".join(taken), ", ".join(drawn))
    return joint


def _check_encoders(model: ModelConfig, source: ModelConfig, init: str | Path) -> None:
    """Raise `CheckpointError` unless the encoders of `model` are those of the checkpoint."""

    def settings(config: ModelConfig) -> dict:
        # Training sets or may choose these: they make no other encoder.
        audio = config.audio.to_dict() | {"frozen": None, "mel_mean": None, "mel_std": None}
        return {"audio": audio, "text": config.text.to_dict() | {"frozen": None, "fingerprint": None}}

    if differing := differences(settings(source), settings(model)):
        raise CheckpointError(
            f"init={str(init)!r} has other encoders than the model to be trained ({differing}): take its own with "
            "slapkit.hub.with_encoders_of(model, init)"
        )
    if model.text.frozen and not source.text.frozen:
        raise CheckpointError(
            f"init={str(init)!r}: text.frozen=True keeps the text encoder by reference to its source, and this one was "
            "trained: take text={'frozen': False}"
        )


def _shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in module.state_dict().items()}
