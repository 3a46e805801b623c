"""OpenMIC-2018 (Humphrey, Durand and McFee, ISMIR 2018): 20,000 clips of 10 s, labelled for some of 20 instruments.

Each clip was judged for a few instruments only: `instruments` names those present, `instruments_known` those judged.
Nothing is known about the others, so that a metric has to use both.
"""

import json
import os
import re
from pathlib import Path

import numpy as np

from slapkit.data.collections.arrays import read_member, read_texts
from slapkit.data.collections.layout import Collection, Layout
from slapkit.data.dataset import AudioTextDataset
from slapkit.errors import DataError

ARRAYS, CLASSES, ABOUT = "openmic-2018.npz", "class-map.json", "openmic-2018-metadata.csv"
PARTITIONS = {"train": "partitions/split01_train.csv", "test": "partitions/split01_test.csv"}
LAYOUT = Layout(
    "openmic",
    "OpenMIC-2018",
    "Zenodo, DOI 10.5281/zenodo.1432913 (https://zenodo.org/records/1432913: openmic-2018-v1.0.0.tgz)",
    clues=(ARRAYS,),
    inside=("openmic-2018",),
    needs=(ARRAYS, CLASSES, *PARTITIONS.values(), "audio/"),
)
PRESENT = 0.5  # relevance from which an instrument counts as present, as in the collection's own baseline
_KEY = re.compile(r"\d{6}_\d+")  # track of the Free Music Archive, and the sample at which the clip begins


def read(folder: str | os.PathLike[str], *, progress: bool = True) -> AudioTextDataset:
    """Read OpenMIC-2018.

    Args:
        folder: the unpacked `openmic-2018/` (or what holds it), with `openmic-2018.npz`, `class-map.json`,
            `partitions/split01_train.csv`, `partitions/split01_test.csv` and `audio/000/000046_3840.ogg` and so on.

    Facts: `instruments` (relevance of at least 0.5), `instruments_known` (those judged) and `relevance` of each of
    these in [0, 1]. Splits are the official ones, train and test. The group is the artist where
    `openmic-2018-metadata.csv` is there, otherwise the track. There are no captions.
    """
    collection = Collection(folder, LAYOUT, progress=progress)
    root = collection.root
    classes = _classes(root / CLASSES)
    keys, relevance, judged = _labels(root / ARRAYS, len(classes))
    lists = {split: root / name for split, name in PARTITIONS.items()}
    split_of = collection.split_lists(lists, lambda line: line if _KEY.fullmatch(line) else None)
    artist_of = {}
    if (root / ABOUT).is_file():
        table = collection.table(root / ABOUT, ["sample_key", "artist_id"])
        artist_of = {row["sample_key"]: row["artist_id"] for _, row in table.rows if row["artist_id"] is not None}
    else:
        collection.notes.append(f"{ABOUT} is missing: clips are grouped by track, not by artist")
    for key, values, known in collection.each(list(zip(keys, relevance, judged, strict=True))):
        relevant = {name: float(value) for name, value, seen in zip(classes, values, known, strict=True) if seen}
        facts = {
            "instruments": [name for name, value in relevant.items() if value >= PRESENT],
            "instruments_known": list(relevant),
            "relevance": relevant,
        }
        group = f"artist {artist_of[key]}" if key in artist_of else f"track {key.split('_')[0]}"
        collection.add(0, [f"audio/{key[:3]}/{key}.ogg"], facts=facts, split=split_of.get(key), group=group)
    if unknown := sorted(set(split_of) - set(keys)):
        note = f"{len(unknown):,} clips of the partitions have no labels, {unknown[0]} for one: left out"
        collection.notes.append(note)
    return collection.dataset()


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
    for name, value in (("Y_true", relevance), ("Y_mask", judged)):
        if value.dtype.kind not in "fiub" or value.shape != (len(keys), classes):
            raise DataError(
                f"{path}: {name} has type {value.dtype} and shape {list(value.shape)}: numbers [{len(keys)}, {classes}]"
                " needed, a row for each key such as 000046_3840 of sample_key"
            )
    if len(set(keys)) < len(keys):
        raise DataError(f"{path}: sample_key names a clip twice")
    if not ((relevance >= 0) & (relevance <= 1)).all():
        raise DataError(f"{path}: Y_true holds values outside [0, 1]")
    return keys, relevance.astype(np.float64), judged.astype(bool)
