"""Loading a checkpoint of any kind as a joint model, and starting training from one."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import torch
from torch import nn

from slapkit.errors import CheckpointError
from slapkit.hub.source import find
from slapkit.models.encoders import build_audio_encoder, build_text_encoder
from slapkit.models.encoders.text import TextEncoder
from slapkit.models.joint import JointModel, ModelConfig, Objective
from slapkit.models.weights import differences, load_strictly, load_tensors, read_model_config, save_model

logger = logging.getLogger(__name__)
TOKENIZER = "roberta-base"  # LAION-CLAP's files come without theirs


def load_joint(path: str | Path, *, tokenizer: str | Path | None = None) -> JointModel:
    """Return the joint model of a run, of a folder or name of transformers' CLAP, or of a LAION-CLAP file, on the CPU.

    Args:
        path: the checkpoint; see `slapkit.load`.
        tokenizer: folder or name of RoBERTa's tokenizer, for a LAION-CLAP file alone (default: "roberta-base").

    Raises:
        CheckpointError: nothing usable is there, the weights do not fit, or a frozen encoder is not the one that it was
            trained with.
    """
    found = find(path)
    if tokenizer is not None and found.kind != "laion":
        raise CheckpointError(f"{path} comes with its own tokenizer: leave tokenizer={str(tokenizer)!r} out")
    if found.kind == "run":
        return _load_run(found.place)
    from slapkit.hub import laion, transformers_clap
    from slapkit.hub.published import assemble

    if found.kind == "clap":
        return assemble(transformers_clap.read_folder(found.place, found.name))
    return assemble(laion.read_file(found.place, found.name, tokenizer=TOKENIZER if tokenizer is None else tokenizer))


def _load_run(folder: Path) -> JointModel:
    config, content = read_model_config(folder)
    if config.text.frozen:
        text = build_text_encoder(config.text)
        if config.text.fingerprint and text.fingerprint() != config.text.fingerprint:
            raise CheckpointError(
                f"{folder}: trained with text encoder {config.text.source!r} of fingerprint "
                f"{config.text.fingerprint}, but what is found under that name "
                f"has {text.fingerprint()}: install the version that it was trained with"
            )
    else:
        text = TextEncoder.from_folder(folder / "text_encoder", config.text)
    joint = JointModel(config, content["objective"], build_audio_encoder(config.audio, weights=False), text)
    load_strictly(
        joint, load_tensors(folder / "model.safetensors"), folder / "model.safetensors", own=joint.own_state()
    )
    return joint


def convert(path: str | Path, folder: str | Path, *, tokenizer: str | Path | None = None) -> Path:
    """Write a checkpoint of any kind as slapkit keeps its own, tokenizer included, and return its folder.

    Raises:
        CheckpointError: see `load_joint`; or something lies in `folder` already.
        StorageError: the disk is full or forbidden.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise CheckpointError(f"{folder} is not empty: name a folder that is still to be made")
    save_model(load_joint(path, tokenizer=tokenizer), folder, train={}, step=0)
    return folder


def with_encoders_of(model: ModelConfig, init: str | Path) -> ModelConfig:
    """Return `model` with the encoders of the checkpoint `init`, as `start_from` needs them: their architecture, front
    end, window and tokenizer. Heads, width and whether the audio encoder is frozen stay as they are in `model`.

    Raises:
        CheckpointError: see `load_joint`.
    """
    there = load_joint(init).config
    text = there.text.replace(fingerprint=None, frozen=there.text.frozen and model.text.frozen)
    return model.replace(audio=there.audio.replace(frozen=model.audio.frozen), text=text)


def start_from(model: ModelConfig, objective: Objective, init: str | Path) -> tuple[JointModel, str]:
    """Return a new joint model with the encoders of the checkpoint `init`, and the fingerprint of its towers.

    A projector is taken too where hidden width, BatchNorm, and the widths around it are the same; else it is drawn
    anew, as predictors and temperature always are. Which, the log says. A CNN keeps the mean and spread that its
    weights know.

    Raises:
        CheckpointError: nothing usable is at `init`, or its encoders are not those of `model`.
    """
    source = load_joint(init)
    _check_encoders(model, source.config, init)
    audio = source.config.audio.replace(frozen=model.audio.frozen)
    joint = JointModel(model.replace(audio=audio), objective, source.audio.encoder, source.text.encoder)
    taken = ["audio encoder", "text encoder"]
    for name in ("audio", "text"):
        ours, theirs = getattr(joint, name).projector, getattr(source, name).projector
        if _same_shapes(ours, theirs):
            ours.load_state_dict(theirs.state_dict())
            taken.append(f"{name} projector")
    drawn = [f"{name} projector" for name in ("audio", "text") if f"{name} projector" not in taken]
    drawn += ["predictors"] if joint.has_predictor else ["temperature"]
    logger.info("from %s: %s; drawn anew: %s", init, ", ".join(taken), ", ".join(drawn))
    return joint, _fingerprint(source)


def _check_encoders(model: ModelConfig, there: ModelConfig, init: str | Path) -> None:
    """Raise `CheckpointError` unless the encoders that are wanted are those of the checkpoint."""

    def settings(config: ModelConfig) -> dict:
        # What training sets by itself, or may choose anew, makes no other encoder.
        audio = config.audio.to_dict() | {"frozen": None, "mel_mean": None, "mel_std": None}
        return {"audio": audio, "text": config.text.to_dict() | {"frozen": None, "fingerprint": None}}

    if differing := differences(settings(there), settings(model)):
        raise CheckpointError(
            f"init={str(init)!r} has other encoders than the model to be trained ({differing}): take its own with "
            "slapkit.hub.with_encoders_of(model, init)"
        )
    if model.text.frozen and not there.text.frozen:
        raise CheckpointError(
            f"init={str(init)!r}: text.frozen=True keeps the text encoder by reference to its source, and this one was "
            "trained: take text={'frozen': False}"
        )


def _same_shapes(a: nn.Module, b: nn.Module) -> bool:
    shapes = [{name: tensor.shape for name, tensor in module.state_dict().items()} for module in (a, b)]
    return shapes[0] == shapes[1]


def _fingerprint(joint: JointModel) -> str:
    """16 hex digits that name the weights of towers."""
    digest = hashlib.sha256()
    for tower in (joint.audio, joint.text):
        for name, tensor in sorted(tower.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]
