"""The table that the released code of SLAP (arXiv 2506.17815) trains from: columns npy_path, caption and set.

A caption that begins with "!!" holds several, with "|" between them. `npy_path` names a sound, or an array `.npy` that
has its sound beside it (`.wav`, `.mp3`) or that is a waveform or a spectrogram itself. What the code makes of rows
without a test set, which it measures on validation instead, is not repeated here: splits are as the table says.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from slapkit._io import atomic_path
from slapkit.config import require
from slapkit.data import AudioTextDataset
from slapkit.data.collections.arrays import open_array
from slapkit.data.collections.layout import SOUNDS, Layout, Taking, how_to_unpack, is_archive
from slapkit.data.tables import SUFFIXES, read_table
from slapkit.errors import AudioError, DataError

COLUMNS = ("npy_path", "caption", "set")
SETS = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}
LAYOUT = Layout(
    "slap-csv",
    "a table of the released SLAP code",
    "https://github.com/Pliploop/SLAP (the format; everybody makes their own with columns npy_path, caption, set)",
)
_MANY = "!!"  # how a cell with several captions begins
_MOST_CHANNELS = 8  # an array [C, T] with more of both is a spectrogram


def read(
    path: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] | None = None,
    sample_rate: int | None = None,
    waves: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> AudioTextDataset:
    """Read a table of the released SLAP code.

    Args:
        path: the table, or a folder that holds a single one.
        root: what names in it are relative to; default: the table's folder or, where nothing lies there, the one above.
        sample_rate: in Hz, of waveforms in `.npy`, which do not say it.
        waves: folder that takes those waveforms as WAV, once, for everything here reads sounds; needed with them.
        progress: show a progress bar.

    A sound beside an array, of the same name with another suffix, is read in its place. Spectrograms cannot be used:
    slapkit makes its own, and an array does not say how it was made. Facts: `npy_path`. Every sound is its own group.

    Raises:
        ConfigError: `sample_rate` is out of range.
        DataError: the table or a column is missing, waveforms without `sample_rate` and `waves`, or no row is usable.
    """
    require(
        sample_rate is None or 1000 <= sample_rate <= 1_000_000, "sample_rate", sample_rate, "1,000 to 1,000,000 Hz"
    )
    path = _table(Path(path))
    table = read_table(path)
    root = Path(root) if root is not None else _root(path, [row.get("npy_path") for _, row in table.rows])
    if not root.is_dir():
        raise DataError(f"no folder {root}: the names in {path} are relative to it")
    taking = Taking(root, LAYOUT, progress=progress)
    rows: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for number, row in taking.table(path, COLUMNS).rows:
        name = str(row["npy_path"] or "").replace('"', "").strip()
        rows.setdefault(name, []).append((number, row))
    convert = _Converter(sample_rate, None if waves is None else Path(waves))
    for name, same in taking.each(list(rows.items())):
        _take(taking, name, same, convert)
    if convert.count:
        taking.notes.append(f"{convert.count:,} waveforms in .npy were written as WAV to {convert.folder}")
    return taking.dataset()


def has_columns(path: Path) -> bool:
    """Say whether a table has the columns of this layout; False where it cannot be read."""
    try:
        with open(path, encoding="utf-8-sig", errors="replace") as file:
            header = file.readline(10_000)
    except OSError:
        return False
    return set(COLUMNS) <= {name.strip().strip('"') for name in header.replace(";", ",").replace("\t", ",").split(",")}


def _table(path: Path) -> Path:
    if is_archive(path) and path.is_file():
        raise DataError(f"{LAYOUT.title} is read from an unpacked folder; {how_to_unpack([path])}")
    if path.is_file():
        return path
    if not path.is_dir():
        raise DataError(f"no table {path}: {LAYOUT.published}")
    tables = sorted(child for child in path.iterdir() if child.suffix.lower() in SUFFIXES)
    fitting = [table for table in tables if has_columns(table)]
    if len(fitting) != 1:
        found = ", ".join(table.name for table in fitting or tables) or "no tables"
        words = "several" if fitting else f"none with columns {', '.join(COLUMNS)}"
        raise DataError(f"{path} has {words} ({found}): name the table itself")
    return fitting[0]


def _root(table: Path, names: Iterable[Any]) -> Path:
    """Return the folder that names are relative to: the table's own, or the one above as the released code has it."""
    for name in names:
        if isinstance(name, str) and name.strip():
            stem = name.replace('"', "").strip().removesuffix(".npy")
            for folder in (table.parent, table.parent.parent):
                try:
                    if any((folder / f"{stem}{suffix}").is_file() for suffix in ("", ".npy", *SOUNDS)):
                        return folder
                except (OSError, ValueError):
                    continue
    return table.parent


