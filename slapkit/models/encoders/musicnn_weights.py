"""musicnn's published weights, which are ISC-licensed and come in the package `musicnn`, read without TensorFlow.

The package holds TensorFlow checkpoints: an index, which is a LevelDB table of protobuf messages, and a file of
numbers. Both are checked by their SHA-256 and read as bytes. What the encoder holds of them is kept as safetensors in
`~/.cache/slapkit` (or below `XDG_CACHE_HOME`), and is checked again whenever it is read.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import struct
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from slapkit._io import read_arrays, write_arrays
from slapkit.errors import ConfigError, StorageError
from slapkit.models.encoders.text import tensor_digest
from slapkit.models.encoders.vgg import LAYERS

PACKAGE = "musicnn==0.1.0"
_REMEDY = f"pip install --no-deps --force-reinstall {PACKAGE}"
_FILES = {
    "MTT_musicnn": {
        ".index": "da2d7bb670b2b31e9bc441bb1bd75eca31b5b061f963cc1f9630c1aff3238f57",
        ".data-00000-of-00001": "041f3935e981a65cea739842d30c188d3a7d2adf4410955c8668eb3de4a5acab",
    },
    "MSD_musicnn": {
        ".index": "87f3e0f3550c8d3bafc840374003e5c8af5eeb5ecf6add61af09a7822d3282c8",
        ".data-00000-of-00001": "8579734ee6388f799ed0def4bbd0d1fdcbeaf213ef2a9dc860917bd76a303de6",
    },
    "MTT_vgg": {
        ".index": "4b0d3d2d02bbe0919c063c1fb74bfa9018ac3517e362d681b07444d4207a5f5f",
        ".data-00000-of-00001": "458f5c8bcecc086a3bba3dce83809df6da6e0a3560a59ddd84711bf3d5fd8303",
    },
}
_FORMAT = 1  # of the file in the cache: goes up when a network changes
_EPSILON = 1e-3  # of every BatchNorm
# Convolutions, in the order in which TensorFlow numbers them.
_FRONT = ["timbral.0", "timbral.1", "temporal.0", "temporal.1", "temporal.2"]
_MIDDLE = ["middle.0", "middle.1", "middle.2"]


def read_weights() -> dict[str, Tensor]:
    """Return the weights of all networks, each name behind that of its network, from the cache or from the package.

    Raises:
        ConfigError: neither is there, or a file of the package is not the one that was published.
    """
    about = {"format": _FORMAT, "files": _FILES}
    if (kept := read_arrays(cache_file())) is not None:
        tensors = {name: torch.from_numpy(array) for name, array in kept[0].items()}
        if kept[1] == about | {"tensors": tensor_digest(tensors)}:
            return tensors
    tensors = {}
    for name in _FILES:
        index, data = (_published(name, ending) for ending in _FILES[name])
        entries = {key: entry for key, entry in _entries(index) if key and "Adam" not in key}
        found = {key: _array(entry, data) for key, entry in entries.items()}
        converted = _vgg(found) if name == "MTT_vgg" else _musicnn(found)
        tensors |= {f"{name}.{key}": torch.from_numpy(array) for key, array in converted}
    with contextlib.suppress(StorageError):  # the package stays
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        write_arrays(cache_file(), arrays, about | {"tensors": tensor_digest(tensors)})
    return tensors


def cache_file() -> Path:
    """Return where the converted weights are kept."""
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() / "slapkit" / "musicnn.safetensors"


def _published(name: str, ending: str) -> bytes:
    """Return a checked file of the package."""
    spec = find_spec("musicnn")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(f"kind='musicnn' needs the weights of a package that is not installed: {_REMEDY}")
    path = Path(next(iter(spec.submodule_search_locations))) / name / ending
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"musicnn's weights {path} cannot be read ({error.strerror}): {_REMEDY}") from error
    if hashlib.sha256(content).hexdigest() != _FILES[name][ending]:
        raise ConfigError(f"musicnn's weights {path} are damaged or of another version: {_REMEDY}")
    return content


def _entries(index: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield keys and values of a LevelDB table without compression."""
    at = len(index) - 48  # the footer: handles of two blocks, the index of the blocks is the second
    for _ in range(2):
        _, at = _varint(index, at)
    for _, handle in _block(index, index, at):
        yield from ((key.decode(), value) for key, value in _block(index, handle, 0))


