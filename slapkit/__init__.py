"""slapkit: a notebook-first workbench around SLAP, Siamese Language-Audio Pretraining (arXiv 2506.17815).

Importing this package costs nothing: what is heavy is imported where it is used.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from slapkit.models.inference import Model, Precision

__version__ = "0.1.0"
# torch's threads spin while they wait for one another: beside one other process a small step took ten times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def load(
    path: str | Path, *, device: str = "auto", precision: Precision = "no", tokenizer: str | Path | None = None
) -> Model:
    """Return the model kept in `path`: a run's folder or its checkpoint folder, a folder or hub name of transformers'
    CLAP, or a LAION-CLAP file, for which `tokenizer` names RoBERTa's (default: the folder `tokenizer` beside it, else
    "roberta-base").
    With `precision="bf16"` matrix products are in bfloat16: faster where the device has instructions for it.

    Raises:
        CheckpointError: nothing usable is there, or the weights do not fit the configuration beside them.
    """
    from slapkit.hub.load import load_model

    return load_model(path, device=device, precision=precision, tokenizer=tokenizer)
