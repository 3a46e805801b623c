"""GTZAN (Tzanetakis and Cook, 2002): 1,000 excerpts of 30 s in ten genres, and its fault-filtered split.

The collection holds repetitions, distortions and the same artists everywhere (Sturm, arXiv 1306.1461). The split of
Kereliuk, Sturm and Larsen (arXiv 1507.04761) leaves those out and keeps artists apart: 443, 197 and 290 excerpts.
`jazz.00054` cannot be decoded in the copy that most people have.
"""

import os
import re
from typing import Literal

from slapkit.audio.decode import duration_s
from slapkit.config import require
from slapkit.data.collections.layout import Collection, Layout
from slapkit.data.dataset import AudioTextDataset
from slapkit.errors import DataError

GENRES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")
LISTS = {"train": "train_filtered.txt", "validation": "valid_filtered.txt", "test": "test_filtered.txt"}
LAYOUT = Layout(
    "gtzan",
    "GTZAN",
    "http://marsyas.info/downloads/datasets.html (genres.tar.gz); "
    "https://www.kaggle.com/datasets/andradaolteanu/gtzan-dataset-music-genre-classification (genres_original); "
    "the lists of the fault-filtered split at https://github.com/coreyker/dnn-mgr (gtzan/*_filtered.txt)",
    clues=("genres_original", "genres/blues", "blues/blues.00000.wav", "blues/blues.00000.au"),
    inside=("Data",),
)
_CORRUPT = "jazz.00054"
_PER_GENRE = 100
_ENTRY = re.compile(r"(?:.*/)?([a-z]+)\.(\d{5})(?:\.(?:wav|au|mp3))?$")


def read(
    folder: str | os.PathLike[str], *, splits: Literal["fault-filtered", "none"] = "fault-filtered"
) -> AudioTextDataset:
    """Read GTZAN.

    Args:
        folder: holds `genres_original/` (or `genres/`) with `blues/blues.00000.wav` (or `.au`) and so on, and the lists
            `train_filtered.txt`, `valid_filtered.txt` and `test_filtered.txt`, whose lines are `blues/blues.00029.wav`
            or numbers from 1 to 1,000.
        splits: "none" reads all excerpts without the lists.

    Facts: `genre` and `number` within it. Excerpts that no list names stay, without a split. There are no captions.
    """
    require(splits in ("fault-filtered", "none"), "splits", splits, "'fault-filtered' or 'none'")
    collection = Collection(folder, LAYOUT)
    places = ("genres_original/", "genres/", "")
    place = next((place for place in places if (collection.root / place / GENRES[0]).is_dir()), places[0])
    collection.need(f"{place}{genre}/" for genre in GENRES)
    split_of = _splits(collection) if splits == "fault-filtered" else {}
    for genre in GENRES:
        for number in range(_PER_GENRE):
            name = f"{genre}.{number:05}"
            names = [f"{place}{genre}/{name}{suffix}" for suffix in (".wav", ".au", ".mp3")]
            located = collection.locate(names) if name == _CORRUPT else ""
            if not isinstance(located, str) and not duration_s(located[1]):
                reason = "the file cannot be decoded, as is known of the published one: left out"
                collection.skip(0, names[0], reason)
            else:
                collection.add(0, names, facts={"genre": genre, "number": number}, split=split_of.get(name))
    dataset = collection.dataset()
    if split_of and (free := sum(clip.split is None for clip in dataset)):
        dataset.notes.append(f"{free:,} excerpts are in no list of the fault-filtered split: they have no split")
    return dataset


def _splits(collection: Collection) -> dict[str, str]:
    """Return the split of each excerpt, by its name without suffix, from the lists in the folder or beside it."""
    root = collection.root
    places = (root, root / "gtzan", root / "GTZAN_split", root.parent)
    place = next((p for p in places if all((p / name).is_file() for name in LISTS.values())), None)
    try:
        collection.need(LISTS.values() if place is None else ())
    except DataError as error:
        raise DataError(f"{error}; or read all excerpts without a split: splits='none'") from error
    return collection.split_lists({split: (place or root) / name for split, name in LISTS.items()}, _excerpt)


def _excerpt(line: str) -> str | None:
    """Return the name, such as "blues.00029", of a line of a list."""
    if line.isascii() and line.isdigit() and 1 <= int(line) <= _PER_GENRE * len(GENRES):
        genre, number = divmod(int(line) - 1, _PER_GENRE)
        return f"{GENRES[genre]}.{number:05}"
    match = _ENTRY.match(line.replace("\\", "/"))
    if not match or match[1] not in GENRES or int(match[2]) >= _PER_GENRE:
        return None
    return f"{match[1]}.{match[2]}"
