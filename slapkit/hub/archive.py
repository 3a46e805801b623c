"""Torch's weight files, read without running anything in them.

Such a file is a zip archive of a pickle and raw numbers, and a pickle is a program. So the archive is examined first:
its members must lie uncompressed within the file, and the pickle is gone through with stand-ins for the few functions
that weights need, which count numbers and make none. Only what passes is given to `torch.load(weights_only=True)`.
"""

from __future__ import annotations

import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from slapkit._io import readable_size
from slapkit.errors import CheckpointError

_LONGEST_PICKLE = 16_000_000  # bytes; that of a model of 200 M parameters with its optimiser takes 0.5 MB
_BYTES = {
    "Double": 8, "Float": 4, "Half": 2, "BFloat16": 2, "Long": 8, "Int": 4, "Short": 2, "Char": 1, "Byte": 1, "Bool": 1,
}  # fmt: skip
_SCALARS = "?bBhHiIlLqQefd"  # numpy's codes of plain numbers


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the weights of a torch file on the CPU: its `state_dict`, or all of it; a prefix `module.` goes.

    Raises:
        CheckpointError: the file is no torch archive, claims more than it holds, names members outside itself, holds
            code, or something other than named tensors. Nothing in it was run.
    """
    content = _examine(path)
    state = content["state_dict"] if isinstance(content, dict) and "state_dict" in content else content
    if not isinstance(state, dict) or not state:
        raise CheckpointError(f"{path} holds no weights: a mapping of names to tensors, or one as 'state_dict', needed")
    for name, value in dict.items(state):  # its own method: a pickle can hide that of an instance
        if not isinstance(name, str) or not isinstance(value, _Shape):
            raise CheckpointError(f"{path}: {name!r} is no tensor with a name, so this is no file of weights")
    with torch.serialization.safe_globals(_numpy_numbers()):
        try:
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except (RuntimeError, pickle.UnpicklingError, ValueError, OSError, KeyError, AttributeError) as error:
            raise CheckpointError(f"{path} cannot be read as weights: {str(error).splitlines()[0]}") from error
    tensors = loaded["state_dict"] if state is not content else loaded
    inside = all(name.startswith("module.") for name in tensors)  # as several devices save it
    return {name.removeprefix("module.") if inside else name: tensor for name, tensor in tensors.items()}


def _numpy_numbers() -> list[Any]:
    """What numpy's plain numbers, such as a best score, need; `_examine` has seen that there are no others."""
    import numpy as np

    scalar = np.float64(0).__reduce__()[0]
    old = [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    return [*old, np.dtype, *(type(np.dtype(code)) for code in _SCALARS)]


def _examine(path: Path) -> Any:
    """Return the content of the file with a `_Shape` for every tensor."""
    try:
        with zipfile.ZipFile(path) as archive:
            top = _check_members(archive, path)
            sizes = {info.filename: info.file_size for info in archive.infolist()}
            with archive.open(f"{top}/data.pkl") as program:
                return _Examiner(program, path, {n.removeprefix(f"{top}/"): size for n, size in sizes.items()}).load()
    except CheckpointError:
        raise
    except zipfile.BadZipFile as error:
        raise CheckpointError(
            f"{path} is no archive that torch.save writes ({error}): it is damaged, of another kind, or older than "
            "torch 1.6. Other pickles are not read, for they could run code"
        ) from error
    except Exception as error:  # a pickle that is damaged or malign can raise anything
        raise CheckpointError(f"{path} cannot be read as weights ({type(error).__name__}: {error})") from error


def _check_members(archive: zipfile.ZipFile, path: Path) -> str:
    """Check names and sizes of an archive's members; return the folder that they lie in."""
    members, size = archive.infolist(), path.stat().st_size
    tops = {info.filename.split("/")[0] for info in members}
    for info in members:
        name = info.orig_filename
        if "\\" in name or "\0" in name or ":" in name or any(part in ("", ".", "..") for part in name.split("/")):
            raise CheckpointError(f"{path} names a member {name!r}, which leads out of the archive: refused")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size or info.flag_bits & 1:
            raise CheckpointError(
                f"{path}: its member {name!r} is compressed or locked ({readable_size(info.file_size)} out of "
                f"{readable_size(info.compress_size)}), which torch.save never does: refused"
            )
    claimed = sum(info.file_size for info in members)
    if claimed > size or len(archive.namelist()) != len(set(archive.namelist())):
        raise CheckpointError(
            f"{path} claims {readable_size(claimed)} in members that overlap or repeat, and is a file of "
            f"{readable_size(size)}: refused"
        )
    top = next(iter(tops), "")
    if len(tops) != 1 or f"{top}/data.pkl" not in archive.namelist():
        raise CheckpointError(f"{path} is no archive that torch.save writes: it has no <name>/data.pkl")
    if any(name.startswith(f"{top}/code/") for name in archive.namelist()):
        raise CheckpointError(f"{path} is a TorchScript archive, which holds code: save its state_dict() instead")
    if archive.getinfo(f"{top}/data.pkl").file_size > _LONGEST_PICKLE:
        raise CheckpointError(f"{path}: its data.pkl is longer than {readable_size(_LONGEST_PICKLE)}: refused")
    return top


class _Storage(NamedTuple):  # a tuple, for no pickle can change one afterwards
    """Stands for the numbers of a storage: how many there are."""

    count: int


class _Shape(NamedTuple):
    """Stands for a tensor."""

    shape: tuple[int, ...]


class _Inert:
    """Stands for anything that weights may mention and nothing needs."""

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, _: Any) -> None:
        pass


