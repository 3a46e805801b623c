"""Reading a collection by the name of its layout, or by what is in the folder.

The readers of layouts raise what `read` says.
"""

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slapkit.config import require_known
from slapkit.data import hf, tars
from slapkit.data.collections import gtzan, magnatagatune, musiccaps, openmic, slap_csv, song_describer, tagged_folder
from slapkit.data.collections.layout import Layout, how_to_unpack, shortened
from slapkit.data.dataset import AudioTextDataset
from slapkit.data.home import Home
from slapkit.data.reader import find_tables
from slapkit.data.reader import read as read_folder
from slapkit.data.tables import SUFFIXES
from slapkit.errors import DataError

_TABLE = Layout("table", "a folder with a table", "your own: metadata.jsonl or metadata.csv beside the audio files")
_MODULES = (musiccaps, song_describer, gtzan, magnatagatune, openmic, slap_csv, tagged_folder)
_READERS: dict[str, Callable[..., AudioTextDataset]] = {
    **{m.LAYOUT.name: m.read for m in _MODULES},
    "table": read_folder,
}
LAYOUTS: dict[str, Layout] = {m.LAYOUT.name: m.LAYOUT for m in _MODULES} | {"table": _TABLE}


def read(layout: str, folder: str | os.PathLike[str], *, progress: bool = True, **options: Any) -> AudioTextDataset:
    """Read a collection.

    Args:
        layout: one of `LAYOUTS`, or "auto" to go by what lies in the folder; the data set's notes say what was found.
        folder: where its files lie; for "slap-csv" and "table" it may be the table itself.
        progress: show a progress bar where reading takes long.
        options: those of the layout's reader, such as `top=50` of "magnatagatune".

    Raises:
        ConfigError: an unknown layout or option, naming the nearest; or an option out of range.
        DataError: files or columns are missing (all are named, and where they are published), damaged or contradictory,
            no clip is usable, or no layout fits.
    """
    clue = None
    if layout == "auto":
        layout, clue = detect(folder)
    require_known([layout], [*LAYOUTS, "auto"], "there is no layout")
    title, reader = LAYOUTS[layout].title, _READERS[layout]
    known = list(inspect.signature(reader).parameters)[1:]
    require_known(options, known, f"{title} has no option")
    if "progress" in known:
        options["progress"] = progress
    dataset = reader(folder, **options)
    if clue is not None:
        dataset.notes.insert(0, f"read as {title} ({layout}): {clue} is there")
    return dataset


def detect(folder: str | os.PathLike[str]) -> tuple[str, str]:
    """Return the name of the layout of a folder or table, and the file or folder that shows it; raise `DataError` where
    nothing or only an archive is there, or none or several of the layouts fit."""
    folder = Path(folder)
    if folder.is_file():
        if how := how_to_unpack([folder]):
            raise DataError(f"{folder} is an archive; {how}")
        if hf.kind_of(folder):
            return "table", folder.name
        if folder.suffix.lower() not in SUFFIXES:
            raise DataError(f"{folder} is neither a folder nor a table ({', '.join(SUFFIXES)})")
        return ("slap-csv" if slap_csv.has_columns(folder) else "table"), folder.name
    if not folder.is_dir():
        raise DataError(f"no collection at {folder}: name its folder")
    found = {name: clue for name, layout in LAYOUTS.items() if (clue := layout.clue(folder))}
    if tables := find_tables(folder, []):
        found["table"] = os.path.relpath(tables[0][0], folder)
    if len(found) > 1:
        words = ", ".join(f"{name} ({clue})" for name, clue in found.items())
        raise DataError(f"{folder} looks like several collections: {words}; name the one you mean")
    if found:
        return next(iter(found.items()))
    present = sorted(folder.iterdir())
    if table := next((p for p in present if p.suffix.lower() in SUFFIXES and slap_csv.has_columns(p)), None):
        return "slap-csv", table.name
    if sound := next(Home(folder).sounds(), None):
        return "tagged-folder", f"no table, but audio files such as {sound[0]},"
    if clue := tars.kind_of(folder) or hf.kind_of(folder):
        return "table", clue
    holds = shortened([path.name for path in present])
    words = [f"{folder} holds {holds}: no layout known here ({', '.join(LAYOUTS)})", how_to_unpack(present)]
    raise DataError("; ".join(filter(None, words)))
