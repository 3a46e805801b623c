"""A library on disk: the vectors of all windows, a journal of the tracks that they belong to, and a header.

    library.json     what the library is: model, embedding, windows
    windows-<n>.f32  the windows' vectors, float32 [W, D], appended to
    windows-<n>.f16  the same in float16, which searches read first
    tracks-<n>.jsonl one line a track, appended after its rows are on the disk; a later line replaces an earlier one
    failures.jsonl   files that could not be used
    text/            the text tower as a graph, see `slapkit.search.graph`

A kill at any time loses at most the tracks whose line was not written yet: what follows the last whole line is cut off
by the next writer. Rows that no track needs any more stay; a library that is deleted and built again is without them.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slapkit._io import atomic_write_json, locked, read_json_lines, sync_file, write_guard
from slapkit.errors import LibraryError

if TYPE_CHECKING:
    from slapkit.models.inference import Model

FORMAT = 1
_HALVED = 65_536  # rows rounded to float16 at a time


@dataclass(slots=True)  # frozen, 65,000 of them would take a second
class Entry:
    """A track: its file when it was embedded, its rows `first` to `first + windows`, what is known of it."""

    id: str
    file: str
    size: int
    mtime_ns: int
    sha: str
    title: str
    duration_s: float
    frames: int
    first: int = 0
    windows: int = 0
    captions: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    sound: str = ""  # SHA-256 of the sound's packets, which tags leave alone
    tags: dict[str, Any] | None = None  # of the file; None: not read


_KNOWN = frozenset(one.name for one in fields(Entry))  # of a line of the journal
_NEEDED = _KNOWN - {"sound", "tags"}


@dataclass(frozen=True)
class Header:
    """The content of `library.json`. `window` and `hop` in frames of `frontend`; an `engine` may hold the vectors."""

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
    engine: str | None = None
    collection: str = ""
    tokenizer: str | None = None  # of a LAION-CLAP file
    format: int = FORMAT

    @classmethod
    def read(cls, out: Path) -> Header:
        """Return what `library.json` says; a `LibraryError` if it is missing, damaged, or of another format."""
        path = out / "library.json"
        try:
            header = cls(**json.loads(path.read_text("utf-8")))
            if header.format != FORMAT:
                raise ValueError(f"format {header.format!r} where {FORMAT} is read")
            return header
        except (FileNotFoundError, NotADirectoryError):
            raise LibraryError(f"{out} holds no library: `slapkit library FOLDER --model RUN` builds one") from None
        except (OSError, ValueError, TypeError) as error:
            raise LibraryError(f"{path} cannot be read ({error}): delete {out} and build the library again") from error

    def require_model(self, model: Model) -> Model:
        """Return `model`, or raise `LibraryError` unless it is the one that the library was built with."""
        if (found := model.fingerprint()) != self.model:
            built = f"{self.model} ({self.model_path})" if self.model_path else self.model
            raise LibraryError(f"the library was built with model {built}, not {found}: take that, or build another")
        return model


class LibraryStore:
    """The files of one library; `items` has the journal's lines by id. Reading needs no lock; `writing` is for one
    process at a time.

    Args:
        header: of a library to begin, or to go on with where `out` holds it already; None opens what is there.

    Raises:
        LibraryError: there is no library, another one, or one of another format.
    """

    def __init__(self, out: Path, header: Header | None = None) -> None:
        if header is not None and not (out / "library.json").exists():
            atomic_write_json(out / "library.json", asdict(header))
        self.folder, self.header = out, Header.read(out)
        self.dim = self.header.dim
        self.windows_path = out / f"windows-{self.header.generation}.f32"
        self.journal_path = out / f"tracks-{self.header.generation}.jsonl"
        self.items: dict[str, dict[str, Any]] = {}
        self._size = self._used = 0  # bytes of the journal that were read, rows that it names
        self.reload()
        if header is not None:
            for name in ("folder", "model", "embedding", "window", "hop", "engine"):
                old, new = getattr(self.header, name), getattr(header, name)
                if new not in (None, old):
                    raise LibraryError(f"{out} holds a library of {name} {old}, not {new}: build this one elsewhere")
            moved = replace(self.header, model_path=header.model_path, tokenizer=header.tokenizer)
            if header.model_path is not None and moved != self.header:
                self.header = moved
                self.keep_header()

    def keep_header(self) -> None:
        """Write `library.json`."""
        atomic_write_json(self.folder / "library.json", asdict(self.header))

    def reload(self) -> None:
        """Read what was added to the journal; tracks whose rows are not on the disk do not count."""
        lines, self._size = read_json_lines(self.journal_path, self._size)
        rows = self.rows
        for line in lines:
            with contextlib.suppress(KeyError, TypeError):
                self.items.pop(line["id"], None)
                if line.get("gone") or not _NEEDED <= line.keys() <= _KNOWN:
                    continue
                first, end = line["first"], line["first"] + line["windows"]
                if 0 <= first < end <= rows:
                    self.items[line["id"]] = line
                    self._used = max(self._used, end)

    @property
    def entries(self) -> dict[str, Entry]:
        """The tracks by id, in the order of ids."""
        return {id: Entry(**self.items[id]) for id in sorted(self.items)}

    @property
    def rows(self) -> int:
        """Number of rows on the disk."""
        try:
            return self.windows_path.stat().st_size // (4 * self.dim)
        except FileNotFoundError:
            return 0

    def vectors(self) -> np.ndarray:
        """Return all rows, float32 `[W, D]`, memory-mapped; some may belong to no track any more."""
        if self._used == 0:
            return np.zeros((0, self.dim), dtype=np.float32)
        return np.memmap(self.windows_path, dtype="<f4", mode="r", shape=(self._used, self.dim))

    def vectors_of(self, first: int, windows: int) -> np.ndarray:
        """Return some rows, float32 `[windows, D]`, in memory."""
        count, offset = self.dim * windows, 4 * self.dim * first
        return np.fromfile(self.windows_path, dtype="<f4", count=count, offset=offset).reshape(-1, self.dim)

    def halves(self) -> np.ndarray:
        """Return `vectors()` in float16, memory-mapped; in memory where the last writer did not come to its end."""
        path, shape = self.windows_path.with_suffix(".f16"), (self._used, self.dim)
        if self._used and path.exists() and path.stat().st_size >= 2 * self._used * self.dim:
            return np.memmap(path, dtype="<f2", mode="c", shape=shape)
        return self.vectors().astype(np.float16)

    @contextlib.contextmanager
    def writing(self, *, progress: bool = False) -> Iterator[None]:
        """Hold the library for this process, waiting for another one that does, and cut off what a kill left torn; the
        rows that were written are then added to those in float16."""
        wait = f"Waiting for another process that writes {self.folder}"
        with locked(self.folder / ".lock", wait=wait, progress=progress):
            self.reload()
            _cut(self.journal_path, self._size)
            self._cut_rows()
            yield
            self._keep_halves()

    def _cut_rows(self) -> None:
        _cut(self.windows_path, 4 * self.dim * self._used)  # those of tracks that are gone may be mapped elsewhere
        _cut(self.windows_path.with_suffix(".f16"), 2 * self.dim * self._used)

    def _keep_halves(self) -> None:
        path = self.windows_path.with_suffix(".f16")
        with write_guard(path), open(path, "ab") as file:
            done = file.tell() // (2 * self.dim)  # rows that the journal names never change
            file.truncate(2 * self.dim * done)
            for start in range(done, self._used, _HALVED):
                rows = self.vectors_of(start, min(_HALVED, self._used - start))
                file.write(rows.astype("<f2").tobytes())

    def append(self, items: Iterable[tuple[dict[str, Any], np.ndarray]]) -> None:
        """Add tracks with their vectors `[windows, D]`: rows first, then, when those are on the disk, their lines."""
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
        """Add lines to the journal: what is known of tracks whose vectors stay, or `{"id": ..., "gone": True}`."""
        data = "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines).encode()
        if data:
            with write_guard(self.journal_path, needed=len(data)), open(self.journal_path, "ab") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            self.reload()


def _cut(path: Path, size: int) -> None:
    with write_guard(path), open(path, "ab") as file:
        file.truncate(size)
