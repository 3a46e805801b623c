"""MusicCaps (Agostinelli et al., arXiv 2301.11325): 5,521 clips of 10 s with a caption each, by musicians.

Only the table is published; everybody fetches the sounds alone, and names them in one of a few ways. Splits are those
of AudioSet, as most papers use them: `is_audioset_eval` is the test split, all others are training.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from slapkit.data import AudioTextDataset
from slapkit.data.collections.layout import SOUNDS, Layout, Taking, need_files, open_folder
from slapkit.errors import DataError

TABLE = "musiccaps-public.csv"
COLUMNS = (
    "ytid", "start_s", "end_s", "audioset_positive_labels", "aspect_list", "caption", "author_id",
    "is_balanced_subset", "is_audioset_eval",
)  # fmt: skip
LAYOUT = Layout(
    "musiccaps",
    "MusicCaps",
    "https://huggingface.co/datasets/google/MusicCaps (the table; the sounds are fetched from YouTube by the user)",
)
_WHOLE_S = 3.0  # a sound that lasts this much longer than its clip was not cut: the caption is about a part of it
_ASPECTS_LIMIT = 10_000  # characters of a list of aspects that are parsed


def read(folder: str | os.PathLike[str], *, progress: bool = True) -> AudioTextDataset:
    """Read MusicCaps.

    Args:
        folder: holds `musiccaps-public.csv` and the sounds, in any depth. Those of a clip from `start` to `end` s may
            be called `ytid`, `[ytid]-[start-end]`, `ytid_start_end`, `ytid-start-end` or `ytid_start` (with or
            without decimals, or in ms), with "Y" before or not, and any suffix of a sound.
        progress: show a progress bar.

    Facts: `tags` (the aspects), `audioset_labels`, `ytid`, `start_s`, `end_s`, `author_id`, `is_balanced_subset`. The
    group is the video. Clips without a sound are listed as problems.

    Raises:
        DataError: the table or a column is missing, or no sound is there.
    """
    folder = open_folder(folder, LAYOUT)
    need_files(folder, LAYOUT, [TABLE])
    taking = Taking(folder, LAYOUT, progress=progress)
    table = taking.table(folder / TABLE, COLUMNS)
    sounds = _sounds(folder)
    if not sounds:
        raise DataError(
            f"{folder} holds {TABLE} but no sound files ({', '.join(SOUNDS)}): fetch the clips, named such as "
            "ytid.wav or [ytid]-[start-end].wav"
        )
    lost = 0
    for number, row in taking.each(table.rows):
        ytid, start, end = row["ytid"], row["start_s"], row["end_s"]
        if not isinstance(ytid, str) or not _is_number(start) or not _is_number(end) or not end > start >= 0:
            taking.skip(number, ytid, "the row has no ytid, or no start_s and end_s that follow each other")
            continue
        names = [name for stem in _stems(ytid, start, end) for name in sounds.get(stem, ())]
        located = taking.locate(names)
        if not names:
            lost += 1
            taking.skip(number, ytid, "no sound file of the clip: not fetched, or withdrawn from YouTube")
        elif isinstance(located, str):
            taking.skip(number, names[0], located)
        elif (length := _length_s(located[1])) is not None and length > end - start + _WHOLE_S:
            reason = "the sound is longer than the clip: cut it to start_s .. end_s, which the caption is about"
            taking.skip(number, f"{names[0]} ({length:.0f} s)", reason)
        else:
            _take(taking, number, row, located[0])
    if lost:
        taking.notes.append(f"{lost:,} of the {len(table.rows):,} clips in {TABLE} have no sound file here")
    return taking.dataset()


def _take(taking: Taking, number: int, row: dict[str, Any], name: str) -> None:
    labels = row["audioset_positive_labels"]
    tags = _aspects(row["aspect_list"])
    if tags is None:
        taking.skip(number, row["ytid"], "aspect_list is not a list of texts: left empty")
    facts = {name: row[name] for name in ("ytid", "start_s", "end_s", "author_id", "is_balanced_subset")}
    facts |= {"tags": tags or [], "audioset_labels": labels.split(",") if isinstance(labels, str) else []}
    split = {True: "test", False: "train"}.get(row["is_audioset_eval"])
    if split is None:
        taking.skip(number, row["ytid"], "is_audioset_eval is neither True nor False: the clip is in no split")
    taking.take(number, name, captions=[row["caption"]], facts=facts, split=split, group=row["ytid"])


def _sounds(folder: Path) -> dict[str, list[str]]:
    """Return the sound files under a folder, names relative to it, by their stems; linked folders are not entered."""
    found: dict[str, list[str]] = {}
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            stem, suffix = os.path.splitext(name)
            if suffix.lower() in SOUNDS and not name.startswith("._"):
                found.setdefault(stem, []).append(os.path.relpath(os.path.join(place, name), folder))
    return found


def _stems(ytid: str, start: float, end: float) -> Iterator[str]:
    """Yield the names that the sound of a clip may have, those that say its place first."""
    numbers = [(f"{start:.0f}", f"{end:.0f}"), (f"{start:.1f}", f"{end:.1f}"), (f"{start:.2f}", f"{end:.2f}")]
    numbers += [(f"{1000 * start:.0f}", f"{1000 * end:.0f}")]
    for id in (ytid, f"Y{ytid}"):
        for first, last in numbers:
            yield f"[{id}]-[{first}-{last}]"
            yield f"{id}_{first}_{last}"
            yield f"{id}-{first}-{last}"
            yield f"{id}_{first}-{last}"
        yield from (f"{id}_{first}" for first, _ in numbers)
        yield id


def _aspects(text: Any) -> list[str] | None:
    """Return the texts of a list written as Python writes it, or None where it is something else."""
    if not isinstance(text, str) or len(text) > _ASPECTS_LIMIT:
        return None
    try:
        value = ast.literal_eval(text)  # literals only: nothing is evaluated
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return value if isinstance(value, list) and all(isinstance(item, str) for item in value) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _length_s(path: Path) -> float | None:
    """Return how long a sound says it lasts, in s; None where it cannot be opened, which decoding will tell."""
    import soundfile

    try:
        return soundfile.info(path).duration
    except (OSError, ValueError, RuntimeError):
        return None
