"""What the readers of published collections share.

A `Layout` says what a collection is called, where it is published and which files it needs. A `Collection` opens a
folder of that layout, reads its tables and makes a data set of (file, captions, facts, split, group). What cannot be
used is listed as a problem, with its line and reason.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from slapkit.config import nearest
from slapkit.data.dataset import AudioTextDataset, Clip, Problem, describe
from slapkit.data.home import MISSING, Home
from slapkit.data.reader import captions_of
from slapkit.data.tables import Table, read_table
from slapkit.errors import DataError

# Archives that people forget to unpack; parts of a divided one end in a number.
_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".7z", ".rar", ".001", ".002", ".003")
_SHOWN = 12  # names listed in a message
Item = TypeVar("Item")


@dataclass(frozen=True)
class Layout:
    """A published collection."""

    name: str  # its name here
    title: str  # its own name
    published: str  # where its files are published
    clues: tuple[str, ...] = ()  # files or folders, any of which shows that a folder has this layout
    inside: tuple[str, ...] = ()  # subfolders in which the collection may lie instead
    needs: tuple[str, ...] = ()  # files, and folders ending in "/", without which it cannot be read

    def clue(self, folder: Path) -> str | None:
        """Return the first clue found in a folder or in one of its subfolders `inside`."""
        places = ("", *(f"{name}/" for name in self.inside))
        return next((p + clue for p in places for clue in self.clues if (folder / (p + clue)).exists()), None)


def how_to_unpack(paths: Iterable[Path]) -> str:
    """Return a sentence on how to unpack the archives among `paths`; "" where there are none."""
    archives = sorted(path.name for path in paths if path.name.lower().endswith(_ARCHIVES))
    if not archives:
        return ""
    if archives[0].lower().endswith((".001", ".002", ".003")):
        whole = archives[0][:-4]
        parts = shortened(archives)
        return f"{parts} are parts of one archive: `cat {whole}.* > {whole}`, then `slapkit unpack {whole} FOLDER`"
    return f"not unpacked yet: {shortened(archives)} (`slapkit unpack {archives[0]} FOLDER`, or unzip / tar -xf)"


def shortened(names: Sequence[str]) -> str:
    """Return names as a list of at most twelve, or "nothing"."""
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "") or "nothing"


class Collection:
    """One collection while it is read, from its folder or the subfolder in which its clues lie. A `DataError` says that
    there is no such folder, an archive in its place, or which files are missing."""

    def __init__(self, folder: str | os.PathLike[str], layout: Layout, *, progress: bool = True) -> None:
        folder = Path(folder)
        if folder.is_file() and (how := how_to_unpack([folder])):
            raise DataError(f"{layout.title} is read from an unpacked folder; {how}")
        if not folder.is_dir():
            raise DataError(f"no folder {folder} to read {layout.title} from: it is published at {layout.published}")
        if not any((folder / clue).exists() for clue in layout.clues):
            folder = next((folder / name for name in layout.inside if (folder / name).is_dir()), folder)
        self.root, self.home = folder, Home(folder)
        self.layout, self.progress = layout, progress
        self.problems: list[Problem] = []
        self.notes: list[str] = []
        self._clips: dict[str, Clip] = {}
        self.need(layout.needs)

    def need(self, names: Iterable[str]) -> None:
        """Raise `DataError` with every file or folder that is missing, and where it is published."""
        if missing := [name for name in names if not (self.root / name).exists()]:
            present = sorted(self.root.iterdir())
            holds = shortened([path.name for path in present])
            lacks = f"{self.root} lacks {', '.join(missing)} of {self.layout.title} (it holds {holds})"
            words = [lacks, how_to_unpack(present), f"published at {self.layout.published}"]
            raise DataError("; ".join(filter(None, words)))

    def table(self, path: Path, columns: Iterable[str]) -> Table:
        """Read a table that must have `columns`; what is wrong with its lines joins the problems."""
        table = read_table(path)
        if missing := [name for name in columns if name not in table.columns]:
            raise DataError(
                f"{path} has no column {', '.join(map(repr, missing))} (found: {shortened(table.columns)}): "
                f"{nearest(missing[0], table.columns)} {self.layout.title} as published has it: {self.layout.published}"
            )
        self.problems += table.problems
        self.notes += table.notes
        return table

    def split_lists(self, lists: Mapping[str, Path], name_of: Callable[[str], str | None]) -> dict[str, str]:
        """Return the split of each clip from the text files `lists`, by split: `name_of` a line is a clip or None.
        Raise `DataError` where a list cannot be read or is empty, a line names no clip, or a clip is in two lists."""
        split_of: dict[str, str] = {}
        for split, path in lists.items():
            try:
                lines = path.read_text("utf-8-sig").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise DataError(f"{path} cannot be read as a list: {error}") from error
            for number, line in enumerate(map(str.strip, lines), start=1):
                name = name_of(line) if line else None
                if line and name is None:
                    raise DataError(f"{path}, line {number}: {line[:80]!r} is no clip of {self.layout.title}")
                if name and split_of.setdefault(name, split) != split:
                    raise DataError(f"{path}, line {number}: {name} is in {lists[split_of[name]].name} already")
            if split not in split_of.values():
                raise DataError(f"the list {path} is empty")
        return split_of

    def locate(self, names: Sequence[str]) -> tuple[str, Path] | str:
        """Return id and path of the first of several names that is a usable file in the folder, or why none is."""
        reasons = []
        for name in names:
            found = self.home.locate(name)
            if not isinstance(found, str) and _is_headless(found[1]):
                found = "the file has no header of AU audio, and would be taken for noise"
            if not isinstance(found, str):
                return found
            reasons.append(found)
        return next((reason for reason in reasons if reason != MISSING), MISSING)

    def each(self, items: Sequence[Item]) -> Iterator[Item]:
        """Yield items, with a progress bar once they take over a second."""
        from tqdm.auto import tqdm

        yield from tqdm(items, desc=f"Reading {self.layout.title}", disable=not self.progress, delay=1, leave=False)

    def add(
        self, line: int, names: Sequence[str], *, path: Path | None = None, captions: Sequence[Any] = (),
        facts: dict[str, Any] | None = None, split: str | None = None, group: str | None = None,
    ) -> None:  # fmt: skip
        """Add a clip, or list why it cannot be used: no usable file, one taken already, or captions all unusable.

        Args:
            line: of the table, or 0.
            names: where its audio file may lie, relative to the folder; the first that is usable counts.
            path: where the audio was converted to, read in place of that file.
            captions, facts, split, group: as in `Clip`; without a group the clip is its own.
        """
        located = self.locate(names)
        if isinstance(located, str):
            self.skip(line, names[0] if names else "", located)
            return
        id, found = located
        if id in self._clips:
            self.skip(line, id, "the collection names the file twice: the first is kept")
            return
        texts = captions_of(list(captions), line, id, self.problems) if captions else []
        if texts or not captions:
            self._clips[id] = Clip(id, path or found, tuple(texts), facts or {}, split, group or id)

    def skip(self, line: int, value: Any, reason: str) -> None:
        """List something that is not used."""
        self.problems.append(Problem(line, str(value), reason))

    def dataset(self) -> AudioTextDataset:
        """Return the clips as a data set; raises `DataError` where there are none."""
        if not self._clips:
            why = describe(self.problems) or "it lists no clips"
            raise DataError(f"no clip of {self.layout.title} at {self.root} is usable:\n{why}")
        return AudioTextDataset(self.root, self._clips.values(), self.problems, name=self.layout.name, notes=self.notes)


def _is_headless(path: Path) -> bool:
    """Say whether a file ending in .au does not begin as one: libsndfile reads such a file as bare samples."""
    try:
        with open(path, "rb") as file:
            return path.suffix.lower() == ".au" and file.read(4) not in (b".snd", b"dns.")
    except OSError:
        return False  # reported when it is decoded
