"""Arrays in NumPy's files from strangers: nothing is unpickled, and sizes are checked."""

import io
import os
import pickletools
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from slapkit._io import readable_size
from slapkit.errors import DataError

LARGEST_MEMBER = 256_000_000  # bytes of one array of an .npz: labels of 20,000 clips take 3 MB
_TEXTS = {"UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "STRING", "SHORT_BINSTRING", "BINSTRING"}


def open_array(path: str | os.PathLike[str]) -> np.ndarray:
    """Return an `.npy` file as a read-only memory map; raise `DataError` where it is missing or damaged, claims more
    than it holds, or is not a plain array with values."""
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # a header is Python source: its parser raises whatever the damage leads to
        raise DataError(f"{path} is not a usable .npy file: {str(error)[:200]}") from error
    if array.dtype.names is not None or array.size == 0:
        raise DataError(f"{path} has type {array.dtype} and shape {list(array.shape)}: a plain array of values needed")
    return array


def read_member(path: Path, name: str) -> np.ndarray:
    """Return one array of an `.npz`; raise `DataError` for a missing file or array, pickled objects, damage, or a size
    beyond `LARGEST_MEMBER`."""
    return _read(path, name, lambda file: np.lib.format.read_array(file, allow_pickle=False))


def read_texts(path: Path, name: str) -> list[str]:
    """Return a vector of texts of an `.npz`, also one of type object, which NumPy pickles; raise `DataError` as
    `read_member`.

    A pickle is a list of instructions. They are listed, not carried out, and the texts among them are returned in
    order. Those that name the array's type are among them: the caller has to separate them.
    """
    return _read(path, name, _texts)


def _texts(file: io.BytesIO) -> list[str]:
    formats = np.lib.format
    readers = {(1, 0): formats.read_array_header_1_0, (2, 0): formats.read_array_header_2_0}
    shape, _, dtype = readers[formats.read_magic(file)](file)
    if len(shape) != 1 or dtype.kind not in "USO":
        raise ValueError(f"type {dtype} and shape {list(shape)}, where texts [N] are needed")
    if dtype.kind == "O":
        return [value for operation, value, _ in pickletools.genops(file.read()) if operation.name in _TEXTS]
    file.seek(0)
    values = formats.read_array(file, allow_pickle=False).tolist()
    return [value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in values]


def _read(path: Path, name: str, parse: Callable[[io.BytesIO], Any]) -> Any:
    """Return what `parse` makes of the bytes of an array; the zip's own check sum is verified."""
    try:
        with zipfile.ZipFile(path) as archive:
            if f"{name}.npy" not in archive.namelist():
                found = ", ".join(member.removesuffix(".npy") for member in archive.namelist()[:20])
                raise DataError(f"{path} has no array {name!r} (found: {found or 'none'})")
            size = archive.getinfo(f"{name}.npy").file_size
            if size > LARGEST_MEMBER:
                most = readable_size(LARGEST_MEMBER)
                raise DataError(f"{path}: {name} unpacks to {readable_size(size)}; labels take at most {most}")
            array = parse(io.BytesIO(archive.read(f"{name}.npy")))
    except DataError:
        raise
    except Exception as error:  # as in open_array
        raise DataError(f"{path}: {name} cannot be read: {str(error)[:200]}") from error
    if isinstance(array, np.ndarray) and array.dtype.names is not None:
        raise DataError(f"{path}: {name} has type {array.dtype}: a plain array needed")
    return array
