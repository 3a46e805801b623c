"""MusicCaps (Agostinelli et al., arXiv 2301.11325): 5,521 clips of 10 s with a caption each, by musicians.

Only the table is published. Everybody fetches the audio, and names it in one of a few ways. Splits are those of
AudioSet, as most papers use them: `is_audioset_eval` is the test split, all others are training.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from slapkit.audio.decode import AUDIO_SUFFIXES, duration_s
from slapkit.data.cells import parse_list
from slapkit.data.collections.layout import Collection, Layout
from slapkit.data.dataset import AudioTextDataset
from slapkit.errors import DataError

TABLE = "musiccaps-public.csv"
COLUMNS = (
    "ytid", "start_s", "end_s", "audioset_positive_labels", "aspect_list", "caption", "author_id",
    "is_balanced_subset", "is_audioset_eval",
)  # fmt: skip
LAYOUT = Layout(
    "musiccaps",
    "MusicCaps",
    "https://huggingface.co/datasets/google/MusicCaps (the table; the audio is fetched from YouTube by the user)",
    clues=(TABLE,),
    needs=(TABLE,),
)
_WHOLE_S = 3.0  # an audio file that lasts this much longer than its clip was not cut: the caption is about a part of it
_ASPECTS_LIMIT = 10_000  # characters of a list of aspects that are parsed


def read(folder: str | os.PathLike[str], *, progress: bool = True) -> AudioTextDataset:
    """Read MusicCaps.

    Args:
        folder: holds `musiccaps-public.csv` and the audio files, in any depth. Those of a clip from `start` to `end` s
            may be called `ytid`, `[ytid]-[start-end]`, `ytid_start_end`, `ytid-start-end` or `ytid_start` (with or
            without decimals, or in ms), with "Y" before or not, and any suffix of audio.

    Facts: `tags` (the aspects), `audioset_labels`, `ytid`, `start_s`, `end_s`, `author_id`, `is_balanced_subset`. The
    group is the video. Clips without an audio file are listed as problems.
    """
    collection = Collection(folder, LAYOUT, progress=progress)
    table = collection.table(collection.root / TABLE, COLUMNS)
    files: dict[str, list[str]] = {}  # names by their stems, those of one folder after another
    for name in sorted((name for name, _ in collection.home.sounds()), key=os.path.split):
        files.setdefault(Path(name).stem, []).append(name)
    if not files:
        suffixes = ", ".join(AUDIO_SUFFIXES)
        raise DataError(f"{folder} holds no audio files ({suffixes}): name them ytid.wav or [ytid]-[start-end].wav")
    lost = 0
    for line, row in collection.each(table.rows):
        ytid, start, end = row["ytid"], row["start_s"], row["end_s"]
        if not isinstance(ytid, str) or not {type(start), type(end)} <= {int, float} or not end > start >= 0:
            collection.skip(line, ytid, "the row has no ytid, or no start_s and end_s that follow each other")
            continue
        names = [name for stem in _stems(ytid, start, end) for name in files.get(stem, ())]
        located = collection.locate(names)
        if not names:
            lost += 1
            collection.skip(line, ytid, "no audio file of the clip: not fetched, or withdrawn from YouTube")
        elif isinstance(located, str):
            collection.skip(line, names[0], located)
        elif duration_s(located[1]) > end - start + _WHOLE_S:
            reason = "the audio is longer than the clip: cut it to start_s .. end_s, which the caption is about"
            collection.skip(line, names[0], reason)
        else:
            _add(collection, line, row, located[0])
    if lost:
        collection.notes.append(f"{lost:,} of the {len(table.rows):,} clips in {TABLE} have no audio file here")
    return collection.dataset()


def _add(collection: Collection, line: int, row: dict[str, Any], name: str) -> None:
    labels, tags = row["audioset_positive_labels"], _aspects(row["aspect_list"])
    if tags is None:
        collection.skip(line, row["ytid"], "aspect_list is not a list of texts: left empty")
    facts = {name: row[name] for name in ("ytid", "start_s", "end_s", "author_id", "is_balanced_subset")}
    facts |= {"tags": tags or [], "audioset_labels": labels.split(",") if isinstance(labels, str) else []}
    split = {True: "test", False: "train"}.get(row["is_audioset_eval"])
    if split is None:
        collection.skip(line, row["ytid"], "is_audioset_eval is neither True nor False: the clip is in no split")
    collection.add(line, [name], captions=[row["caption"]], facts=facts, split=split, group=row["ytid"])


def _stems(ytid: str, start: float, end: float) -> Iterator[str]:
    """Yield the names that the audio of a clip may have, those that give its times first."""
    times = [(f"{start:.{digits}f}", f"{end:.{digits}f}") for digits in (0, 1, 2)]
    times.append((f"{1000 * start:.0f}", f"{1000 * end:.0f}"))
    for id in (ytid, f"Y{ytid}"):
        for first, last in times:
            yield from (f"[{id}]-[{first}-{last}]", f"{id}_{first}_{last}", f"{id}-{first}-{last}")
            yield f"{id}_{first}-{last}"
        yield from (f"{id}_{first}" for first, _ in times)
        yield id


def _aspects(text: Any) -> list[str] | None:
    """Return the texts of a list written as Python writes it, or None where it is something else."""
    if not isinstance(text, str) or len(text) > _ASPECTS_LIMIT:
        return None
    value = parse_list(text)
    return value if value is not None and all(isinstance(item, str) for item in value) else None
