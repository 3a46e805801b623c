"""A library on disk: a `VectorStore` of all windows, whose items are tracks, and a header.

    library.json     what the library is: model, embedding, windows, and which generation of the store's files is valid
    failures.jsonl   files that could not be used

Rows that no track needs any more stay until they are worth a new generation of the store's files, which `library.json`
puts in place in one step.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from slapkit._io import atomic_write_json, atomic_write_json_lines, read_json_lines
from slapkit.data.scan import Failure
from slapkit.errors import ConfigError, LibraryError
from slapkit.hub.store import VectorStore
from slapkit.models.embed import hop_frames
from slapkit.models.inference import Model

FORMAT = 1
_WASTE = 0.25  # share of rows without a track above which both files are written anew


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
    def of(cls, model: Model, path: str | None, folder: Path, embedding: str, hop_s: float | None) -> Header:
        """Return the header of a library of `folder` by `model`; see `Library.build`.

        Raises:
            ConfigError: there is no such embedding or hop.
        """
        if embedding not in ("q", "z"):
            raise ConfigError(f"embedding={embedding!r}: take 'q' (prediction) or 'z' (projection)")
        audio = model.config.audio
        return cls(
            folder=str(folder), model=model.fingerprint(), model_path=path, objective=model.joint.objective,
            embedding=embedding, dim=model.dim, frontend=audio.frontend.to_dict(), window=audio.window_frames,
            hop=hop_frames(audio, hop_s),
        )  # fmt: skip

    @classmethod
    def read(cls, out: Path) -> Header:
        """Return what `library.json` says.

        Raises:
            LibraryError: it is missing, damaged, or of another format.
        """
        path = out / "library.json"
        try:
            value = json.loads(path.read_text("utf-8"))
            if value["format"] != FORMAT:
                words = f"{path} has format {value['format']!r}, this version reads {FORMAT}"
                raise LibraryError(f"{words}: build the library again in another folder")
            return cls(**value)
        except FileNotFoundError:
            raise LibraryError(f"{out} holds no library: `slapkit library FOLDER --model RUN` builds one") from None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise LibraryError(f"{path} cannot be read ({error}): delete {out} and build the library again") from error

    def require_same(self, wanted: Header, out: Path) -> None:
        """Raise `LibraryError` unless this library is the one that is wanted."""
        for name in ("folder", "model", "embedding", "window", "hop"):
            old, new = getattr(self, name), getattr(wanted, name)
            if old != new:
                raise LibraryError(f"{out} holds a library of {name} {old}, not {new}: build this one elsewhere")

    def require_model(self, model: Model) -> None:
        """Raise `LibraryError` unless `model` is the one that the library was built with."""
        if (found := model.fingerprint()) != self.model:
            where = f" ({self.model_path})" if self.model_path else ""
            raise LibraryError(
                f"the library was built with model {self.model}{where}, and this is {found}: open it with that model, "
                "or build a library with this one in another folder"
            )


class LibraryStore(VectorStore):
    """The files of one library. Reading needs no lock; `writing` is for one process at a time.

    Raises:
        LibraryError: there is no library, or one of another format.
    """

    def __init__(self, out: Path) -> None:
        self.header = Header.read(out)
        super().__init__(out, self.header.dim, self.header.generation)

    @classmethod
    def create(cls, out: Path, header: Header) -> LibraryStore:
        """Begin an empty library in `out`."""
        atomic_write_json(out / "library.json", asdict(header))
        return cls(out)

    @property
    def entries(self) -> dict[str, Entry]:
        """The tracks by id."""
        return {id: Entry(**item) for id, item in self.items.items()}

    def _usable(self, line: dict[str, Any]) -> bool:
        return super()._usable(line) and line["windows"] > 0 and line.keys() == Entry.__dataclass_fields__.keys()

    def _newest(self) -> None:
        self.header = Header.read(self.folder)
        if self.header.generation != self.generation:
            self._begin(self.header.generation)
        self.reload()

    def set_model_path(self, path: str) -> None:
        """Keep where the model lies now."""
        with self.writing():
            self.header = replace(self.header, model_path=path)
            atomic_write_json(self.folder / "library.json", asdict(self.header))

    @property
    def failures(self) -> list[Failure]:
        """Files that the last update could not use."""
        return [Failure(**line) for line in read_json_lines(self.folder / "failures.jsonl")[0]]

    def write_failures(self, failures: Iterable[Failure]) -> None:
        """Keep the list of files that could not be used."""
        atomic_write_json_lines(self.folder / "failures.jsonl", map(asdict, failures))

    def compact(self) -> None:
        """Write both files anew without rows that no track needs, if that is worth it."""
        rows, used = self.rows, sum(item["windows"] for item in self.items.values())
        if rows - used <= _WASTE * rows:
            return
        old = self.windows_path, self.journal_path
        following = VectorStore(self.folder, self.dim, self.generation + 1)
        for path in (following.windows_path, following.journal_path):  # what a killed compaction left
            path.unlink(missing_ok=True)
        following._begin(following.generation)
        items = (item for _, item in sorted(self.items.items()))
        following.append((item, self.vectors_of(item["first"], item["windows"])) for item in items)
        self.header = replace(self.header, generation=following.generation)
        atomic_write_json(self.folder / "library.json", asdict(self.header))
        for path in old:  # a reader that has them open keeps them
            path.unlink(missing_ok=True)
        self._begin(following.generation)
