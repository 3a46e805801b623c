"""OpenMIC-2018 (Humphrey, Durand and McFee, ISMIR 2018): 20,000 clips of 10 s, labelled for some of 20 instruments.

Each clip was judged for a few instruments only: `instruments` names those heard, `instruments_known` those judged, and
nothing is known about the others. A figure that takes silence for absence is wrong: use both.
"""

from __future__ import annotations

import csv
import json
import os
import re
from pathlib import Path

import numpy as np

from slapkit.data import AudioTextDataset
from slapkit.data.collections.arrays import read_member, read_texts
from slapkit.data.collections.layout import Layout, Taking, need_files, open_folder
from slapkit.errors import DataError

ARRAYS, CLASSES, ABOUT = "openmic-2018.npz", "class-map.json", "openmic-2018-metadata.csv"
PARTITIONS = {"train": "partitions/split01_train.csv", "test": "partitions/split01_test.csv"}
LAYOUT = Layout(
    "openmic",
    "OpenMIC-2018",
    "Zenodo, DOI 10.5281/zenodo.1432913 (https://zenodo.org/records/1432913: openmic-2018-v1.0.0.tgz)",
)
HEARD = 0.5  # relevance from which an instrument counts as heard, as in the collection's own baseline
_KEY = re.compile(r"\d{6}_\d+")  # track of the Free Music Archive, and the sample at which the clip begins


def read(folder: str | os.PathLike[str], *, progress: bool = True) -> AudioTextDataset:
    """Read OpenMIC-2018.

    Args:
        folder: the unpacked `openmic-2018/` (or what holds it), with `openmic-2018.npz`, `class-map.json`,
            `partitions/split01_train.csv`, `partitions/split01_test.csv` and `audio/000/000046_3840.ogg` and so on.
        progress: show a progress bar.

    Facts: `instruments` (relevance of at least 0.5), `instruments_known` (those judged) and `relevance` of each of
    these in [0, 1]. Splits are the official ones, train and test. The group is the artist where
    `openmic-2018-metadata.csv` is there, otherwise the track. There are no captions.

    Raises:
        DataError: a file is missing, the arrays do not fit together, or a clip is in both parts.
    """
    folder = open_folder(folder, LAYOUT, inside=["openmic-2018"])
    need_files(folder, LAYOUT, [ARRAYS, CLASSES, *PARTITIONS.values(), "audio/"])
    classes = _classes(folder / CLASSES)
    keys, relevance, judged = _labels(folder / ARRAYS, len(classes))
    split_of = _partitions(folder)
    taking = Taking(folder, LAYOUT, progress=progress)
    artist_of = _artists(folder / ABOUT, taking)
    for row, key in enumerate(taking.each(keys)):
        known = [name for name, seen in zip(classes, judged[row]) if seen]
        values = {name: float(value) for name, value, seen in zip(classes, relevance[row], judged[row]) if seen}
        facts = {
            "instruments": [name for name in known if values[name] >= HEARD],
            "instruments_known": known,
            "relevance": values,
        }
        group = artist_of.get(key) or f"track {key.split('_')[0]}"
        taking.take(0, f"audio/{key[:3]}/{key}.ogg", facts=facts, split=split_of.get(key), group=group)
    if unknown := sorted(set(split_of) - set(keys)):
        taking.notes.append(f"{len(unknown):,} clips of the partitions have no labels, {unknown[0]} for one: left out")
    return taking.dataset()


def _classes(path: Path) -> list[str]:
    """Return the instruments in the order of the columns."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict) or sorted(content.values(), key=str) != sorted(range(len(content)), key=str):
        raise DataError(f'{path} must number the instruments from 0, such as {{"accordion": 0, "banjo": 1}}')
    return sorted(content, key=content.__getitem__)


def _labels(path: Path, classes: int) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return the keys of N clips, relevance `[N, classes]` in [0, 1], and which were judged, bool `[N, classes]`."""
    # The published file has its keys pickled: their text is taken without unpickling, by its form.
    keys = [text for text in read_texts(path, "sample_key") if _KEY.fullmatch(text)]
    relevance, judged = read_member(path, "Y_true"), read_member(path, "Y_mask")
    shape = (len(keys), classes)
    for name, value in (("Y_true", relevance), ("Y_mask", judged)):
        if value.dtype.kind not in "fiub":
            raise DataError(f"{path}: {name} has type {value.dtype}: numbers needed")
        if value.shape != shape:
            words = f"{len(keys)} keys such as 000046_3840 and {classes} instruments"
            raise DataError(f"{path}: {name} has shape {list(value.shape)}, which does not fit {words}")
    if len(set(keys)) < len(keys):
        raise DataError(f"{path}: sample_key names a clip twice")
    relevance, judged = relevance.astype(np.float64), judged.astype(bool)
    if not ((relevance >= 0) & (relevance <= 1)).all():
        raise DataError(f"{path}: Y_true holds values outside [0, 1]")
    return keys, relevance, judged


def _partitions(folder: Path) -> dict[str, str]:
    """Return the split of each key."""
    split_of: dict[str, str] = {}
    for split, name in PARTITIONS.items():
        try:
            lines = (folder / name).read_text("utf-8-sig").split()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{folder / name} cannot be read as a list of keys: {error}") from error
        for key in lines:
            if not _KEY.fullmatch(key):
                raise DataError(f"{folder / name}: {key[:80]!r} is no key such as 000046_3840 (there is no header)")
            if split_of.setdefault(key, split) != split:
                raise DataError(f"{folder / name}: {key} is in the other part too: the split would leak")
    return split_of


def _artists(path: Path, taking: Taking) -> dict[str, str]:
    """Return the artist of each key, from the collection's own table."""
    if not path.is_file():
        taking.notes.append(f"{ABOUT} is not there: clips are grouped by track, not by artist")
        return {}
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)  # not read_table: it takes "000046_3840" for a number, as Python does
            if missing := [name for name in ("sample_key", "artist_id") if name not in (rows.fieldnames or [])]:
                raise DataError(f"{path} has no column {missing[0]!r} (found: {', '.join(rows.fieldnames or [])})")
            return {row["sample_key"]: f"artist {row['artist_id']}" for row in rows if row["artist_id"]}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
