"""Loading a model to use it, whoever trained it."""

from __future__ import annotations

from pathlib import Path

import torch

from slapkit.hub.starting import load_joint
from slapkit.models.inference import Model, Precision


def load_model(
    path: str | Path, *, device: str = "auto", precision: Precision = "no", tokenizer: str | Path | None = None
) -> Model:
    """Load the model of a run's folder or checkpoint folder, of a folder or hub name of transformers' CLAP, or of a
    LAION-CLAP file.

    Args:
        path: the checkpoint. A string `owner/model` that is no path here is looked up on the hub.
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
