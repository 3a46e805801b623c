"""The Song Describer Dataset (Manco et al., arXiv 2311.10057): 706 tracks of two minutes, 1,106 captions by listeners.

It is made for evaluation only: all of it is the test split. 746 of the captions, of 546 tracks, were checked by hand:
the "valid" subset.
"""

import os
from typing import Any, Literal

from slapkit.config import require
from slapkit.data.collections.layout import Collection, Layout
from slapkit.data.dataset import AudioTextDataset
from slapkit.data.reader import captions_of

TABLE = "song_describer.csv"
COLUMNS = (
    "caption_id", "track_id", "caption", "is_valid_subset", "familiarity", "artist_id", "album_id", "path", "duration",
)  # fmt: skip
LAYOUT = Layout(
    "song-describer",
    "the Song Describer Dataset",
    "Zenodo, DOI 10.5281/zenodo.10072001 (https://zenodo.org/records/10072001: song_describer.csv and audio.zip)",
    clues=(TABLE,),
    inside=("data",),
    needs=(TABLE, "audio/"),
)


def read(folder: str | os.PathLike[str], *, captions: Literal["all", "valid"] = "all") -> AudioTextDataset:
    """Read the Song Describer Dataset.

    Args:
        folder: holds `song_describer.csv` and `audio/`, in which the path `34/1004034.mp3` of the table is
            `34/1004034.2min.mp3`.
        captions: "valid" keeps those that were checked by hand, and the tracks that have one.

    Facts: `track_id`, `artist_id`, `album_id`, `original_s` (length of the whole track in s), and for each caption in
    order `caption_ids`, `familiarity` and `valid`. The group is the artist.
    """
    require(captions in ("all", "valid"), "captions", captions, "'all' or 'valid'")
    collection = Collection(folder, LAYOUT)
    tracks: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for line, row in collection.table(collection.root / TABLE, COLUMNS).rows:
        if not isinstance(row["path"], str):
            collection.skip(line, row["caption_id"], "the row names no path")
        elif captions == "all" or row["is_valid_subset"] is True:
            tracks.setdefault(row["path"], []).append((line, row))
    for path, rows in tracks.items():
        _add_track(collection, path, rows)
    return collection.dataset()


def _add_track(collection: Collection, path: str, rows: list[tuple[int, dict[str, Any]]]) -> None:
    kept: dict[str, dict[str, Any]] = {}  # cleaned caption -> row
    for line, row in rows:
        for text in captions_of([row["caption"]], line, path, collection.problems):
            if kept.setdefault(text, row) is not row:
                collection.skip(line, row["caption_id"], "the track has the same caption already: left out")
    if not kept:
        return
    line, first = rows[0]
    stem = path.removesuffix(".mp3")
    names = [f"{place}/{stem}{ending}" for place in ("audio", "audio/audio") for ending in (".2min.mp3", ".mp3")]
    facts = {name: first[name] for name in ("track_id", "artist_id", "album_id")} | {"original_s": first["duration"]}
    facts |= {
        "caption_ids": [row["caption_id"] for row in kept.values()],
        "familiarity": [row["familiarity"] for row in kept.values()],
        "valid": [row["is_valid_subset"] is True for row in kept.values()],
    }
    group = f"artist {first['artist_id']}" if first["artist_id"] is not None else None
    collection.add(line, names, captions=list(kept), facts=facts, split="test", group=group)
