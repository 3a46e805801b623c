"""MagnaTagATune (Law et al., ISMIR 2009): 25,863 clips of 29 s with 188 tags that players of a game agreed on.

The common split goes by folder: 0 to b for training, c for validation, d to f for testing. Of the tags, the 50 most
frequent are kept. Both are made here from the tables as they were published.
"""

import os
import re
from collections import Counter
from typing import Any

from slapkit.config import require
from slapkit.data.collections.layout import Collection, Layout
from slapkit.data.dataset import AudioTextDataset
from slapkit.data.tables import Table
from slapkit.errors import DataError

TAGS_TABLE, CLIPS_TABLE = "annotations_final.csv", "clip_info_final.csv"
LAYOUT = Layout(
    "magnatagatune",
    "MagnaTagATune",
    "https://mirg.city.ac.uk/codeapps/the-magnatagatune-dataset (annotations_final.csv, clip_info_final.csv and "
    "mp3.zip.001 to .003)",
    clues=(TAGS_TABLE,),
    needs=(TAGS_TABLE, CLIPS_TABLE),
)
_FACTS = {"title": "title", "artist": "artist", "album": "album", "segmentStart": "start_s", "segmentEnd": "end_s"}
_SPLITS = dict.fromkeys("0123456789ab", "train") | {"c": "validation"} | dict.fromkeys("def", "test")
_PIECE = re.compile(r"-\d+-\d+\.mp3$")  # the seconds from and to, at the end of a clip's name


def read(
    folder: str | os.PathLike[str], *, top: int | None = 50, drop_untagged: bool = False, progress: bool = True
) -> AudioTextDataset:
    """Read MagnaTagATune.

    Args:
        folder: holds `annotations_final.csv`, `clip_info_final.csv` and the audio files in `0/` to `f/`, there or in
            `mp3/`.
        top: how many of the most frequent tags to keep, counted over all clips; equally frequent ones in the table's
            order. None keeps all.
        drop_untagged: leave out clips that have none of the tags kept, as some papers do.

    Facts: `tags`, `title`, `artist`, `album`, `clip_id`, `start_s`, `end_s`. The group is the artist, or where none is
    known the piece. There are no captions.
    """
    require(top is None or (isinstance(top, int) and not isinstance(top, bool) and top > 0), "top", top, "1 or more")
    collection = Collection(folder, LAYOUT, progress=progress)
    root = collection.root
    places = [place for place in ("", "mp3/", "audio/", "mp3s/") if (root / f"{place}0").is_dir()]
    if not places:
        collection.need(["0/"])
    tagged = collection.table(root / TAGS_TABLE, ["clip_id", "mp3_path"])
    about = {row["clip_id"]: row for _, row in collection.table(root / CLIPS_TABLE, [*_FACTS, "clip_id"]).rows}
    tags_of, vocabulary = _tags(tagged, top)
    untagged = 0
    for (line, row), tags in collection.each(list(zip(tagged.rows, tags_of, strict=True))):
        path = row["mp3_path"]
        if not isinstance(path, str) or path[1:2] not in ("/", "\\") or path[0] not in _SPLITS:
            collection.skip(line, path, "mp3_path is not in one of the folders 0 to f")
            continue
        untagged += not tags
        if tags or not drop_untagged:
            known: dict[str, Any] = about.get(row["clip_id"], {})
            facts = {"tags": tags, "clip_id": row["clip_id"]}
            facts |= {ours: known[theirs] for theirs, ours in _FACTS.items() if known.get(theirs) is not None}
            group = f"artist {facts['artist']}" if facts.get("artist") else _PIECE.sub("", path)
            names = [place + path for place in places]
            collection.add(line, names, facts=facts, split=_SPLITS[path[0]], group=group)
    done = "left out" if drop_untagged else "kept"
    collection.notes.append(f"{len(vocabulary)} tags; {untagged:,} clips have none of them and are {done}")
    return collection.dataset()


def _tags(table: Table, top: int | None) -> tuple[list[list[str]], list[str]]:
    """Return the tags of each row, and all that are kept, most frequent first."""
    columns = [name for name in table.columns if name not in ("clip_id", "mp3_path")]
    if not columns:
        raise DataError(f"{TAGS_TABLE} has no columns of tags: see {LAYOUT.published}")
    for name in columns:
        if other := {row[name] for _, row in table.rows} - {0, 1}:
            raise DataError(f"{TAGS_TABLE}: the column {name!r} holds {other.pop()!r} where 0 or 1 is needed")
    tags_of = [[name for name in columns if row[name]] for _, row in table.rows]
    counts = Counter(dict.fromkeys(columns, 0))
    for tags in tags_of:
        counts.update(tags)
    vocabulary = [name for name, count in counts.most_common(top) if count]  # stable: ties stay in the table's order
    kept = set(vocabulary)
    return [[name for name in tags if name in kept] for tags in tags_of], vocabulary
