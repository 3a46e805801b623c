"""One door to all layouts: by name, or by what lies in the folder."""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from slapkit.config import nearest
from slapkit.data import AudioTextDataset
from slapkit.data.collections import gtzan, magnatagatune, musiccaps, openmic, slap_csv, song_describer, tagged_folder
from slapkit.data.collections.layout import SOUNDS, Layout, how_to_unpack, is_archive
from slapkit.data.reader import find_tables
from slapkit.data.reader import read as read_folder
from slapkit.data.tables import SUFFIXES
from slapkit.errors import ConfigError, DataError

TABLE = Layout("table", "a folder with a table", "your own: metadata.jsonl or metadata.csv beside the sounds")
_LOOKED_AT = 2_000  # entries of a folder that are looked at for a sound file


class _Reader(NamedTuple):
    layout: Layout
    read: Callable[..., AudioTextDataset]


_READERS = {
    reader.layout.name: reader
    for reader in (
        *(_Reader(m.LAYOUT, m.read) for m in (musiccaps, song_describer, gtzan, magnatagatune, openmic, slap_csv)),
        _Reader(TABLE, read_folder),
        _Reader(tagged_folder.LAYOUT, tagged_folder.read),
    )
}
LAYOUTS: dict[str, Layout] = {name: reader.layout for name, reader in _READERS.items()}


def read(layout: str, folder: str | os.PathLike[str], *, progress: bool = True, **options: Any) -> AudioTextDataset:
    """Read a collection.

    Args:
        layout: one of `LAYOUTS`, or "auto" to go by what lies in the folder; the data set's notes say what was seen.
        folder: where its files lie; for "slap-csv" and "table" it may be the table itself.
        progress: show a progress bar where reading takes long.
        options: what the layout's reader takes, such as `top=50` of "magnatagatune".

    Raises:
        ConfigError: an unknown layout or option, naming the nearest; or an option out of range.
        DataError: files or columns are missing (all are named, and where they are published), or nothing fits.
    """
    seen = None
    if layout == "auto":
        layout, seen = detect(folder)
    if layout not in _READERS:
        raise ConfigError(f"there is no layout {layout!r}: {nearest(layout, [*_READERS, 'auto'])}")
    reader = _READERS[layout]
    known = list(inspect.signature(reader.read).parameters)[1:]
    for name in options:
        if name not in known:
            raise ConfigError(f"{reader.layout.title} has no option {name!r}: {nearest(name, known)}")
    if "progress" in known:
        options["progress"] = progress
    dataset = reader.read(folder, **options)
    if seen is not None:
        dataset.notes.insert(0, f"read as {reader.layout.title} ({layout}): {seen} is there")
    return dataset


def detect(folder: str | os.PathLike[str]) -> tuple[str, str]:
    """Return the name of the layout that a folder has, and what says so.

    Raises:
        DataError: nothing is there, an archive stands in its place, or none or several of the layouts fit.
    """
    folder = Path(folder)
    if folder.is_file():
        return _detect_file(folder)
    if not folder.is_dir():
        raise DataError(f"no collection at {folder}: name its folder")
    found = dict(_clues(folder))
    if len(found) > 1:
        words = ", ".join(f"{name} ({seen})" for name, seen in found.items())
        raise DataError(f"{folder} looks like several collections: {words}; name the one you mean")
    if found:
        return next(iter(found.items()))
    sound = _any_sound(folder)
    if sound is not None:
        return "tagged-folder", f"no table, but sound files such as {sound},"
    present = sorted(child.name for child in folder.iterdir())
    archives = how_to_unpack([folder / name for name in present if is_archive(folder / name)])
    shown = ", ".join(present[:20]) or "nothing"
    known = ", ".join(_READERS)
    raise DataError(f"{folder} holds {shown}: no layout known here ({known})" + (f"; {archives}" if archives else ""))


def _detect_file(path: Path) -> tuple[str, str]:
    if is_archive(path):
        raise DataError(f"{path} is an archive; {how_to_unpack([path])}")
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"{path} is neither a folder nor a table ({', '.join(SUFFIXES)})")
    if slap_csv.has_columns(path):
        return "slap-csv", f"{path.name} with columns {', '.join(slap_csv.COLUMNS)}"
    return "table", path.name


def _clues(folder: Path) -> list[tuple[str, str]]:
    """Return the layouts that a folder may have, each with what says so."""
    found = []
    for name, clues in (
        ("musiccaps", (musiccaps.TABLE,)),
        ("song-describer", (song_describer.TABLE, f"data/{song_describer.TABLE}")),
        ("gtzan", ("genres_original", "genres/blues", "Data/genres_original")),
        ("magnatagatune", (magnatagatune.TAGS_TABLE,)),
        ("openmic", (openmic.ARRAYS, f"openmic-2018/{openmic.ARRAYS}")),
    ):
        seen = next((clue for clue in clues if (folder / clue).exists()), None)
        if seen is not None:
            found.append((name, seen))
    if not any(name == "gtzan" for name, _ in found) and all((folder / genre).is_dir() for genre in gtzan.GENRES):
        found.append(("gtzan", "a folder for each of its ten genres"))
    with contextlib.suppress(DataError):
        found.append(("table", os.path.relpath(find_tables(folder, [])[0][0], folder)))
    tables = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES and path.is_file()]
    if not found and (fitting := [path.name for path in tables if slap_csv.has_columns(path)]):
        found.append(("slap-csv", fitting[0]))
    return found


def _any_sound(folder: Path) -> str | None:
    """Return the name of a sound file of the folder, which is not searched to its end."""
    looked = 0
    for place, _, names in os.walk(folder):
        for name in names:
            if name.lower().endswith(SOUNDS) and not name.startswith("."):
                return os.path.relpath(os.path.join(place, name), folder)
        looked += len(names)
        if looked > _LOOKED_AT:
            return None
    return None
