"""GTZAN (Tzanetakis and Cook, 2002): 1,000 excerpts of 30 s in ten genres, and its fault-filtered split.

The collection holds repetitions, distortions and the same artists everywhere (Sturm, arXiv 1306.1461). The split of
Kereliuk, Sturm and Larsen (arXiv 1507.04761) leaves those out and keeps artists apart: 443, 197 and 290 excerpts.
`jazz.00054` cannot be decoded in the copy that most people have.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal

from slapkit.config import require
from slapkit.data import AudioTextDataset
from slapkit.data.collections.layout import Layout, Taking, need_files, open_folder
from slapkit.errors import DataError

GENRES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")
LISTS = {"train": "train_filtered.txt", "validation": "valid_filtered.txt", "test": "test_filtered.txt"}
LAYOUT = Layout(
    "gtzan",
    "GTZAN",
    "http://marsyas.info/downloads/datasets.html (genres.tar.gz); "
    "https://www.kaggle.com/datasets/andradaolteanu/gtzan-dataset-music-genre-classification (genres_original); "
    "the lists of the fault-filtered split at https://github.com/coreyker/dnn-mgr (gtzan/*_filtered.txt)",
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

    Raises:
        ConfigError: `splits` is neither of the two.
        DataError: a genre or a list is missing, a list names something else, or a list repeats another's excerpt.
    """
    require(splits in ("fault-filtered", "none"), "splits", splits, "'fault-filtered' or 'none'")
    folder = open_folder(folder, LAYOUT, inside=["Data"])
    home = next((name for name in ("genres_original", "genres") if (folder / name).is_dir()), None)
    if home is None and not (folder / GENRES[0]).is_dir():
        need_files(folder, LAYOUT, ["genres_original/"])
    place = "" if home is None else f"{home}/"
    need_files(folder, LAYOUT, [f"{place}{genre}/" for genre in GENRES])
    taking = Taking(folder, LAYOUT)
    split_of = _splits(_lists(folder), taking) if splits == "fault-filtered" else {}
    for genre in GENRES:
        for number in range(_PER_GENRE):
            name = f"{genre}.{number:05}"
            names = [f"{place}{genre}/{name}{suffix}" for suffix in (".wav", ".au", ".mp3")]
            if name == _CORRUPT and _is_corrupt(taking.locate(names)):
                taking.skip(0, names[0], "the file cannot be decoded, as is known of the published one: left out")
                continue
            facts = {"genre": genre, "number": number}
            taking.take(0, names, facts=facts, split=split_of.get(name))
    dataset = taking.dataset()
    if split_of and (free := sum(clip.split is None for clip in dataset)):
        dataset.notes.append(f"{free:,} excerpts are in no list of the fault-filtered split: they keep no split")
    return dataset


def _lists(folder: Path) -> dict[str, Path]:
    """Return the lists of the split, which lie in the folder or beside it."""
    for place in (folder, folder / "gtzan", folder / "GTZAN_split", folder.parent):
        if all((place / name).is_file() for name in LISTS.values()):
            return {split: place / name for split, name in LISTS.items()}
    try:
        need_files(folder, LAYOUT, LISTS.values())
    except DataError as error:
        raise DataError(f"{error}; or read all excerpts without a split: splits='none'") from error
    raise AssertionError("unreachable")


def _splits(lists: dict[str, Path], taking: Taking) -> dict[str, str]:
    """Return the split of each excerpt, by its name without suffix."""
    split_of: dict[str, str] = {}
    for split, path in lists.items():
        try:
            lines = path.read_text("utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path} cannot be read as a list of excerpts: {error}") from error
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            name = _excerpt(line.strip().replace("\\", "/"))
            if name is None:
                raise DataError(f"{path}, line {number}: {line[:80]!r} is no excerpt such as blues/blues.00029.wav")
            if split_of.setdefault(name, split) != split:
                raise DataError(f"{path}, line {number}: {name} is in {lists[split_of[name]].name} already")
    if not split_of:
        raise DataError(f"the lists {', '.join(map(str, lists.values()))} are empty")
    return split_of


def _excerpt(line: str) -> str | None:
    """Return the name, such as "blues.00029", of a line of a list."""
    if line.isascii() and line.isdigit() and 1 <= int(line) <= _PER_GENRE * len(GENRES):
        genre, number = divmod(int(line) - 1, _PER_GENRE)
        return f"{GENRES[genre]}.{number:05}"
    match = _ENTRY.match(line)
    if not match or match[1] not in GENRES or int(match[2]) >= _PER_GENRE:
        return None
    return f"{match[1]}.{match[2]}"


def _is_corrupt(located: tuple[str, Path] | str) -> bool:
    """Say whether a sound that is there cannot be opened."""
    import soundfile

    if isinstance(located, str):
        return False
    try:
        return soundfile.info(located[1]).frames == 0
    except (OSError, ValueError, RuntimeError):
        return True
