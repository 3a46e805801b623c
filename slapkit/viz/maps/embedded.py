"""The split of a run as its model embeds it, kept on disk beside the model."""

import contextlib
import hashlib
import json
from pathlib import Path

from slapkit._io import read_arrays, sha256_file, write_arrays
from slapkit.data import AudioTextDataset
from slapkit.errors import CheckpointError, StorageError
from slapkit.hub.load import load_model
from slapkit.metrics.embedded import Embedded, embed_split, make

_FORMAT = 3
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
    found = read_arrays(path)
    if found is None:
        model = load_model(run, device="cpu")
        embedded = embed_split(model, dataset, split=split, cache_dir=cache_dir, name=name, progress=progress)
        with contextlib.suppress(StorageError):  # a run in a place that cannot be written to can still be shown
            about = {"ids": [clip.id for clip in embedded.clips], "objective": embedded.objective}
            write_arrays(path, {name: embedded.arrays[name] for name in _ARRAYS}, about)
        return embedded
    arrays, about = found
    known = set(about["ids"])
    clips = part.with_clips(clip for clip in part if clip.id in known)
    return make(clips, arrays, name=name, objective=about["objective"], split=split)


def _weights(run: Path) -> Path:
    for folder in (run, run / "checkpoint"):
        if (folder / "model.safetensors").is_file():
            return folder / "model.safetensors"
    raise CheckpointError(f"{run} holds no trained model (no model.safetensors): name a run whose training has ended")
