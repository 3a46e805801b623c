"""Captions for music that has none, out of what a tagger heard: a model's words in the registers that people use.

The table says so: its column `source` names the model, and `caption_words` with `caption_confidence` what each caption
is made of. What people wrote stays as it is.
"""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slapkit._io import atomic_write_json_lines
from slapkit.config import require
from slapkit.data.dataset import AudioTextDataset, Clip
from slapkit.data.home import Home
from slapkit.data.reader import CAPTION_COLUMNS, find_tables, group_of, read
from slapkit.data.scan import Failure, tags
from slapkit.data.splits import make_splits
from slapkit.data.tables import read_table
from slapkit.errors import DataError
from slapkit.hub.tagger import Heard, hear
from slapkit.hub.words import NO_VOICE, Words

SOURCE = "musicnn"
_SENTENCES = (
    "This is {music}{players}{alone}.", "A recording of {music}{players}{alone}.", "We hear {music}{players}{alone}.",
    "{music}{players}{alone}.", "The track is {music}{players}{alone}.",
)  # fmt: skip
_WRITTEN = {"indian": "Indian", "rnb": "R&B"}
_PLAYERS = {"voice": "vocals", "female voice": "a female voice", "male voice": "a male voice", "choir": "a choir"}
_LEAST_GROUPS = 10  # artists or albums: fewer cannot be divided into splits


@dataclass(frozen=True)
class Captioned:
    """What became of a folder: its table, how many clips a model described, how many rows stayed, what was left out."""

    folder: Path
    table: Path
    described: int
    kept: int
    note: str
    failures: list[Failure]


def caption_folder(
    folder: str | Path, *, out: str | Path | None = None, cache_dir: str | Path | None = None, seed: int = 0,
    progress: bool = True,
) -> Captioned:  # fmt: skip
    """Describe the sound files of a folder that nobody described, in a table that `slapkit.data.read` reads.

    Rows of a table that is there are kept, those with captions of people unchanged. Where no row has a split, all get
    one (`make_splits`); else clips without one are for training.

    Args:
        folder: searched in any depth.
        out: the table; default: `metadata.jsonl` in the folder. Another one is read by `read(folder, table=out)`.
        cache_dir: see `slapkit.hub.tagger.hear`.
        seed: of the words and the splits.

    Raises:
        DataError: `out` would replace a table with lines that cannot be read, or a file that is no table of sounds.
        LibraryError, ConfigError, StorageError: see `hear`; a seed below 0.
    """
    require(seed >= 0, "seed", seed, "0 or more")
    heard = hear(folder, cache_dir=cache_dir, progress=progress)
    out = heard.folder / "metadata.jsonl" if out is None else Path(out)
    rows, column = _rows_of(heard.folder, out)
    try:
        people = {clip.id for clip in read(heard.folder) if clip.facts.get("source") != SOURCE} if rows else set()
    except DataError:  # no row has a caption
        people = set()
    home = Home(heard.folder)
    places = {source.file: home.locate(source.file) for source, *_ in heard.tracks}
    failures = [Failure(file, place) for file, place in places.items() if isinstance(place, str)]
    ours = {place[0] for place in places.values() if isinstance(place, tuple)} - people
    kept = [(id, row) for id, row in rows if id not in ours]
    known = {id: row for id, row in reversed(rows) if id in ours}
    described = [(id, row) for id, row in _described(heard, known, column, seed) if id in ours]
    _give_splits(heard.folder, kept, described, seed)
    atomic_write_json_lines(out, [row for _, row in kept + described])
    return Captioned(heard.folder, out, len(described), len(kept), heard.note(), [*heard.failures, *failures])


def _rows_of(folder: Path, out: Path) -> tuple[list[tuple[str, dict[str, Any]]], str]:
    """Return the rows of the folder's table, each with the id of its file ("" where there is none), and the name of
    the column of captions."""
    home, tables = Home(folder), find_tables(folder, [])
    own = tables[0][0] if tables else None
    if own and own.parent != folder:
        raise DataError(f"{folder} has a table in each folder of a split: caption those folders one by one")
    if out.exists() and (own is None or out.resolve() != own.resolve()):
        raise DataError(f"{out} is there already, and is not the table of {folder}: move it, or name another")
    if own is None:
        return [], CAPTION_COLUMNS[0]
    content = read_table(own)
    if content.problems and out.exists():
        problem = content.problems[0]
        raise DataError(f"line {problem.row} of {own} would be lost ({problem.reason}): mend it, or name another table")
    located = ((home.locate(row.get("file_name")), row) for _, row in content.rows)
    rows = [(place[0] if isinstance(place, tuple) else "", row) for place, row in located]
    return rows, next((name for name in CAPTION_COLUMNS if name in content.columns), CAPTION_COLUMNS[0])


