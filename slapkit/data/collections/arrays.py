"""NumPy's files from strangers: headers are believed only where the file bears them out, and nothing is unpickled.

`.npy` may hold a pickle, which runs code when loaded, and its header may claim any size; `.npz` is a zip, which may
claim little and unpack to much. All of this is looked at before a value is read.
"""

from __future__ import annotations

import math
import os
import pickletools
import zipfile
import zlib
from lzma import LZMAError
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from slapkit._io import readable_size
from slapkit.errors import DataError

LARGEST_MEMBER = 256_000_000  # bytes of one array of an .npz: labels of 20,000 clips take 3 MB
_HEADER_LIMIT = 10_000  # characters of a header, which numpy parses as a Python literal
_TEXTS = {"UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "STRING", "SHORT_BINSTRING", "BINSTRING"}


class Header(NamedTuple):
    """What an `.npy` file says about itself, and where its values begin."""

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool
    offset: int

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(file: BinaryIO, size: int, name: str) -> Header:
    """Return the header of an `.npy` file of `size` bytes.

    Raises:
        DataError: another kind of file, a damaged header, a structured type, or one that claims more than the file has.
    """
    formats = np.lib.format
    readers = {(1, 0): formats.read_array_header_1_0, (2, 0): formats.read_array_header_2_0}
    try:
        version = formats.read_magic(file)
        if version not in readers:
            raise ValueError(f"version {version}, which only structured arrays need")
        shape, fortran, dtype = readers[version](file, max_header_size=_HEADER_LIMIT)
    except Exception as error:  # the header is Python source: its parser raises whatever the damage leads to
        raise DataError(f"{name} is no .npy file, or its header is damaged: {str(error)[:200]}") from error
    header = Header(shape, dtype, fortran, file.tell())
    if dtype.names is not None or any(length < 0 for length in shape):
        raise DataError(f"{name} has type {dtype} and shape {shape}: a plain array of numbers needed")
    if not dtype.hasobject and header.bytes > size - header.offset:
        claim = f"{readable_size(header.bytes)} ({dtype} {list(shape)})"
        raise DataError(
            f"{name} claims {claim} but holds {readable_size(max(0, size - header.offset))}: cut off or forged"
        )
    return header


def open_array(path: str | os.PathLike[str]) -> np.ndarray:
    """Return an `.npy` file as a read-only memory map.

    Raises:
        DataError: missing, no `.npy`, pickled objects (nothing is loaded), no values, or more claimed than there is.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            header = read_header(file, os.fstat(file.fileno()).st_size, str(path))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    if header.dtype.hasobject:
        raise DataError(
            f"{path} holds pickled Python objects, which can run code when loaded: save it as plain numbers"
        )
    if header.bytes == 0:
        raise DataError(f"{path} holds no values: its shape is {list(header.shape)}")
    order = "F" if header.fortran else "C"
    return np.memmap(path, header.dtype, "r", offset=header.offset, shape=header.shape, order=order)


def read_member(path: Path, name: str) -> np.ndarray:
    """Return one array of an `.npz`, and nothing else of it.

    Raises:
        DataError: no `.npz`, no such array, pickled objects, or sizes that do not fit together.
    """
    header, data = _member(path, name)
    if header.dtype.hasobject:
        raise DataError(f"{path}: {name} holds pickled Python objects, which can run code when loaded: not read")
    values = np.frombuffer(data, header.dtype, count=math.prod(header.shape), offset=header.offset)
    return values.reshape(header.shape, order="F" if header.fortran else "C")


def read_texts(path: Path, name: str) -> list[str]:
    """Return a vector of texts of an `.npz`, also where NumPy pickled it, as it does with texts of type object.

    A pickle is a list of instructions. They are listed, not carried out, and the texts among them are returned in
    their order: with the texts of the array are those that name its type, which the caller has to tell apart.

    Raises:
        DataError: no `.npz`, no such array, a matrix or numbers, or a damaged pickle.
    """
    header, data = _member(path, name)
    if len(header.shape) != 1 or header.dtype.kind not in "USO":
        raise DataError(f"{path}: {name} has type {header.dtype} and shape {list(header.shape)}: texts [N] needed")
    if header.dtype.kind == "O":
        try:
            found = [(op.name, argument) for op, argument, _ in pickletools.genops(data[header.offset :])]
        except (ValueError, IndexError, OverflowError) as error:
            raise DataError(f"{path}: {name} is damaged: {str(error)[:200]}") from error
        return [argument for name, argument in found if name in _TEXTS]
    values = read_member(path, name)
    return [value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in values.tolist()]


def _member(path: Path, name: str) -> tuple[Header, bytes]:
    """Return header and bytes of an array of an `.npz`; the zip's own check sum is verified."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if f"{name}.npy" not in names:
                known = ", ".join(member.removesuffix(".npy") for member in names[:20])
                raise DataError(f"{path} has no array {name!r} (found: {known or 'none'})")
            info = archive.getinfo(f"{name}.npy")
            if info.file_size > LARGEST_MEMBER:
                raise DataError(
                    f"{path}: {name} unpacks to {readable_size(info.file_size)}, more than the "
                    f"{readable_size(LARGEST_MEMBER)} that labels can take: forged or damaged"
                )
            with archive.open(info) as file:
                header = read_header(file, info.file_size, f"{path}: {name}")
            return header, archive.read(info)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except (zipfile.BadZipFile, zlib.error, LZMAError, RuntimeError, EOFError, ValueError) as error:
        raise DataError(f"{path} is no .npz file, or is damaged: {str(error)[:200]}") from error
