"""Arrays by key, computed once and kept: the cache of features and of representations.

A cache is one pair of files:

    <name>.<what>   the values, those of one key after those of the other
    <name>.jsonl    a line for each key: `Row` and its checksum

Both are only ever appended to, values first. A kill loses the key that is being written; one whose checksum is wrong is
computed again.
"""

import contextlib
import json
import logging
import os
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self

import numpy as np
from tqdm.auto import tqdm

from slapkit._io import locked, read_json_lines, write_guard

logger = logging.getLogger(__name__)
Found = Iterator[tuple[str, np.ndarray | str]]  # keys, and their values or why they have none
# Names the file where a runner, which sees no bar of its kernel, reads how far a cache is.
PROGRESS = "SLAPKIT_PROGRESS"


class Passing(str):
    """A failure of the machine, such as too many open files: the file may be fine, so it is tried again next time."""


class Row(NamedTuple):
    """What is known about a key: where its values are, or why there are none."""

    key: str  # such as the SHA-256 of a file
    start: int = 0
    length: int = 0
    checksum: int = 0  # CRC-32
    total: float = 0.0  # sum of the values
    squares: float = 0.0  # sum of their squares
    failure: str | None = None

    @classmethod
    def of(cls, key: str, start: int, values: np.ndarray | str) -> Self:
        """Describe values `[length, width]`, or a failure in words."""
        if isinstance(values, str):
            return cls(key, failure=values)
        exact = values.astype(np.float64)
        checksum = zlib.crc32(np.ascontiguousarray(values))
        return cls(key, start, len(values), checksum, float(exact.sum()), float(np.square(exact).sum()))

    @classmethod
    def read(cls, line: Any) -> Self | None:
        """Return what a line of the index holds, or None where it is not the line that was written."""
        whole = isinstance(line, list) and len(line) == len(cls._fields) + 1
        return cls(*line[:-1]) if whole and line[-1] == zlib.crc32(json.dumps(line[:-1]).encode()) else None

    def line(self) -> bytes:
        """Return the line of the index: the fields and their CRC-32."""
        return json.dumps([*self, zlib.crc32(json.dumps(self).encode())]).encode() + b"\n"


class RowCache:
    """Values `[length, width]` of type `dtype` by key, memory-mapped. Reading writes nothing."""

    def __init__(self, path: Path, width: int, dtype: str) -> None:
        self.path, self.width, self.dtype = path, width, np.dtype(dtype)
        self.index = self.path.with_suffix(".jsonl")
        self._checked: set[Row] = set()
        self._passing: dict[str, Row] = {}
        self.refresh()

    def refresh(self) -> None:
        """Take in what was written since."""
        with write_guard(self.index):
            lines, self._index_bytes = read_json_lines(self.index)
        rows = [row for row in map(Row.read, lines) if row is not None]
        self.rows = self._passing | {row.key: row for row in rows}
        size = self.path.stat().st_size if self.path.exists() else 0
        shape = (size // (self.dtype.itemsize * self.width), self.width)
        self.data = np.memmap(self.path, self.dtype, mode="r", shape=shape) if shape[0] else np.zeros(shape, self.dtype)

    def get(self, key: str) -> np.ndarray | str | None:
        """Return the values `[length, width]` of a key, why it has none, or None if it is not known."""
        row = self.rows.get(key)
        if row is None or row.failure is not None:
            return None if row is None else row.failure
        values = self.data[row.start : row.start + row.length]
        if row not in self._checked:
            if len(values) != row.length or zlib.crc32(np.ascontiguousarray(values)) != row.checksum:
                logger.warning("%s is damaged at row %d: computed again", self.path, row.start)
                return None
            self._checked.add(row)
        return values

    def missing(self, keys: Iterable[str], *, progress: bool = True) -> list[str]:
        """Return the keys that are not known or damaged. All values are read, which brings them into memory."""
        keys = tqdm(keys, f"Checking {self.path.suffix[1:]}", unit="clip", disable=not progress, delay=1)
        return [key for key in keys if self.get(key) is None]

    def fill(
        self, keys: Iterable[str], compute: Callable[[list[str]], Found], *, what: str, unit: str = "clip",
        progress: bool = True,
    ) -> None:  # fmt: skip
        """Append what `compute` gives for the keys that are missing; what is finished is kept whatever happens.

        One process computes, others wait for it. Bars show `what`. A `StorageError` says that the disk is full or
        forbidden.
        """
        keys = list(dict.fromkeys(keys))
        if not self.missing(keys, progress=progress):
            return
        wait = f"{what}: waiting for another process"
        with locked(self.path.with_suffix(".lock"), wait=wait, progress=progress):
            self.refresh()
            missing = self.missing(keys, progress=progress)
            with contextlib.closing(compute(missing)) as found:
                bar = tqdm(found, what, len(missing), unit=unit, disable=not progress)
                self._append(_told(bar, [what, len(missing), unit]), len(missing))
        self.refresh()

    def _append(self, found: Iterable[tuple[str, np.ndarray | str]], total: int) -> None:
        row_bytes, written = self.dtype.itemsize * self.width, 0
        with (
            write_guard(self.path),
            open(self.path, "ab", buffering=0) as data,
            open(self.index, "ab", buffering=0) as index,
        ):
            index.truncate(self._index_bytes)  # a kill may have torn the last line
            _write(data, b"\0" * (-data.tell() % row_bytes))  # or row
            start = data.tell() // row_bytes
            for done, (key, values) in enumerate(found):
                row = Row.of(key, start, values)
                if isinstance(values, Passing):
                    self._passing[key] = row
                    continue
                written += row.length * row_bytes
                with write_guard(self.path, needed=written // (done + 1) * (total - done)):
                    if row.failure is None:
                        _write(data, values.astype(self.dtype, copy=False).tobytes())
                    _write(index, row.line())
                start += row.length


def _told(found: Iterable[Any], about: list[Any]) -> Iterator[Any]:
    """Yield `found`; the file that the variable `PROGRESS` names, if any, holds `[done, *about]` until the end."""
    path, told = os.environ.get(PROGRESS), -1.0
    for done, item in enumerate(found, 1):
        yield item
        if path and time.monotonic() - told >= 1:
            told = time.monotonic()
            with contextlib.suppress(OSError):  # no reason to lose what is computed
                Path(path).write_text(json.dumps([done, *about]))
    if path:
        Path(path).unlink(missing_ok=True)


def _write(file: BinaryIO, data: bytes) -> None:
    """Write all of `data`: an unbuffered file may take a part only, when the disk is nearly full."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
