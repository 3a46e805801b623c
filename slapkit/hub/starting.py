"""A checkpoint of any kind as the start of a training."""

from pathlib import Path

import torch
from torch import nn

from slapkit._io import locate
from slapkit.errors import CheckpointError
from slapkit.hub.load import load_joint
from slapkit.models.joint import JointModel, ModelConfig, Objective
from slapkit.models.weights import differences

# The joint space, by the names of its tensors: of another objective, there are none or others.
_PARTS = {"audio projector": "audio.projector.", "text projector": "text.projector.", "audio predictor": "audio_pred",
          "text predictor": "text_pred", "temperature": "log"}  # fmt: skip
_TUNING_LR = 1e-4  # that of the released configuration


def with_towers_of(model: ModelConfig, init: str | Path, *, tokenizer: str | Path | None = None) -> ModelConfig:
    """Return `model` with the towers of the checkpoint `init`: encoders, front end, window, tokenizer, projectors and
    width, and predictors if it has any.

    Of a run of several seeds it is the first, here and below: all together are not to be trained. Whether an encoder is
    frozen stays as in `model`, where the checkpoint allows it. `tokenizer` is that of `slapkit.load`. Raises as
    `load_joint`.
    """
    joint = load_joint(_first_seed(init), tokenizer=tokenizer)
    source = joint.config
    return source.replace(
        audio=source.audio.replace(frozen=model.audio.frozen),
        text=source.text.replace(fingerprint=None, frozen=source.text.frozen and model.text.frozen),
        predictor=source.predictor if joint.has_predictor else model.predictor,
    )


def tuning_lr(model: ModelConfig, lr: float) -> float:
    """Return `lr`, or at most 1e-4 where an encoder that has learned is trained further."""
    return lr if model.audio.frozen and model.text.frozen else min(lr, _TUNING_LR)


def start_from(
    model: ModelConfig, objective: Objective, init: str | Path, *, tokenizer: str | Path | None = None, seed: int = 0
) -> JointModel:
    """Return a new joint model with the encoders of the checkpoint `init`, to be trained.

    Projectors, predictors and temperature are kept where the checkpoint has them in the same shapes, and otherwise
    drawn by `seed`; the model's `start` names them. A CNN keeps the mean and standard deviation that its weights know.
    A `CheckpointError` says that nothing usable is at `init`, or that its encoders are not those of `model`.
    """
    torch.manual_seed(seed)
    source = load_joint(_first_seed(init), tokenizer=tokenizer)
    _check_encoders(model, source.config, init)
    audio = source.config.audio.replace(frozen=model.audio.frozen)
    joint = JointModel(model.replace(audio=audio), objective, source.audio.encoder, source.text.encoder)
    joint.note, joint.vocabulary = source.note, source.vocabulary
    kept, drawn = ["audio encoder", "text encoder"], []
    for part, prefix in _PARTS.items():
        ours, theirs = (_tensors(one, prefix) for one in (joint, source))
        if ours and [t.shape for t in ours] == [t.shape for t in theirs]:
            for tensor, known in zip(ours, theirs):
                tensor.copy_(known)
            kept.append(part)
        elif ours:
            drawn.append(part)
    joint.start = f"started from {init}: kept {', '.join(kept)}; drawn anew: {', '.join(drawn) or 'nothing'}"
    return joint


def _first_seed(init: str | Path) -> str | Path:
    """Return the first seed's folder where `init` is a run's, else `init`."""
    first = locate(init) / "checkpoint"
    return first if (first / "config.json").is_file() else init


def _check_encoders(model: ModelConfig, source: ModelConfig, init: str | Path) -> None:
    """Raise `CheckpointError` unless the encoders of `model` are those of the checkpoint."""

    def settings(config: ModelConfig) -> dict:
        # Training sets or may choose these: they make no other encoder.
        audio = config.audio.to_dict() | {"frozen": None, "mel_mean": None, "mel_std": None}
        return {"audio": audio, "text": config.text.to_dict() | {"frozen": None, "fingerprint": None}}

    if differing := differences(settings(source), settings(model)):
        raise CheckpointError(
            f"init={str(init)!r} has other encoders than the model to be trained ({differing}): take its own with "
            "slapkit.hub.with_towers_of(model, init)"
        )
    if model.text.frozen and not source.text.frozen:
        raise CheckpointError(
            f"init={str(init)!r}: text.frozen=True keeps the text encoder by reference to its source, and this one was "
            "trained: take text={'frozen': False}"
        )


def _tensors(module: nn.Module, prefix: str) -> list[torch.Tensor]:
    """Return the tensors of a part in order: dropout between two layers changes their numbers, and no tensor."""
    return [tensor for name, tensor in module.state_dict().items() if name.startswith(prefix)]