def _described(
    heard: Heard, known: Mapping[str, dict[str, Any]], column: str, seed: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield id and row of each file: what was known of it, its tags, and captions."""
    for source, sha, _, words in heard.tracks:
        said = [_spoken(kind, word) for kind, found in words.facts.items() for word in found if word != "medium"]
        shares = [words.percentiles[word] for found in words.facts.values() for word in found if word != "medium"]
        captions = write(words, np.random.default_rng([seed, int(sha[:8], 16)]))
        id = unicodedata.normalize("NFC", source.file)
        row = tags(source.path) | known.get(id, {})
        if row.get("source") not in (None, SOURCE):
            row["source (table)"] = row["source"]
        row |= {"file_name": source.file, column: list(captions), "caption_registers": [*captions.values()]}
        yield id, row | {"caption_words": said, "caption_confidence": shares, "source": SOURCE}


def write(words: Words, rng: np.random.Generator) -> dict[str, str]:
    """Return distinct captions with their registers: two sentences, one terse, one of tags, and up to two partial."""
    facts = {kind: [word for word in found if word != "medium"] for kind, found in words.facts.items()}
    mute = facts["voice"] == [NO_VOICE]
    adjectives = [
        _WRITTEN.get(facts[kind][0], facts[kind][0]) for kind in ("tempo", "mood", "sound", "genre") if facts.get(kind)
    ]
    players = facts.get("instruments", []) + [_PLAYERS[word] for word in facts["voice"] if word != NO_VOICE]
    parts = {
        "music": " ".join([*(adjectives or ["instrumental"] * mute), "music"]),
        "players": f" with {_listed(players)}" if players else "",
        "alone": ", without singing" if mute else "",
    }
    chosen = [_SENTENCES[i].format(**parts) for i in rng.permutation(len(_SENTENCES))[:2]]
    captions = {text[0].upper() + text[1:]: "sentence" for text in chosen}
    captions[f"{parts['music']}{parts['players']}"] = "terse"
    spoken = [_spoken(kind, word) for kind, found in facts.items() for word in found]
    captions.setdefault(", ".join(spoken[i] for i in rng.permutation(len(spoken))), "tags")
    short = [f"{word} music" for word in adjectives] + [f"with {player}" for player in players]
    short += ["instrumental music"] * mute
    for i in rng.permutation(len(short))[:2]:
        captions.setdefault(short[i], "partial")
    return captions


def _spoken(kind: str, word: str) -> str:
    return f"no {kind}" if word == NO_VOICE else _WRITTEN.get(word, word)


def _listed(names: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def _give_splits(
    folder: Path, kept: Sequence[tuple[str, dict[str, Any]]], described: Sequence[tuple[str, dict[str, Any]]], seed: int
) -> None:
    """Give rows their splits, in place: new ones where no row has any, else "train" where a described clip has none."""
    if any(row.get("split") for _, row in [*kept, *described]):
        splits = {id: row.get("split") or "train" for id, row in described}
    else:
        for name in ("artist", "album"):
            if len({row.get(name) for _, row in described} - {None}) >= _LEAST_GROUPS:
                for _, row in described:
                    if not group_of(row, "") and row.get(name):
                        row["group"] = f"{name} {row[name]}"
        groups = {id: group_of(row, id) for id, row in [*described, *kept] if id}
        home = Home(folder)
        clips = [Clip(id, home.locate(id)[1], (), group=group) for id, group in groups.items()]
        try:
            splits = {clip.id: clip.split for clip in make_splits(AudioTextDataset(folder, clips), seed=seed)}
        except DataError:  # too few clips to divide
            splits = dict.fromkeys(groups, "train")
    for id, row in [*kept, *described]:
        if id in splits:
            row["split"] = splits[id]
