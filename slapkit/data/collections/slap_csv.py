"""The table that the released code of SLAP (arXiv 2506.17815) trains from: columns npy_path, caption and set.

A caption that begins with "!!" holds several, with "|" between them. `npy_path` names an audio file, or an array `.npy`
that has its audio file beside it (`.wav`, `.mp3`) or that is a waveform or a spectrogram itself. The released code
measures on validation where there is no test set; here, splits are as the table says.
"""

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from slapkit._io import atomic_path
from slapkit.audio import decode
from slapkit.audio.decode import AUDIO_SUFFIXES
from slapkit.config import require
from slapkit.data.collections.arrays import open_array
from slapkit.data.collections.layout import Collection, Layout, how_to_unpack, shortened
from slapkit.data.dataset import SPLITS, AudioTextDataset
from slapkit.data.splits import split_name
from slapkit.data.tables import SUFFIXES, columns_of
from slapkit.errors import AudioError, DataError, short

COLUMNS = ("npy_path", "caption", "set")
LAYOUT = Layout(
    "slap-csv",
    "a table of the released SLAP code",
    "https://github.com/Pliploop/SLAP (the format; everybody makes their own with columns npy_path, caption, set)",
)
_MOST_CHANNELS = 8  # an array [C, T] with more of both is a spectrogram


def read(
    path: str | os.PathLike[str], *, root: str | os.PathLike[str] | None = None, sample_rate: int | None = None,
    waves: str | os.PathLike[str] | None = None, progress: bool = True,
) -> AudioTextDataset:  # fmt: skip
    """Read a table of the released SLAP code.

    Args:
        path: the table, or a folder that holds a single one.
        root: what names in it are relative to; default: the table's folder or, where nothing lies there, the one above.
        sample_rate: of waveforms in `.npy`, which do not say it, in Hz.
        waves: folder to which those waveforms are written as WAV, once; needed with them.

    An audio file beside an array, of the same name with another suffix, is read in its place. Spectrograms cannot be
    used: an array does not say how it was made. Facts: `npy_path`. Every clip is its own group.
    """
    in_range = sample_rate is None or 1000 <= sample_rate <= 1_000_000
    require(in_range, "sample_rate", sample_rate, "1,000 to 1,000,000 Hz")
    table = _find_table(Path(path))
    collection = Collection(table.parent if root is None else root, LAYOUT, progress=progress)
    clips: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for line, row in collection.table(table, COLUMNS).rows:
        clips.setdefault(str(row["npy_path"] or "").replace('"', "").strip(), []).append((line, row))
    if root is None and all(isinstance(collection.locate(_names(name)), str) for name in clips):
        above = Collection(table.resolve().parent.parent, LAYOUT, progress=progress)
        if any(not isinstance(above.locate(_names(name)), str) for name in clips):
            above.problems, above.notes = collection.problems, collection.notes
            collection = above
    folder = None if waves is None else Path(waves)
    converted = sum(
        _add(collection, name, rows, sample_rate, folder) for name, rows in collection.each([*clips.items()])
    )
    if converted:
        collection.notes.append(f"{converted:,} waveforms in .npy were written as WAV to {waves}")
    return collection.dataset()


def has_columns(path: Path) -> bool:
    """Say whether a table has the columns of this layout; False where it cannot be read."""
    try:
        return set(COLUMNS) <= set(columns_of(path))
    except DataError:
        return False


def _find_table(path: Path) -> Path:
    if path.is_file():
        if how := how_to_unpack([path]):
            raise DataError(f"{LAYOUT.title} is read from an unpacked folder; {how}")
        return path
    if not path.is_dir():
        raise DataError(f"no table {path}: {LAYOUT.published}")
    tables = sorted(child for child in path.iterdir() if child.suffix.lower() in SUFFIXES)
    fitting = [table for table in tables if has_columns(table)]
    if len(fitting) != 1:
        found = shortened([table.name for table in fitting or tables])
        words = "several tables" if fitting else "no table"
        raise DataError(f"{path} has {words} with columns {', '.join(COLUMNS)} (found: {found}): name the table itself")
    return fitting[0]


def _names(name: str) -> list[str]:
    """Return the names of the audio files beside an array, then the name itself."""
    beside = [name.removesuffix(".npy") + suffix for suffix in AUDIO_SUFFIXES] if name.endswith(".npy") else []
    return [*beside, name]


def _add(
    collection: Collection, name: str, rows: list[tuple[int, dict[str, Any]]], rate: int | None, folder: Path | None
) -> bool:
    """Add one clip with the captions of all its rows; say whether it is a converted waveform."""
    line, first = rows[0]
    split = split_name(str(first["set"] or ""))
    if split not in SPLITS:
        split = None
    if split is None and first["set"] is not None:
        reason = "set is none of train, val and test: the clip is in no split"
        collection.skip(line, f"{name}: {short(first['set'])}", reason)
    for later, row in rows[1:]:
        if row["set"] != first["set"]:
            reason = "an earlier row has the clip in another set: that is kept"
            collection.skip(later, f"{name}: {short(row['set'])}", reason)
    wave = None
    located = collection.locate(_names(name))
    if not isinstance(located, str) and located[1].suffix.lower() == ".npy":
        try:
            wave = _to_wav(*located, rate, folder)
        except AudioError as error:
            collection.skip(line, located[0], str(error))
            return False
    captions = [text for _, row in rows for text in _captions(row["caption"])]
    collection.add(line, _names(name), path=wave, captions=captions, facts={"npy_path": name}, split=split)
    return wave is not None


def _captions(cell: Any) -> list[Any]:
    """Return the captions of a cell, which are several where it begins with "!!"."""
    return cell.removeprefix("!!").split("|") if isinstance(cell, str) and cell.startswith("!!") else [cell]


def _to_wav(id: str, path: Path, sample_rate: int | None, folder: Path | None) -> Path:
    """Return a waveform of `.npy` as WAV (mono, 32-bit float), which is written where it is missing or older.

    Raises:
        AudioError: the array is not a usable waveform.
        DataError: it is one, and rate or folder were not given.
    """
    try:
        array = open_array(path)
    except DataError as error:
        raise AudioError(str(error).replace(str(path), "the array")) from error
    shape = list(array.shape)
    if array.ndim > 2 or (array.ndim == 2 and min(shape) > _MOST_CHANNELS):
        raise AudioError(f"the array {shape} is a spectrogram, no waveform: put the audio file beside it")
    if sample_rate is None or folder is None:
        raise DataError(
            f"{path} is a waveform {shape}, and an array does not say its rate: give sample_rate=... (Hz) and "
            "waves=... (a folder for the same audio as WAV)"
        )
    # Collections with arrays of the same names may share the folder.
    place = hashlib.sha256(os.path.realpath(path).encode("utf-8", "surrogateescape")).hexdigest()[:8]
    target = folder / f"{id.removesuffix('.npy')}-{place}-{sample_rate}.wav"
    if not target.is_file() or target.stat().st_mtime_ns < path.stat().st_mtime_ns:
        wave = array / np.float32(32768) if array.dtype == np.int16 else np.asarray(array)
        wave = decode.from_array(wave, sample_rate, sample_rate, name="the array")
        with atomic_path(target, needed=wave.nbytes) as temporary:
            soundfile.write(temporary, wave, sample_rate, subtype="FLOAT", format="WAV")
    return target
