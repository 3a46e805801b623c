"""Torch's weight files, read without running anything in them: `torch.load(weights_only=True)`, and sizes checked."""

import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slapkit._io import readable_size
from slapkit.errors import CheckpointError

_WRAPPERS = ("module.", "model.", "_orig_mod.")  # of several devices, a trainer and torch.compile
_SCALARS = "?bBhHiIlLqQefd"  # numpy's codes of plain numbers


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the weights of a torch file on the CPU: its `state_dict`, or all of it, without what wrapped the model.
    Raise `CheckpointError` where the file is no torch archive, claims more than it holds, or holds code or something
    other than named tensors; nothing in it was run."""
    content = _load(path)
    state = content["state_dict"] if isinstance(content, dict) and "state_dict" in content else content
    if not isinstance(state, dict) or not state:
        raise CheckpointError(f"{path} holds no weights: a mapping of names to tensors, or one as 'state_dict', needed")
    state = dict(dict.items(state))  # the class's own method: a pickle can hide that of an instance
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise CheckpointError(f"{path}: {name!r} is no tensor with a name, so this is no file of weights")
        if value.layout != torch.strided or value.is_meta or value.is_nested or value.is_quantized:
            raise CheckpointError(f"{path}: {name!r} is a sparse, nested, quantised or empty tensor: save plain ones")
        if value.nbytes > value.untyped_storage().nbytes():  # the same numbers again and again
            raise CheckpointError(f"{path}: {name!r} of shape {list(value.shape)} claims more numbers than are there")
    while prefix := next((p for p in _WRAPPERS if all(name.startswith(p) for name in state)), None):
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


def _load(path: Path) -> Any:
    """Return the content of a torch file; what torch raises becomes a `CheckpointError`."""
    try:
        with zipfile.ZipFile(path) as archive:
            claimed, size = sum(info.file_size for info in archive.infolist()), path.stat().st_size
        if claimed > size:
            raise CheckpointError(
                f"{path} claims {readable_size(claimed)} in a file of {readable_size(size)}: it is compressed or "
                "damaged, which torch.save never leaves"
            )
        with torch.serialization.safe_globals(_numpy_numbers()):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except CheckpointError:
        raise
    except Exception as error:  # a damaged or malign pickle can raise anything
        asked = re.search(r"GLOBAL (\S+)", str(error))
        reason = f"it asks for {asked[1]}" if asked else f"{type(error).__name__}: {error}".splitlines()[0]
        raise CheckpointError(
            f"{path} cannot be read as weights, and nothing in it was run ({reason}): load it where you trust it, and "
            "save its state_dict() alone with torch.save"
        ) from error


def _numpy_numbers() -> list[Any]:
    """What numpy's plain numbers, such as a best score, need under their names of old and new."""
    scalar = np.float64(0).__reduce__()[0]
    scalars = [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    return [*scalars, np.dtype, *(type(np.dtype(code)) for code in _SCALARS)]
