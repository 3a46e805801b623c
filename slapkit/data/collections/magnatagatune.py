"""MagnaTagATune (Law et al., ISMIR 2009): 25,863 clips of 29 s with 188 tags that players of a game agreed on.

The split everybody uses goes by folder: 0 to b for training, c for validation, d to f for testing; and of the tags
the 50 most frequent are kept. Both are reproduced here from the tables as they were published.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from typing import Any

from slapkit.config import require
from slapkit.data import AudioTextDataset
from slapkit.data.collections.layout import Layout, Taking, need_files, open_folder
from slapkit.data.tables import Table
from slapkit.errors import DataError

TAGS_TABLE, CLIPS_TABLE = "annotations_final.csv", "clip_info_final.csv"
LAYOUT = Layout(
    "magnatagatune",
    "MagnaTagATune",
    "https://mirg.city.ac.uk/codeapps/the-magnatagatune-dataset (annotations_final.csv, clip_info_final.csv and "
    "mp3.zip.001 to .003)",
)
# Spellings, numbers and words of one thing, merged under the first where asked for: a choice made here, none of theirs.
SYNONYMS = (
    ("no vocals", "no vocal", "no voice", "no voices", "no singing", "no singer"),
    ("vocals", "vocal", "voice", "voices", "singing", "singer"),
    ("female vocals", "female vocal", "female voice", "female singer", "female singing", "woman singing", "woman",
     "women", "female"),
    ("male vocals", "male vocal", "male voice", "male singer", "man singing", "man", "men", "male"),
    ("classical", "classic", "clasical"), ("beats", "beat"), ("no beat", "no beats"), ("drums", "drum"),
    ("no drums", "no drum"), ("strings", "string"), ("harpsichord", "harpsicord"), ("choir", "choral"),
    ("electronic", "electronica", "electro"), ("synthesizer", "synth"), ("flute", "flutes"), ("violin", "violins"),
    ("horn", "horns"), ("orchestra", "orchestral"), ("indian", "india"), ("jazz", "jazzy"), ("fast", "quick"),
)  # fmt: skip
_PIECE = re.compile(r"-\d+-\d+\.mp3$")  # the seconds from and to, at the end of a clip's name


def read(
    folder: str | os.PathLike[str],
    *,
    top: int | None = 50,
    merge_synonyms: bool = False,
    drop_untagged: bool = False,
    progress: bool = True,
) -> AudioTextDataset:
    """Read MagnaTagATune.

    Args:
        folder: holds `annotations_final.csv`, `clip_info_final.csv` and the sounds in `0/` to `f/`, there or in `mp3/`.
        top: how many of the most frequent tags to keep, counted over all clips; equally frequent ones in the table's
            order. None keeps all.
        merge_synonyms: take tags of `SYNONYMS` as one before counting. The common top 50 is without.
        drop_untagged: leave out clips that have none of the tags kept, as some papers do.
        progress: show a progress bar.

    Facts: `tags`, `title`, `artist`, `album`, `clip_id`, `start_s`, `end_s`. The group is the artist, or where none is
    known the piece. There are no captions.

    Raises:
        ConfigError: `top` is out of range.
        DataError: a file or a column is missing, or no sound is there.
    """
    require(top is None or (isinstance(top, int) and not isinstance(top, bool) and top > 0), "top", top, "1 or more")
    folder = open_folder(folder, LAYOUT)
    need_files(folder, LAYOUT, [TAGS_TABLE, CLIPS_TABLE])
    places = [place for place in ("", "mp3/", "audio/", "mp3s/") if (folder / f"{place}0").is_dir()]
    if not places:
        need_files(folder, LAYOUT, ["0/"])
    taking = Taking(folder, LAYOUT, progress=progress)
    tagged = taking.table(folder / TAGS_TABLE, ["clip_id", "mp3_path"])
    wanted = ["clip_id", "title", "artist", "album", "segmentStart", "segmentEnd", "mp3_path"]
    known = {row["clip_id"]: row for _, row in taking.table(folder / CLIPS_TABLE, wanted).rows}
    tags_of, vocabulary = _tags(tagged, top, merge_synonyms)
    untagged = 0
    for (number, row), tags in taking.each(list(zip(tagged.rows, tags_of))):
        path, split = row["mp3_path"], _split(row["mp3_path"])
        if split is None:
            taking.skip(number, path, "mp3_path is not in one of the folders 0 to f")
            continue
        untagged += not tags
        if tags or not drop_untagged:
            facts = {"tags": tags, "clip_id": row["clip_id"]} | _about(known.get(row["clip_id"], {}))
            group = f"artist {facts['artist']}" if facts.get("artist") else _PIECE.sub("", path)
            taking.take(number, [place + path for place in places], facts=facts, split=split, group=group)
    done = "left out" if drop_untagged else "kept"
    taking.notes.append(f"{len(vocabulary)} tags; {untagged:,} clips have none of them and are {done}")
    return taking.dataset()


def _about(row: dict[str, Any]) -> dict[str, Any]:
    names = {"title": "title", "artist": "artist", "album": "album", "segmentStart": "start_s", "segmentEnd": "end_s"}
    return {ours: row[theirs] for theirs, ours in names.items() if row.get(theirs) is not None}


def _split(path: Any) -> str | None:
    """Return the split of a clip by its folder."""
    if not isinstance(path, str) or len(path) < 3 or path[1] not in "/\\" or path[0] not in "0123456789abcdef":
        return None
    return "train" if path[0] <= "b" else "validation" if path[0] == "c" else "test"


def _tags(table: Table, top: int | None, merge: bool) -> tuple[list[list[str]], list[str]]:
    """Return the tags of each row, and all that are kept, most frequent first."""
    columns = [name for name in table.columns if name not in ("clip_id", "mp3_path")]
    if not columns:
        raise DataError(
            f"{TAGS_TABLE} has no columns of tags (found: {', '.join(table.columns)}): see {LAYOUT.published}"
        )
    name_of = {name: name for name in columns}
    if merge:
        name_of |= {name: names[0] for names in SYNONYMS for name in names if name in name_of}
    for name in columns:
        if other := {row[name] for _, row in table.rows} - {0, 1}:
            raise DataError(f"{TAGS_TABLE}: the column {name!r} holds {other.pop()!r} where 0 or 1 is needed")
    tags_of = [list(dict.fromkeys(name_of[name] for name in columns if row[name])) for _, row in table.rows]
    counts = Counter({name: 0 for name in name_of.values()})
    for tags in tags_of:
        counts.update(tags)
    vocabulary = [name for name, count in counts.most_common(top) if count]  # stable: ties stay in the table's order
    kept = set(vocabulary)
    return [[name for name in tags if name in kept] for tags in tags_of], vocabulary
