"""Vectors on disk with a journal of the items that they belong to, written by one process at a time.

    windows-<n>.f32    float32 [W, D], appended to
    tracks-<n>.jsonl   one line an item, appended after its rows are on the disk; a later line replaces an earlier one

A kill at any time loses at most the items whose line was not written yet: what follows the last whole line is cut off
by the next writer. Nothing is unpickled.
"""

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from slapkit._io import locked, read_json_lines, sync_file, write_guard


class VectorStore:
    """The vectors of one folder; `items` has by `id` what the journal says: rows from `first` on, `windows` of them."""

    def __init__(self, folder: Path, dim: int, generation: int = 0) -> None:
        self.folder, self.dim = folder, dim
        self.windows_path = folder / f"windows-{generation}.f32"
        self.journal_path = folder / f"tracks-{generation}.jsonl"
        self.items: dict[str, dict[str, Any]] = {}
        self._size = self._used = 0  # bytes of the journal that were read, rows that it names
        self.reload()

    def reload(self) -> None:
        """Read what was added to the journal; items whose rows are not on the disk do not count."""
        lines, self._size = read_json_lines(self.journal_path, self._size)
        rows = self.rows
        for line in lines:
            with contextlib.suppress(KeyError, TypeError):
                self.items.pop(line["id"], None)
                if not line.get("gone") and self._usable(line) and (end := line["first"] + line["windows"]) <= rows:
                    self.items[line["id"]] = line
                    self._used = max(self._used, end)

    def _usable(self, line: dict[str, Any]) -> bool:
        """Return whether a line says all that is needed of an item."""
        return line["first"] >= 0 and line["windows"] >= 0

    @property
    def rows(self) -> int:
        """Number of rows on the disk."""
        try:
            return self.windows_path.stat().st_size // (4 * self.dim)
        except FileNotFoundError:
            return 0

    def vectors(self) -> np.ndarray:
        """Return all rows, float32 `[W, D]`, memory-mapped; some may belong to no item any more."""
        if self._used == 0:
            return np.zeros((0, self.dim), dtype=np.float32)
        return np.memmap(self.windows_path, dtype="<f4", mode="r", shape=(self._used, self.dim))

    def vectors_of(self, first: int, windows: int) -> np.ndarray:
        """Return some rows, float32 `[windows, D]`, in memory."""
        count, offset = self.dim * windows, 4 * self.dim * first
        return np.fromfile(self.windows_path, dtype="<f4", count=count, offset=offset).reshape(-1, self.dim)

    @contextlib.contextmanager
    def writing(self, *, progress: bool = False) -> Iterator[None]:
        """Hold the store for this process, waiting for another one that does, and cut off what a kill left torn."""
        wait = f"Waiting for another process that writes {self.folder}"
        with locked(self.folder / ".lock", wait=wait, progress=progress):
            self.reload()
            # Rows of items that are gone stay: another process may have them mapped.
            for path, size in self._ends():
                with write_guard(path), open(path, "ab") as file:
                    file.truncate(size)
            yield

    def _ends(self) -> list[tuple[Path, int]]:
        """Return the files and where what is known of them ends, in bytes."""
        return [(self.journal_path, self._size), (self.windows_path, 4 * self.dim * self._used)]

    def append(self, items: Iterable[tuple[dict[str, Any], np.ndarray]]) -> None:
        """Add items with their vectors `[windows, D]`: rows first, then, when those are on the disk, their lines."""
        lines, row = [], self.rows
        with write_guard(self.windows_path), open(self.windows_path, "ab") as file:
            for item, vectors in items:
                file.write(np.ascontiguousarray(vectors, dtype="<f4").tobytes())
                lines.append({**item, "first": row, "windows": len(vectors)})
                row += len(vectors)
        if lines:
            with write_guard(self.windows_path):
                sync_file(self.windows_path)
            self.log(lines)

    def log(self, lines: Iterable[dict[str, Any]]) -> None:
        """Add lines to the journal: what is known of items whose vectors stay, or `{"id": ..., "gone": True}`."""
        data = "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines).encode()
        if data:
            with write_guard(self.journal_path, needed=len(data)), open(self.journal_path, "ab") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            self.reload()
