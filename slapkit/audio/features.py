"""Computing features once and keeping them: interrupted work is continued, finished work is found by its content.

Rows are appended in a fixed order, each followed by its line in a journal. A kill at any time loses at most the row
being written; what follows computes the rest and ends with the same bytes. One process builds, others wait for it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import time
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from slapkit._io import available_cores, sync_file, write_guard
from slapkit.audio.frontend import FRONTENDS, FrontendConfig
from slapkit.audio.store import FeatureFile, FeatureStore, Row, footer_bytes
from slapkit.audio.worker import Workers
from slapkit.config import nearest
from slapkit.errors import ConfigError, StorageError

__all__ = ["FeatureFile", "FeatureStore", "build"]

logger = logging.getLogger(__name__)
_WORTH_WORKERS = 150  # clips: fewer are done before a helper process has started
_MOST_WORKERS = 16


def build(
    sounds: Mapping[str, tuple[Path, str]],
    frontend: FrontendConfig | str,
    cache_dir: str | os.PathLike[str],
    *,
    moments_of: Collection[str] | None = None,
    progress: bool = True,
    workers: int = 0,
) -> FeatureStore:
    """Return the features of audio files, from `cache_dir` or computed into it.

    Features are keyed by the sounds' content and the front end: captions, splits, names and places do not matter, and
    a subset of what is there already costs nothing. Sounds that cannot be used are skipped and listed in `failures`.

    Args:
        sounds: path and SHA-256 of each file by the clip's id, as `AudioTextDataset.audio_files` gives them.
        frontend: a `FrontendConfig`, or a name in `FRONTENDS`.
        cache_dir: folder of the caches, made if missing.
        moments_of: ids whose values give `mean` and `std`; None takes all.
        progress: show bars.
        workers: processes; 0 takes one for each CPU, or none beside this one for little work.

    Raises:
        ConfigError: an unknown front end.
        DataError: no sound is usable, or files vanished.
        StorageError: the disk is full or forbidden; what is finished is kept.
    """
    if isinstance(frontend, str):
        if frontend not in FRONTENDS:
            raise ConfigError(f"there is no front end {frontend!r}: {nearest(frontend, FRONTENDS)}")
        frontend = FRONTENDS[frontend]
    paths = {key: str(place) for place, key in sounds.values()}
    path = cache_path(cache_dir, frontend, list(paths))
    with write_guard(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    file = _find(path, paths.keys(), progress)
    if file is None:
        with _lock(path.with_suffix(".lock"), progress):
            file = _find(path, paths.keys(), progress)
            if file is None:
                _Builder(path, frontend, paths, workers, progress).run()
                file = FeatureFile(path)
    return FeatureStore(file, {id: key for id, (_, key) in sounds.items()}, moments_of)


def cache_path(cache_dir: str | os.PathLike[str], frontend: FrontendConfig, keys: Sequence[str]) -> Path:
    """Return where the features of sounds with these hashes are kept; neither order nor repetition matters."""
    settings = hashlib.sha256(json.dumps(frontend.to_dict(), sort_keys=True).encode()).hexdigest()
    content = hashlib.sha256("\n".join(sorted(set(keys))).encode()).hexdigest()
    return Path(cache_dir) / f"{settings[:12]}-{content[:20]}.features"


def _find(path: Path, wanted: Sequence[str], progress: bool) -> FeatureFile | None:
    """Return a finished, intact file that holds all wanted rows: the data set's own, else one of a larger set."""
    for candidate in [path, *(other for other in _siblings(path) if other != path)]:
        try:
            file = FeatureFile(candidate)
            if candidate != path and not all(key in file.index or key in file.failures for key in wanted):
                continue
            file.verify(progress=progress)
            return file
        except StorageError as error:
            if candidate.exists():
                logger.warning("%s; it is not used", error)
    return None


def _siblings(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.name.split('-')[0]}-*.features"))


