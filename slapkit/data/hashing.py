"""SHA-256 of audio files, each read once in a session, unless its size or time changes."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from slapkit._io import available_cores, sha256_file
from slapkit.errors import DataError


class ContentHashes:
    """The hashes of the files of one data set, shared by its splits and subsets."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, int, str]] = {}  # path -> size, mtime in ns, hash

    def of(self, paths: Sequence[Path], *, progress: bool = True) -> list[str]:
        """Return the hash of each file, in hexadecimal.

        A file is read again when its size or time changed since this object last read it.

        Raises:
            DataError: a file vanished or cannot be read any more.
        """
        from tqdm.auto import tqdm

        stats = {str(path): _stat(path) for path in paths}
        stale = [path for path, stat in stats.items() if self._known.get(path, ())[:2] != stat]
        bar = tqdm(total=len(stale), desc="Reading audio files", unit="file", disable=not progress, delay=1)
        with bar, ThreadPoolExecutor(min(4, available_cores())) as pool:  # hashing lets other threads run
            for path, digest in zip(stale, pool.map(_hash, stale), strict=True):
                self._known[path] = (*stats[path], digest)
                bar.update()
        return [self._known[str(path)][2] for path in paths]


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
