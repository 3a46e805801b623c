"""A library on disk: a `VectorStore` of all windows, whose items are tracks, and a header.

    library.json     what the library is: model, embedding, windows
    windows-<n>.f16  the windows' vectors in float16, which searches read first
    failures.jsonl   files that could not be used
    text/            the text tower as a graph, see `slapkit.search.graph`

Rows that no track needs any more stay; a library that is deleted and built again is without them.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slapkit._io import atomic_write_json, write_guard
from slapkit.errors import LibraryError
from slapkit.hub.store import VectorStore

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


_KNOWN = frozenset(one.name for one in fields(Entry))  # of a line of the journal
_NEEDED = _KNOWN - {"sound"}


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
        except FileNotFoundError:
            raise LibraryError(f"{out} holds no library: `slapkit library FOLDER --model RUN` builds one") from None
        except (OSError, ValueError, TypeError) as error:
            raise LibraryError(f"{path} cannot be read ({error}): delete {out} and build the library again") from error

    def require_model(self, model: Model) -> Model:
        """Return `model`, or raise `LibraryError` unless it is the one that the library was built with."""
        if (found := model.fingerprint()) != self.model:
            built = f"{self.model} ({self.model_path})" if self.model_path else self.model
            raise LibraryError(f"the library was built with model {built}, not {found}: take that, or build another")
        return model


class LibraryStore(VectorStore):
    """The files of one library. Reading needs no lock; `writing` is for one process at a time.

    Args:
        header: of a library to begin, or to go on with where `out` holds it already; None opens what is there.

    Raises:
        LibraryError: there is no library, another one, or one of another format.
    """

    def __init__(self, out: Path, header: Header | None = None) -> None:
        if header is not None and not (out / "library.json").exists():
            atomic_write_json(out / "library.json", asdict(header))
        self.header = Header.read(out)
        super().__init__(out, self.header.dim, self.header.generation)
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

    def halves(self) -> np.ndarray:
        """Return `vectors()` in float16, memory-mapped; in memory where the last writer did not come to its end."""
        path, shape = self.windows_path.with_suffix(".f16"), (self._used, self.dim)
        if self._used and path.exists() and path.stat().st_size >= 2 * self._used * self.dim:
            return np.memmap(path, dtype="<f2", mode="c", shape=shape)
        return self.vectors().astype(np.float16)

    @contextlib.contextmanager
    def writing(self, *, progress: bool = False) -> Iterator[None]:
        """As `VectorStore.writing`; the rows that were written are then added to those in float16."""
        with super().writing(progress=progress):
            yield
            path = self.windows_path.with_suffix(".f16")
            with write_guard(path), open(path, "ab") as file:
                done = file.tell() // (2 * self.dim)  # rows that the journal names never change
                file.truncate(2 * self.dim * done)
                for start in range(done, self._used, _HALVED):
                    rows = self.vectors_of(start, min(_HALVED, self._used - start))
                    file.write(rows.astype("<f2").tobytes())

    @property
    def entries(self) -> dict[str, Entry]:
        """The tracks by id, in the order of ids."""
        return {id: Entry(**self.items[id]) for id in sorted(self.items)}

    def _usable(self, line: dict[str, Any]) -> bool:
        return super()._usable(line) and line["windows"] > 0 and _NEEDED <= line.keys() <= _KNOWN
