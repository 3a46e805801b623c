"""Loading a checkpoint of any kind: a run, a folder or name of transformers' CLAP, or a LAION-CLAP file."""

from __future__ import annotations

from pathlib import Path

import torch

from slapkit.errors import CheckpointError
from slapkit.hub import laion, transformers_clap
from slapkit.hub.published import assemble
from slapkit.hub.source import find
from slapkit.models.encoders import build_audio_encoder, build_text_encoder
from slapkit.models.encoders.text import TextEncoder
from slapkit.models.inference import Model, Precision
from slapkit.models.joint import JointModel
from slapkit.models.weights import load_strictly, load_tensors, read_model_config

TOKENIZER = "roberta-base"  # LAION-CLAP's files come without theirs


def load_model(
    path: str | Path, *, device: str = "auto", precision: Precision = "no", tokenizer: str | Path | None = None
) -> Model:
    """Load a checkpoint to use it.

    Args:
        path: folder of a run or checkpoint, folder or hub name of transformers' CLAP, or a LAION-CLAP file. A string
            `owner/model` that is no path here is looked up on the hub.
        device: "auto" takes a GPU if there is one.
        precision: "no" for float32, or "bf16", see `Model`.
        tokenizer: folder or name of RoBERTa's tokenizer, for a LAION-CLAP file alone (default: "roberta-base").

    Raises:
        CheckpointError: nothing usable is there, the weights do not fit, or a frozen encoder is not the one that it was
            trained with.
    """
    joint = load_joint(path, tokenizer=tokenizer)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return Model(joint, device=device, precision=precision)


def load_joint(path: str | Path, *, tokenizer: str | Path | None = None) -> JointModel:
    """Return the joint model of a checkpoint, on the CPU; arguments and errors are those of `load_model`."""
    found = find(path)
    if tokenizer is not None and found.kind != "laion":
        raise CheckpointError(f"{path} comes with its own tokenizer: leave tokenizer={str(tokenizer)!r} out")
    if found.kind == "run":
        return _load_run(found.place)
    if found.kind == "clap":
        return assemble(transformers_clap.read_folder(found.place, found.name))
    return assemble(laion.read_file(found.place, found.name, tokenizer=TOKENIZER if tokenizer is None else tokenizer))


def _load_run(folder: Path) -> JointModel:
    config, content = read_model_config(folder)
    if config.text.frozen:
        text = build_text_encoder(config.text)
        if config.text.fingerprint and text.fingerprint() != config.text.fingerprint:
            raise CheckpointError(
                f"{folder}: trained with text encoder {config.text.source!r} of fingerprint {config.text.fingerprint}, "
                f"but the one found has {text.fingerprint()}: install the version that it was trained with"
            )
    else:
        text = TextEncoder.from_folder(folder / "text_encoder", config.text)
    joint = JointModel(config, content["objective"], build_audio_encoder(config.audio, weights=False), text)
    file = folder / "model.safetensors"
    load_strictly(joint, load_tensors(file), file, own=joint.own_state())
    return joint
