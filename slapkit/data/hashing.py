"""SHA-256 of sound files, each read once; large collections remember them between sessions by size and time."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from slapkit._io import atomic_write_json, available_cores, sha256_file
from slapkit.errors import DataError, StorageError

# Reading 2 GB takes seconds: below that a fresh look is better than memory, which a changed clock can fool.
REMEMBER_BYTES = 2_000_000_000
_SETTLED_S = 5.0  # a file changed this shortly ago may change again within its time stamp's resolution


def _cache_file(root: Path) -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "slapkit" / f"hashes-{hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:16]}.json"


class ContentHashes:
    """The hashes of the files of one data set, shared by its splits and subsets."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: dict[str, tuple[int, int, str]] = {}  # path -> size, mtime in ns, hash

    def of(self, paths: Sequence[Path], *, progress: bool = True) -> list[str]:
        """Return the hash of each file, in hexadecimal.

        A file is read again when its size or time changed since this object last read it.

        Raises:
            DataError: a file vanished or cannot be read any more.
        """
        stats = {str(path): _stat(path) for path in paths}
        stale = self._stale(stats)
        size = sum(stats[path][0] for path in stale)
        if size >= REMEMBER_BYTES:
            self._recall()
            stale = self._stale(stats)
        if stale:
            self._read(stale, stats, progress)
            if size >= REMEMBER_BYTES:
                self._remember()
        return [self._known[str(path)][2] for path in paths]

    def _stale(self, stats: dict[str, tuple[int, int]]) -> list[str]:
        return [path for path, stat in stats.items() if self._known.get(path, ())[:2] != stat]

    def _read(self, paths: list[str], stats: dict[str, tuple[int, int]], progress: bool) -> None:
        from tqdm.auto import tqdm

        bar = tqdm(total=len(paths), desc="Reading sounds", unit="file", disable=not progress, delay=1)
        with bar, ThreadPoolExecutor(min(4, available_cores())) as pool:  # hashing lets other threads run
            for path, digest in zip(paths, pool.map(_hash, paths), strict=True):
                self._known[path] = (*stats[path], digest)
                bar.update()

    def _recall(self) -> None:
        try:
            values = json.loads(_cache_file(self.root).read_text("utf-8"))
            self._known |= {
                path: (int(size), int(stamp), str(digest)) for path, (size, stamp, digest) in values.items()
            }
        except (OSError, ValueError, TypeError, AttributeError):
            return  # no memory, or a spoilt one: all files are read

    def _remember(self) -> None:
        settled = time.time_ns() - int(_SETTLED_S * 1e9)
        try:
            lasting = {path: entry for path, entry in self._known.items() if entry[1] < settled}
            atomic_write_json(_cache_file(self.root), lasting, indent=None)
        except (OSError, StorageError):
            return  # memory is a convenience: the next session reads the files again


def _stat(path: Path) -> tuple[int, int]:
    try:
        stat = os.stat(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read any more ({error.strerror}): it changed after the table") from error
    return stat.st_size, stat.st_mtime_ns


def _hash(path: str) -> str:
    try:
        return sha256_file(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): check the file and its permissions") from error