@contextlib.contextmanager
def _lock(path: Path, progress: bool) -> Iterator[None]:
    """Hold the lock file; wait while another process does. The system frees it when its holder dies, however."""
    from tqdm.auto import tqdm

    try:
        import fcntl
    except ImportError:  # no such lock on this system: two builders would do the work twice
        yield
        return
    with write_guard(path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        words = "Waiting for another process to build these features"
        with tqdm(desc=words, bar_format="{desc} [{elapsed}]", disable=not progress, delay=1, leave=False) as bar:
            while not _taken(fcntl, handle):
                time.sleep(0.2)
                bar.update()
        yield
    finally:
        os.close(handle)


def _taken(fcntl, handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class _Builder:
    """Computes the rows of one file."""

    def __init__(
        self, path: Path, frontend: FrontendConfig, paths: dict[str, str], workers: int, progress: bool
    ) -> None:
        self.path, self.frontend, self.paths, self.progress = path, frontend, paths, progress
        self.keys = sorted(paths)
        self.partial, self.journal = path.with_suffix(".partial"), path.with_suffix(".journal")
        self.workers = workers

    def run(self) -> None:
        """Compute what is missing, then give the file its name."""
        rows, size = self._resume()
        width = self.frontend.width * 2
        known = self._known(set(self.keys[len(rows) :]))
        with write_guard(self.partial), open(self.partial, "ab", buffering=0) as data:
            with open(self.journal, "ab", buffering=0) as journal:
                for features in self._features(len(rows), known):
                    row = Row.of(self.keys[len(rows)], features)
                    mean = (size + row.frames * width) / (len(rows) + 1)
                    with write_guard(self.partial, needed=int(mean * (len(self.keys) - len(rows)))):
                        if row.failure is None:
                            _write(data, features.astype("<f2", copy=False).tobytes())
                        _write(journal, json.dumps(row.to_list()).encode() + b"\n")
                    rows.append(row)
                    size += row.frames * width
            _write(data, footer_bytes(self.frontend, rows))
        with write_guard(self.path):
            sync_file(self.partial)
            os.replace(self.partial, self.path)
            self.journal.unlink(missing_ok=True)

    def _resume(self) -> tuple[list[Row], int]:
        """Return the rows that an interrupted build finished, and their bytes; cut off what is beyond them."""
        rows: list[Row] = []
        kept = size = 0
        with contextlib.suppress(FileNotFoundError):
            lines = self.journal.read_bytes().splitlines(keepends=True)
            with open(self.partial, "rb") as data:
                for line, key in zip(lines, self.keys, strict=False):
                    try:
                        row = Row(*json.loads(line))
                        extent = row.frames * self.frontend.width * 2
                    except (ValueError, TypeError):
                        break
                    if row.key != key or not line.endswith(b"\n") or zlib.crc32(data.read(extent)) != row.crc:
                        break
                    rows.append(row)
                    kept, size = kept + len(line), size + extent
        for path, length in ((self.journal, kept), (self.partial, size)):
            with write_guard(path), open(path, "ab") as file:
                file.truncate(length)
        return rows, size

    def _known(self, wanted: set[str]) -> dict[str, tuple[FeatureFile, int]]:
        """Return where rows stand that other files of the same front end hold already."""
        known: dict[str, tuple[FeatureFile, int]] = {}
        for sibling in _siblings(self.path):
            with contextlib.suppress(StorageError):
                file = FeatureFile(sibling)
                known |= {key: (file, file.index[key]) for key in wanted & file.index.keys() if key not in known}
        return {key: place for key, place in known.items() if place[0].intact(place[1])}

    def _features(self, done: int, known: dict[str, tuple[FeatureFile, int]]) -> Iterator[np.ndarray | str]:
        """Yield the features of the keys from `done` on, or in words why there are none."""
        from tqdm.auto import tqdm

        missing = [self.paths[key] for key in self.keys[done:] if key not in known]
        count = self.workers or min(available_cores(), _MOST_WORKERS)
        count = 1 if self.workers == 0 and len(missing) < _WORTH_WORKERS else count
        total, quiet = len(self.keys), not self.progress
        bar = tqdm(total=total, initial=done, desc="Computing features", unit="clip", disable=quiet)
        with bar, Workers(count) as helpers, contextlib.closing(helpers.map(missing, self.frontend)) as computed:
            for key in self.keys[done:]:
                if key in known:
                    file, row = known[key]
                    yield np.array(file.row(row))
                else:
                    yield next(computed)
                bar.update()


def _write(file, data: bytes) -> None:
    """Write all of `data`: an unbuffered file may take a part only, when the disk is nearly full."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
