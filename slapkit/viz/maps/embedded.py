"""The split of a run as its model embeds it, kept on disk beside the model."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path

import numpy as np

from slapkit._io import atomic_path, sha256_file
from slapkit.data import AudioTextDataset
from slapkit.errors import CheckpointError, StorageError
from slapkit.hub.load import load_model
from slapkit.metrics.embedded import Embedded, embed_split, make

_FORMAT = 2
_ARRAYS = tuple(f"{kind}_{what}" for kind in "qz" for what in ("audio", "text", "first", "last"))


def embed_run(
    run: str | Path, dataset: AudioTextDataset, *, split: str = "test", cache_dir: str | Path, name: str = "",
    progress: bool = True,
) -> Embedded:  # fmt: skip
    """Embed one split with the model of a run; the second time it is read from `maps/` beside the model.

    `run` is a run's or a checkpoint's folder, `dataset` has all splits; the model's name is that of its objective,
    unless another is given.

    Raises:
        CheckpointError, DataError: no usable model there, or no usable clip in the split.
    """
    weights = _weights(Path(run))
    part = dataset.split(split)
    key = hashlib.sha256(json.dumps([_FORMAT, sha256_file(weights), part.fingerprint, split]).encode()).hexdigest()
    path = weights.parent / "maps" / f"embedded-{key[:16]}.safetensors"
    found = _read(path)
    if found is None:
        model = load_model(run, device="cpu")
        embedded = embed_split(model, dataset, split=split, cache_dir=cache_dir, name=name, progress=progress)
        with contextlib.suppress(StorageError):  # a run in a place that cannot be written to can still be shown
            _write(path, embedded)
        return embedded
    arrays, ids, objective = found
    known = set(ids)
    clips = part.with_clips(clip for clip in part if clip.id in known)
    return make(clips, arrays, name=name, objective=objective, split=split)


def _weights(run: Path) -> Path:
    for folder in (run, run / "checkpoint"):
        if (folder / "model.safetensors").is_file():
            return folder / "model.safetensors"
    raise CheckpointError(f"{run} holds no trained model (no model.safetensors): name a run whose training has ended")


def _write(path: Path, embedded: Embedded) -> None:
    from safetensors.numpy import save_file

    arrays = {name: np.ascontiguousarray(embedded.arrays[name]) for name in _ARRAYS}
    about = {"ids": json.dumps([clip.id for clip in embedded.clips]), "objective": embedded.objective}
    with atomic_path(path, needed=sum(array.nbytes for array in arrays.values())) as temporary:
        save_file(arrays, temporary, metadata=about)


def _read(path: Path) -> tuple[dict[str, np.ndarray], list[str], str] | None:
    """Return what `_write` kept, None where there is nothing of use."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            about = file.metadata()
            return {name: file.get_tensor(name) for name in _ARRAYS}, json.loads(about["ids"]), about["objective"]
    except (OSError, SafetensorError, KeyError, ValueError, TypeError):
        return None