def _take(taking: Taking, name: str, rows: list[tuple[int, dict[str, Any]]], convert: _Converter) -> None:
    """Take one sound with the captions of all its rows."""
    number, first = rows[0]
    captions = [text for _, row in rows for text in _captions(row["caption"])]
    split = SETS.get(str(first["set"]).strip().lower()) if first["set"] is not None else None
    if split is None and first["set"] is not None:
        taking.skip(number, f"{name}: {first['set']!r}", "set is none of train, val and test: the clip is in no split")
    for line, row in rows[1:]:
        if row["set"] != first["set"]:
            taking.skip(
                line, f"{name}: {row['set']!r}", "the sound stands in another set in an earlier row: that is kept"
            )
    stem = name.removesuffix(".npy")
    beside = [f"{stem}{suffix}" for suffix in SOUNDS] if name.endswith(".npy") else []
    located = taking.locate([*beside, name])
    facts = {"npy_path": name}
    if isinstance(located, str) or located[1].suffix.lower() != ".npy":
        taking.take(number, [*beside, name], captions=captions, facts=facts, split=split)
        return
    wave = convert(located[0], located[1])
    if isinstance(wave, str):
        taking.skip(number, located[0], wave)
        return
    clip = taking.take(number, name, captions=captions, facts=facts, split=split)
    if clip is not None:
        taking.move(clip, wave)


def _captions(cell: Any) -> list[Any]:
    """Return the captions of a cell, which are several where it begins with "!!"."""
    if isinstance(cell, str) and cell.startswith(_MANY):
        return cell.removeprefix(_MANY).split("|")
    return [cell]


class _Converter:
    """Writes waveforms of `.npy` as WAV (mono, 32-bit float), each once; counts them."""

    def __init__(self, sample_rate: int | None, folder: Path | None) -> None:
        self.sample_rate, self.folder, self.count = sample_rate, folder, 0

    def __call__(self, id: str, path: Path) -> Path | str:
        """Return the WAV of an array, or why there is none.

        Raises:
            DataError: it is a waveform, and rate or folder were not given.
        """
        try:
            array = open_array(path)
        except DataError as error:
            return str(error).replace(str(path), "the array")
        if array.ndim > 2 or (array.ndim == 2 and min(array.shape) > _MOST_CHANNELS):
            return f"the array {list(array.shape)} is a spectrogram, no waveform: lay the sound (.wav, .mp3) beside it"
        if self.sample_rate is None or self.folder is None:
            raise DataError(
                f"{path} is a waveform {list(array.shape)}, and an array does not say its rate: give sample_rate=... "
                "(Hz) and waves=... (a folder for the same sounds as WAV)"
            )
        target = self.folder / f"{id.removesuffix('.npy')}-{self.sample_rate}.wav"
        if not target.is_file() or target.stat().st_mtime_ns < path.stat().st_mtime_ns:
            try:
                self._write(array, target)
            except AudioError as error:
                return str(error)
        self.count += 1
        return target

    def _write(self, array: np.ndarray, target: Path) -> None:
        """Write a waveform; raises `AudioError` where it is none."""
        import soundfile

        from slapkit.audio import decode

        wave = array / np.float32(32768) if array.dtype == np.int16 else np.asarray(array)
        wave = decode.from_array(wave, self.sample_rate, self.sample_rate, name="the array")
        with atomic_path(target, needed=wave.nbytes) as temporary:
            soundfile.write(temporary, wave, self.sample_rate, subtype="FLOAT", format="WAV")
