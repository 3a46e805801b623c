"""A library on disk: a `VectorStore` of all windows, whose items are tracks, and a header.

    library.json     what the library is: model, embedding, windows
    failures.jsonl   files that could not be used

Rows that no track needs any more stay; a library that is deleted and built again is without them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from slapkit._io import atomic_write_json, atomic_write_json_lines, read_json_lines
from slapkit.data.scan import Failure
from slapkit.errors import LibraryError
from slapkit.hub.store import VectorStore
from slapkit.models.inference import Model

FORMAT = 1


@dataclass(frozen=True)
class Entry:
    """A track: its file when it was embedded, its rows `first` to `first + windows`, what is known of it.

    `duration_s` in s; `frames` of features, from which the windows' starts follow.
    """

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


@dataclass(frozen=True)
class Header:
    """The content of `library.json`. `window` and `hop` in frames of `frontend`."""

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

    @classmethod
    def read(cls, out: Path) -> Header:
        """Return what `library.json` says.

        Raises:
            LibraryError: it is missing, damaged, or of another format.
        """
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

    def require_same(self, wanted: Header, out: Path) -> None:
        """Raise `LibraryError` unless this library is the one that is wanted."""
        for name in ("folder", "model", "embedding", "window", "hop"):
            old, new = getattr(self, name), getattr(wanted, name)
            if old != new:
                raise LibraryError(f"{out} holds a library of {name} {old}, not {new}: build this one elsewhere")

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
            self.header.require_same(header, out)
            if header.model_path not in (None, self.header.model_path):  # the model was moved
                self.header = replace(self.header, model_path=header.model_path)
                atomic_write_json(out / "library.json", asdict(self.header))

    @property
    def entries(self) -> dict[str, Entry]:
        """The tracks by id, in the order of ids."""
        return {id: Entry(**item) for id, item in sorted(self.items.items())}

    def _usable(self, line: dict[str, Any]) -> bool:
        return super()._usable(line) and line["windows"] > 0 and line.keys() == Entry.__dataclass_fields__.keys()

    @property
    def failures(self) -> list[Failure]:
        """Files that the last update could not use."""
        return [Failure(**line) for line in read_json_lines(self.folder / "failures.jsonl")[0]]

    def write_failures(self, failures: Iterable[Failure]) -> None:
        """Keep the list of files that could not be used."""
        atomic_write_json_lines(self.folder / "failures.jsonl", map(asdict, failures))
