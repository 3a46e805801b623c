"""A library on disk: the vectors of all windows, and a journal of the tracks that they belong to.

<out>/library.json       what the library is: model, embedding, windows; names the two files below
<out>/windows-<n>.f32    float32 [W, D], one row a window, appended to
<out>/tracks-<n>.jsonl   one line a track, appended after its rows are on the disk; a later line replaces an earlier one
<out>/failures.jsonl     files that could not be used

A kill at any time loses at most the tracks whose line was not written yet: what lies behind the last whole line is cut
off by the next update. Rows that no track needs any more are left behind until they are worth a new generation `n` of
both files, which `library.json` puts in place in one step. Nothing is unpickled.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from slapkit._io import atomic_write_json, atomic_write_text, sync_file, write_guard
from slapkit.data.scan import Failure
from slapkit.errors import LibraryError

FORMAT = 1
_WASTE = 0.25  # share of rows without a track above which both files are written anew


@dataclass(frozen=True)
class Entry:
    """A track of the library: its file when it was heard, its rows `first .. first + windows`, what is known of it.

    `duration_s` in s; `frames` of log-mel, from which the windows' starts follow.
    """

    id: str
    file: str
    size: int
    mtime_ns: int
    sha: str
    title: str
    duration_s: float
    frames: int
    first: int
    windows: int
    captions: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Header:
    """What `library.json` says. `window` and `hop` in frames of `hop_s` s each."""

    folder: str
    model: str
    model_path: str | None
    objective: str
    embedding: str
    dim: int
    frontend: dict[str, Any]
    window: int
    hop: int
    generation: int = 0
    format: int = FORMAT


class Store:
    """The files of one library. Reading needs no lock; `writing` is for one process at a time."""

    def __init__(self, out: Path, header: Header) -> None:
        self.out, self.header = out, header
        self.entries: dict[str, Entry] = {}
        self._journal_size = self._journal_rows = 0
        self.reload()

    @classmethod
    def create(cls, out: Path, header: Header) -> Store:
        """Begin an empty library in `out`."""
        atomic_write_json(out / "library.json", asdict(header))
        return cls(out, header)

    @classmethod
    def open(cls, out: str | Path) -> Store:
        """Open a library for reading.

        Raises:
            LibraryError: there is none, or one of another format.
        """
        return cls(Path(out), read_header(Path(out)))

    def set_model_path(self, path: str) -> None:
        """Note where the model lies now."""
        with self.writing():
            self.header = replace(self.header, model_path=path)
            atomic_write_json(self.out / "library.json", asdict(self.header))

    @property
    def windows_path(self) -> Path:
        return self.out / f"windows-{self.header.generation}.f32"

    @property
    def tracks_path(self) -> Path:
        return self.out / f"tracks-{self.header.generation}.jsonl"

    @property
    def failures(self) -> list[Failure]:
        """Files that the last update could not use."""
        found = []
        with contextlib.suppress(OSError, ValueError, TypeError):
            for line in (self.out / "failures.jsonl").read_text("utf-8").splitlines():
                found.append(Failure(**json.loads(line)))
        return found

    def reload(self) -> None:
        """Read the journal again, up to its last whole line; tracks whose rows are not there do not count."""
        self.entries, self._journal_size, self._journal_rows = {}, 0, 0
        rows = self._rows_on_disk()
        with contextlib.suppress(FileNotFoundError), open(self.tracks_path, "rb") as file:
            for line in file:
                try:
                    if not line.endswith(b"\n"):
                        break
                    value = json.loads(line)
                    id = value["id"]
                    entry = None if value.get("gone") else Entry(**value)
                except (ValueError, TypeError, KeyError, AttributeError):
                    break  # torn, or not ours: the tracks from here on are heard again
                self.entries.pop(id, None)
                self._journal_size += len(line)
                if entry is not None and 0 <= entry.first < (end := entry.first + entry.windows) <= rows:
                    self.entries[id] = entry
                    self._journal_rows = max(self._journal_rows, end)

    def _rows_on_disk(self) -> int:
        try:
            return self.windows_path.stat().st_size // (4 * self.header.dim)
        except FileNotFoundError:
            return 0

    def vectors(self) -> np.ndarray:
        """Return all rows, float32 `[W, D]`, memory-mapped; some may belong to no track any more."""
        rows = max((entry.first + entry.windows for entry in self.entries.values()), default=0)
        if rows == 0:
            return np.zeros((0, self.header.dim), dtype=np.float32)
        return np.memmap(self.windows_path, dtype="<f4", mode="r", shape=(rows, self.header.dim))

    def vectors_of(self, entry: Entry) -> np.ndarray:
        """Return the rows of one track, float32 `[windows, D]`, copied out of the file."""
        with open(self.windows_path, "rb") as file:
            file.seek(4 * self.header.dim * entry.first)
            return np.fromfile(file, dtype="<f4", count=entry.windows * self.header.dim).reshape(-1, self.header.dim)

    @contextlib.contextmanager
    def writing(self, *, progress: bool = False) -> Iterator[None]:
        """Hold the library for this process, waiting for another one that does, and cut off what a kill left torn."""
        with self._locked(progress):
            self.header = read_header(self.out)
            self.reload()
            # Rows of tracks that are gone stay: another process may still have them mapped.
            ends = (self.tracks_path, self._journal_size), (self.windows_path, 4 * self.header.dim * self._journal_rows)
            for path, size in ends:
                with write_guard(path), open(path, "ab") as file:
                    file.truncate(size)
            yield

    @contextlib.contextmanager
    def _locked(self, progress: bool) -> Iterator[None]:
        """Hold the lock file; the system frees it when its holder ends, however that happens."""
        from filelock import FileLock, Timeout
        from tqdm.auto import tqdm

        with write_guard(self.out):
            self.out.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.out / ".lock")
        words = "Waiting for another process that writes this library"
        with tqdm(desc=words, bar_format="{desc} [{elapsed}]", disable=not progress, delay=1, leave=False) as bar:
            while not lock.is_locked:
                with contextlib.suppress(Timeout), write_guard(self.out):
                    lock.acquire(timeout=0.5)
                bar.update()
        try:
            yield
        finally:
            lock.release()

    def append(self, tracks: Iterable[tuple[Entry, np.ndarray]]) -> None:
        """Add tracks with their vectors `[windows, D]`: rows first, then, when those are on the disk, their lines."""
        lines, entries = [], []
        row = self._rows_on_disk()
        with write_guard(self.windows_path), open(self.windows_path, "ab") as file:
            for entry, vectors in tracks:
                entry = replace(entry, first=row, windows=len(vectors))
                file.write(np.ascontiguousarray(vectors, dtype="<f4").tobytes())
                row += len(vectors)
                entries.append(entry)
                lines.append(asdict(entry))
        if entries:
            with write_guard(self.windows_path):
                sync_file(self.windows_path)
            self._log(lines)
            for entry in entries:
                self.entries.pop(entry.id, None)
                self.entries[entry.id] = entry

    def refresh(self, entries: Iterable[Entry]) -> None:
        """Replace what is known about tracks whose vectors stay."""
        entries = list(entries)
        self._log([asdict(entry) for entry in entries])
        self.entries |= {entry.id: entry for entry in entries}

    def remove(self, ids: Iterable[str]) -> None:
        """Take tracks out; their rows stay until the files are compacted."""
        ids = list(ids)
        self._log([{"id": id, "gone": True} for id in ids])
        for id in ids:
            del self.entries[id]

    def _log(self, lines: list[dict[str, Any]]) -> None:
        if not lines:
            return
        data = "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines).encode()
        with write_guard(self.tracks_path, needed=len(data)), open(self.tracks_path, "ab") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def write_failures(self, failures: Iterable[Failure]) -> None:
        """Keep the list of files that could not be used."""
        text = "".join(json.dumps(asdict(failure)) + "\n" for failure in failures)
        atomic_write_text(self.out / "failures.jsonl", text)

    def compact(self, *, force: bool = False) -> bool:
        """Write both files anew without rows that no track needs, if that is worth it; say whether it was."""
        rows, used = self._rows_on_disk(), sum(entry.windows for entry in self.entries.values())
        if rows == used or not (force or rows - used > _WASTE * rows):
            return False
        old = self.windows_path, self.tracks_path
        vectors, entries = self.vectors(), sorted(self.entries.values(), key=lambda entry: entry.id)
        header = replace(self.header, generation=self.header.generation + 1)
        following = Store(self.out, header)
        for path in (following.windows_path, following.tracks_path):  # what a killed compaction left
            path.unlink(missing_ok=True)
        following.append((entry, vectors[entry.first : entry.first + entry.windows]) for entry in entries)
        atomic_write_json(self.out / "library.json", asdict(header))
        for path in old:  # a reader that has them open keeps them
            path.unlink(missing_ok=True)
        self.header = header
        self.reload()
        return True


def read_header(out: Path) -> Header:
    """Return what `library.json` says.

    Raises:
        LibraryError: it is missing, damaged, or of another format.
    """
    path = out / "library.json"
    try:
        value = json.loads(path.read_text("utf-8"))
        if value["format"] != FORMAT:
            remedy = "build the library again in another folder"
            raise LibraryError(f"{path} has format {value['format']!r}, this version reads format {FORMAT}: {remedy}")
        return Header(**value)
    except FileNotFoundError:
        raise LibraryError(f"{out} holds no library: `slapkit library FOLDER --model RUN` builds one") from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise LibraryError(f"{path} cannot be read ({error}): delete {out} and build the library again") from error