class _Examiner(pickle._Unpickler):
    """Goes through a pickle of weights; every name in it leads to a stand-in here, or to a refusal.

    It is the one written in Python: the other makes room for as many values as a pickle claims to remember.
    """

    def __init__(self, program, path: Path, sizes: Mapping[str, int]) -> None:
        super().__init__(program, encoding="utf-8")
        self.path, self.sizes = path, sizes
        self.known: dict[str, Any] = {
            "collections.OrderedDict": OrderedDict,
            "torch._utils._rebuild_tensor_v2": self._tensor,
            "torch._utils._rebuild_parameter": _parameter,
            "torch.Size": tuple,
            "torch.device": _Inert,
            "numpy.core.multiarray.scalar": _Inert,
            "numpy._core.multiarray.scalar": _Inert,
            "numpy.dtype": self._dtype,
            "_codecs.encode": _Inert,
        }

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if module == "torch" and name.endswith("Storage") and name.removesuffix("Storage") in _BYTES:
            return name.removesuffix("Storage")  # a text: nothing can be called by it
        if full not in self.known:
            raise CheckpointError(
                f"{self.path} asks for {full}, which weights have no need of: refused, and nothing was run. "
                "Load it where you trust it, and save its state_dict() alone"
            )
        return self.known[full]

    def persistent_load(self, pid: Any) -> _Storage:
        kind, number, key, _, count = pid
        found, needed = self.sizes.get(f"data/{key}"), count * _BYTES[number]
        if kind != "storage" or found is None or count < 0 or found != needed:
            held = "no such member" if found is None else f"{readable_size(found)} there"
            raise CheckpointError(
                f"{self.path} claims a storage {key!r} of {readable_size(needed)}, and has {held}: refused"
            )
        return _Storage(count)

    def _tensor(self, storage: _Storage, offset: int, shape: tuple, stride: tuple, *_: Any) -> _Shape:
        numbers = [offset, *shape, *stride]
        whole = all(isinstance(n, int) and n >= 0 for n in numbers) and len(shape) == len(stride)
        reach = offset + sum((n - 1) * step for n, step in zip(shape, stride)) + 1
        if not whole or (math.prod(shape) and (reach > storage.count or math.prod(shape) > storage.count)):
            raise CheckpointError(
                f"{self.path} claims a tensor of shape {list(shape)} in a storage of {storage.count} numbers: refused"
            )
        return _Shape(tuple(shape))

    def _dtype(self, code: str, *_: Any) -> _Inert:
        if not isinstance(code, str) or code.lstrip("<>=|")[:1] not in "?bBhHiIlLqQefdu" or len(code) > 3:
            raise CheckpointError(f"{self.path} holds a numpy value of type {code!r}, no plain number: refused")
        return _Inert()


def _parameter(data: Any, *_: Any) -> Any:
    return data
