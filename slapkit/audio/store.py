"""The file that keeps features, memory-mapped, and the view of it that a data set uses.

Layout of a `.features` file: the rows, float16 `[frames, width]`, one after the other: log-mel in dB, or the samples of
a wave, by the front end (`width` is `n_mels`, or `hop`). Then a JSON footer (front end, key, frames, checksum and sums
of each row, failures); then its length, its SHA-256 and a mark. Rows are
keyed by the SHA-256 of the sound file and ordered by it, so that the content alone decides every byte.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from slapkit.audio.frontend import FrontendConfig
from slapkit.errors import ConfigError, DataError, StorageError

_MARK = b"SLAPFEA1"
_TRAILER = struct.Struct("<Q32s8s")


@dataclass(frozen=True)
class Row:
    """One clip's line in a footer or journal: its key and either its features' extent or why there are none."""

    key: str
    frames: int = 0
    crc: int = 0
    total: float = 0.0  # sum of the values, dB
    squares: float = 0.0  # sum of their squares, dB^2
    failure: str | None = None

    @classmethod
    def of(cls, key: str, features: np.ndarray | str) -> Row:
        """Describe features `[frames, width]`, or a failure in words."""
        if isinstance(features, str):
            return cls(key, failure=features)
        exact = features.astype(np.float64)
        crc = zlib.crc32(np.ascontiguousarray(features))
        return cls(key, len(features), crc, float(exact.sum()), float(np.square(exact).sum()))

    def to_list(self) -> list:
        return [self.key, self.frames, self.crc, self.total, self.squares, self.failure]


def footer_bytes(frontend: FrontendConfig, rows: Sequence[Row]) -> bytes:
    """Return what follows the data in a finished file."""
    content = {"format": 1, "frontend": frontend.to_dict(), "rows": [row.to_list() for row in rows]}
    footer = json.dumps(content, sort_keys=True).encode()
    return footer + _TRAILER.pack(len(footer), hashlib.sha256(footer).digest(), _MARK)


class FeatureFile:
    """A finished features file, opened for reading.

    Raises:
        StorageError: the file is missing, truncated or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            size = path.stat().st_size
            with open(path, "rb") as file:
                file.seek(max(0, size - _TRAILER.size))
                trailer = file.read(_TRAILER.size)
                if len(trailer) != _TRAILER.size or not trailer.endswith(_MARK):
                    raise StorageError(f"{path} is truncated or no features file: delete it, it is built again")
                length, digest, _ = _TRAILER.unpack(trailer)
                end = size - _TRAILER.size - length
                file.seek(max(0, end))
                footer = file.read(length) if end >= 0 else b""
            if hashlib.sha256(footer).digest() != digest:
                raise StorageError(f"{path} is damaged in its footer: delete it, it is built again")
            content = json.loads(footer)
            self.frontend = FrontendConfig.from_dict(content["frontend"])
            self.entries = [Row(*values) for values in content["rows"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StorageError(f"{path} cannot be read as features ({error}): delete it, it is built again") from error
        self.width = self.frontend.width
        self.good = [row for row in self.entries if row.failure is None]
        self.offsets = np.concatenate([[0], np.cumsum([row.frames for row in self.good], dtype=np.int64)])
        frames = int(self.offsets[-1])
        if end != frames * self.width * 2:
            belong = frames * self.width * 2
            raise StorageError(f"{path} holds {end} bytes of features where {belong} belong: delete it")
        shape = (frames, self.width)
        self.data = np.memmap(path, dtype="<f2", mode="r", shape=shape) if frames else np.zeros(shape, dtype="<f2")
        self.index = {row.key: i for i, row in enumerate(self.good)}
        self.failures = {row.key: row.failure for row in self.entries if row.failure is not None}

    def row(self, index: int) -> np.ndarray:
        """Return the features, float16 `[frames, width]`, of the row `index`, without copying."""
        return self.data[self.offsets[index] : self.offsets[index + 1]]

    def intact(self, index: int) -> bool:
        """Say whether the row `index` still has the checksum it was written with."""
        return zlib.crc32(np.ascontiguousarray(self.row(index))) == self.good[index].crc

    def verify(self, *, progress: bool = True) -> None:
        """Read all rows and compare checksums, which also brings them into memory for what follows.

        Raises:
            StorageError: a row is damaged.
        """
        from tqdm.auto import tqdm

        for index in tqdm(range(len(self.good)), "Checking features", unit="clip", disable=not progress, delay=1):
            if not self.intact(index):
                raise StorageError(f"{self.path} is damaged in row {index}: delete it, it is built again")


class FeatureStore:
    """The features of clips, by their ids; clips that cannot be used are left out and listed.

    Attributes:
        rows: number of clips with features.
        ids: their ids.
        lengths: int64 `[rows]`, in frames.
        failures: why, by id, clips have no features.
        mean, std: of all values of the clips that were asked for (of all where none of them is usable), in dB for
            log-mel.
        frontend: the `FrontendConfig`; `width` values a frame.
    """

    def __init__(self, file: FeatureFile, keys: Mapping[str, str], moments_of: Collection[str] | None = None) -> None:
        self._file = file
        self.path, self.frontend, self.width = file.path, file.frontend, file.width
        self.failures = {id: file.failures[key] for id, key in keys.items() if key in file.failures}
        self.ids = [id for id, key in keys.items() if key in file.index]
        if not self.ids:
            example = next((f", such as {id}: {reason}" for id, reason in self.failures.items()), "")
            raise DataError(f"none of {len(keys)} audio files is usable{example}")
        self._at = np.array([file.index[keys[id]] for id in self.ids], dtype=np.int64)
        self._starts = file.offsets[self._at]
        self.lengths = file.offsets[self._at + 1] - self._starts
        self.rows = len(self.ids)
        self._row_of = {id: row for row, id in enumerate(self.ids)}
        chosen = set(self.ids if moments_of is None else moments_of)
        self.mean, self.std = self._moments([row for id, row in self._row_of.items() if id in chosen])

    def __len__(self) -> int:
        return self.rows

    def _moments(self, chosen: Sequence[int]) -> tuple[float, float]:
        entries = [self._file.good[self._at[row]] for row in chosen or range(self.rows)]
        count = sum(entry.frames for entry in entries) * self.width
        mean = sum(entry.total for entry in entries) / count
        variance = sum(entry.squares for entry in entries) / count - mean**2
        return mean, max(variance, 1e-12) ** 0.5

    def row_of(self, id: str) -> int:
        """Return the row of a clip.

        Raises:
            DataError: the clip has no features.
        """
        if id not in self._row_of:
            reason = self.failures.get(id, "it is not in the data set")
            raise DataError(f"there are no features of {id!r}: {reason}")
        return self._row_of[id]

    def row(self, row: int) -> np.ndarray:
        """Return all features, float16 `[frames, width]`, of one row, without copying."""
        return self._file.row(self._at[row])

    def crop(self, rows: Sequence[int], starts: Sequence[int], frames: int) -> torch.Tensor:
        """Return windows of features, float32 `[B, frames, width]`.

        Args:
            rows: `[B]`, which rows.
            starts: `[B]`, the first frame of each window; a window that passes its clip's end goes on at its start.
            frames: length of the windows.

        Raises:
            ConfigError: a row or start that is not there, or windows without frames.
        """
        rows, starts = np.asarray(rows, dtype=np.int64), np.asarray(starts, dtype=np.int64)
        if rows.shape != starts.shape or rows.ndim != 1 or frames < 1:
            raise ConfigError(f"cannot crop {frames} frames at starts {starts.shape} of rows {rows.shape}: [B] needed")
        if len(rows) and (rows.min() < 0 or rows.max() >= self.rows):
            raise ConfigError(f"rows {rows.min()} to {rows.max()} asked for: there are rows 0 to {self.rows - 1}")
        lengths = self.lengths[rows]
        if (starts < 0).any() or (starts >= lengths).any():
            raise ConfigError(f"starts {starts.min()} to {starts.max()} asked for: clips have {lengths.min()}+ frames")
        out = np.empty((len(rows), frames, self.width), dtype=np.float16)
        data, begins = self._file.data, self._starts[rows]
        places = zip(begins.tolist(), starts.tolist(), lengths.tolist(), strict=True)
        for i, (begin, start, length) in enumerate(places):
            if start + frames <= length:
                out[i] = data[begin + start : begin + start + frames]
            else:
                out[i] = data[begin + (start + np.arange(frames)) % length]
        return torch.from_numpy(out).float()