def _block(index: bytes, handle: bytes, at: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield keys and values of the block whose place and size are at `handle[at]`. Keys share prefixes with the one
    before, and a list of restarts ends the block."""
    start, at = _varint(handle, at)
    size, _ = _varint(handle, at)
    restarts = struct.unpack_from("<I", index, start + size - 4)[0]
    at, end, key = start, start + size - 4 * (restarts + 1), b""
    while at < end:
        shared, at = _varint(index, at)
        fresh, at = _varint(index, at)
        length, at = _varint(index, at)
        key = key[:shared] + index[at : at + fresh]
        yield key, index[at + fresh : at + fresh + length]
        at += fresh + length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at `data[at]`, seven bits a byte, and where it ends."""
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 128:
            return value, at


def _array(entry: bytes, data: bytes) -> np.ndarray:
    """Return the float64 array of a `BundleEntryProto`, which names shape (2) and offset (4)."""
    fields = _fields(entry)
    shape = [_fields(dim).get(1, [0])[0] for dim in _fields(fields.get(2, [b""])[0]).get(2, [])]
    values = np.frombuffer(data, "<f4", count=math.prod(shape), offset=fields.get(4, [0])[0])
    return values.reshape(shape).astype(np.float64)


def _fields(message: bytes) -> dict[int, list]:
    """Return the values of a protobuf message by field."""
    at, fields = 0, {}
    while at < len(message):
        tag, at = _varint(message, at)
        if tag & 7 == 0:
            value, at = _varint(message, at)
        else:  # bytes, or four of them: a checksum
            length, at = _varint(message, at) if tag & 7 == 2 else (4, at)
            value, at = message[at : at + length], at + length
        fields.setdefault(tag >> 3, []).append(value)
    return fields


Layer = tuple[np.ndarray, np.ndarray]


def _norm(given: dict[str, np.ndarray], number: int) -> Layer:
    """Return slope and offset of a BatchNorm; layers are numbered as they were made."""
    parts = ("gamma", "beta", "moving_mean", "moving_variance")
    gamma, beta, mean, variance = (_named(given, "batch_normalization", number, part) for part in parts)
    slope = gamma / np.sqrt(variance + _EPSILON)
    return slope, beta - mean * slope


def _named(given: dict[str, np.ndarray], kind: str, number: int, part: str) -> np.ndarray:
    return given[f"{kind}_{number}/{part}" if number else f"{kind}/{part}"]


def _vgg(given: dict[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield names and tensors of `Vgg`, of TensorFlow's variables."""
    out = dict(zip(("input.0", "input.1"), _norm(given, 0)))
    for i in range(LAYERS):
        slope, offset = _norm(given, 1 + i)
        out |= {f"slopes.{i}": slope[:, None, None], f"offsets.{i}": offset[:, None, None]}
        kernel = given[f"{1 + i}CNN/kernel"].transpose(3, 2, 0, 1)  # of [frames, bands, in, out]
        out |= {f"convs.{i}.weight": kernel, f"convs.{i}.bias": given[f"{1 + i}CNN/bias"]}
    yield from ((name, np.ascontiguousarray(array, dtype=np.float32)) for name, array in out.items())


def _musicnn(given: dict[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield names and tensors of `Network`, of TensorFlow's variables."""

    def dense(number: int, before: Layer) -> Layer:
        kernel = _named(given, "dense", number, "kernel")  # [in, out]
        return (kernel * before[0][:, None]).T, _named(given, "dense", number, "bias") + before[1] @ kernel

    norms = [_norm(given, i) for i in range(1 + len(_FRONT) + len(_MIDDLE) + 2)]
    front = [np.concatenate(parts) for parts in zip(*norms[1 : 1 + len(_FRONT)])]
    out = {"input": norms[0], "front": front, "dense": dense(0, norms[-2]), "output": dense(1, norms[-1])}
    out |= {f"norms.{i}": pair for i, pair in enumerate(norms[1 + len(_FRONT) : -2])}
    signs = []
    for i, name in enumerate(_FRONT + _MIDDLE):
        kernel, bias = (_named(given, "conv2d", i, part) for part in ("kernel", "bias"))  # [frames, bands, in, out]
        if name in _MIDDLE:  # whose bands are the channels before it
            out[name] = kernel[:, :, 0].transpose(2, 1, 0), bias
        else:
            signs.append(np.where(norms[1 + i][0] < 0, -1.0, 1.0))
            out[name] = (kernel * signs[-1]).transpose(3, 2, 0, 1), bias * signs[-1]
    for name, (first, second) in out.items():
        flat = name in ("input", "front") or name.startswith("norms")
        for part, array in zip(("slope", "offset") if flat else ("weight", "bias"), (first, second)):
            yield f"{name}.{part}", np.ascontiguousarray(array[:, None] if flat else array, dtype=np.float32)
    yield "signs", np.concatenate(signs)[:, None].astype(np.float32)
