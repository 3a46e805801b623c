"""What the readers of published collections share: what a layout needs, where it is published, and how clips are taken.

A reader first asks for every file and column that it needs, and says all that are missing at once, with the place where
they are published. Then it takes clips one by one; what cannot be used is listed with its line and reason.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from slapkit.config import nearest
from slapkit.data import AudioTextDataset, Clip, Problem
from slapkit.data.dataset import describe
from slapkit.data.reader import TableBuilder
from slapkit.data.tables import Table, read_table
from slapkit.errors import DataError

SOUNDS = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".au", ".aif", ".aiff")  # what soundfile decodes
# What people download and forget to unpack; parts of a divided archive end in a number.
ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".7z", ".rar", ".zip.001", ".zip.002", ".zip.003")
Item = TypeVar("Item")
_ABSENT = "the file does not exist"
_TOO_MANY = 12  # names shown of what a folder holds


@dataclass(frozen=True)
class Layout:
    """A published collection: its name here, its own name, and where its files are published."""

    name: str
    title: str
    published: str


def is_archive(path: Path) -> bool:
    """Say whether a file is an archive by its name."""
    return path.name.lower().endswith(ARCHIVES)


def how_to_unpack(archives: Sequence[Path]) -> str:
    """Return the sentence that says how to unpack archives; "" where there are none."""
    if not archives:
        return ""
    first = archives[0]
    names = ", ".join(path.name for path in archives[:_TOO_MANY])
    if first.name.lower().endswith((".001", ".002", ".003")):
        whole = first.name[:-4]
        return f"{names} are parts of one archive: `cat {whole}.* > {whole}`, then `slapkit unpack {whole} FOLDER`"
    return f"not unpacked yet: {names} (`slapkit unpack {first.name} FOLDER`, or unzip / tar -xf)"


def open_folder(folder: str | os.PathLike[str], layout: Layout, inside: Iterable[str] = ()) -> Path:
    """Return the folder of a collection: the one given, or the first of its subfolders `inside` that exists.

    Raises:
        DataError: there is no such folder, or an archive stands in its place.
    """
    folder = Path(folder)
    if folder.is_file() and is_archive(folder):
        raise DataError(f"{layout.title} is read from an unpacked folder; {how_to_unpack([folder])}")
    if not folder.is_dir():
        raise DataError(f"no folder {folder} to read {layout.title} from: it is published at {layout.published}")
    return next((folder / name for name in inside if (folder / name).is_dir()), folder)


def need_files(folder: Path, layout: Layout, names: Iterable[str]) -> None:
    """Raise `DataError` naming every file or folder (a name ending in "/") that is missing, and where to get it."""
    missing = [name for name in names if not (folder / name).exists()]
    if not missing:
        return
    try:
        present = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}") from error
    shown = ", ".join(present[:_TOO_MANY]) + (", ..." if len(present) > _TOO_MANY else "") or "nothing"
    words = [f"{folder} lacks {', '.join(missing)} of {layout.title} (it holds {shown})"]
    archives = [folder / name for name in present if is_archive(folder / name)]
    words += [how_to_unpack(archives)] if archives else []
    raise DataError("; ".join([*words, f"published at {layout.published}"]))


def need_columns(table: Table, path: Path, layout: Layout, columns: Iterable[str]) -> None:
    """Raise `DataError` naming every column that a table lacks, and what it has instead."""
    missing = [name for name in columns if name not in table.columns]
    if missing:
        hint = nearest(missing[0], table.columns)
        found = ", ".join(table.columns[:_TOO_MANY]) + (", ..." if len(table.columns) > _TOO_MANY else "")
        raise DataError(
            f"{path} has no column {', '.join(map(repr, missing))} (found: {found or 'none'}): {hint} "
            f"{layout.title} as published has it: {layout.published}"
        )


def _is_headless(path: Path) -> bool:
    """Say whether a file ending in .au does not begin as one: libsndfile takes such a file for bare samples."""
    if path.suffix.lower() != ".au":
        return False
    try:
        with open(path, "rb") as file:
            return file.read(4) not in (b".snd", b"dns.")
    except OSError:
        return False  # told when it is decoded


class Taking(TableBuilder):
    """One collection while it is read: finds sounds without leaving the folder, and keeps clips and problems."""

    def __init__(self, folder: Path, layout: Layout, *, progress: bool = True) -> None:
        super().__init__(folder, [])
        self.layout, self.notes, self.progress = layout, [], progress
        self._clips: dict[str, Clip] = {}

    def table(self, path: Path, columns: Iterable[str]) -> Table:
        """Read a table that must have `columns`; what is wrong with its lines joins the problems."""
        table = read_table(path)
        need_columns(table, path, self.layout, columns)
        self.problems += table.problems
        self.notes += table.notes
        return table

    def locate(self, names: Sequence[str]) -> tuple[str, Path] | str:
        """Return id and path of the first of several names that is a usable file, or why none is."""
        reasons = []
        for name in names:
            found = self._locate(name, self.root)
            if not isinstance(found, str) and _is_headless(found[1]):
                found = "the file has no header of AU sound, and would be taken for noise"
            if not isinstance(found, str):
                return found
            reasons.append(found)
        return next((reason for reason in reasons if reason != _ABSENT), _ABSENT)

    def each(self, items: Sequence[Item]) -> Iterator[Item]:
        """Yield items, with a progress bar once they take over a second."""
        from tqdm.auto import tqdm

        yield from tqdm(items, desc=f"Reading {self.layout.title}", disable=not self.progress, delay=1, leave=False)

    def texts(self, row: int, values: Sequence[Any], name: str) -> list[str]:
        """Return captions cleaned, empty ones and repetitions left out and listed; `name` is what messages say."""
        return self._captions(row, list(values), name)

    def take(
        self,
        row: int,
        names: str | Sequence[str],
        *,
        captions: Sequence[Any] = (),
        facts: dict[str, Any] | None = None,
        split: str | None = None,
        group: str | None = None,
    ) -> Clip | None:
        """Take a clip in, or list why not.

        Args:
            row: line of the table, or 0.
            names: where its sound may lie, relative to the folder; the first that exists is taken.
            captions: what is said about it, may be empty.
            facts: what is known about it.
            split: its official split.
            group: what must not be divided; default: the clip itself.
        """
        names = [names] if isinstance(names, str) else list(names)
        located = self.locate(names)
        if isinstance(located, str):
            self.skip(row, names[0] if names else "", located)
            return None
        id, path = located
        if id in self._clips:
            self.skip(row, id, "the sound stands in the collection twice: the first is kept")
            return None
        texts = self.texts(row, captions, id) if captions else []
        if captions and not texts:
            return None
        self._clips[id] = Clip(id, path, tuple(texts), facts or {}, split, group or id)
        return self._clips[id]

    def move(self, clip: Clip, path: Path) -> None:
        """Let the sound of a clip that was taken be read from another place, where it was converted to."""
        self._clips[clip.id] = replace(clip, path=path)

    def skip(self, row: int, value: Any, reason: str) -> None:
        """List something that is not used."""
        self.problems.append(Problem(row, str(value), reason))

    def dataset(self) -> AudioTextDataset:
        """Return what was taken.

        Raises:
            DataError: nothing was.
        """
        if not self._clips:
            why = describe(self.problems) or "it lists no clips"
            raise DataError(f"no clip of {self.layout.title} at {self.root} is usable:\n{why}")
        return AudioTextDataset(self.root, self._clips.values(), self.problems, name=self.layout.name, notes=self.notes)
