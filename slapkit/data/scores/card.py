"""The data card of a corpus: where it comes from, on what terms, how it was made, and what is in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from slapkit._io import atomic_write_text

_SPLITS = ("train", "validation", "test")
_CARD = """# {name}: {clips:,} clips of scores rendered to audio, with captions

{clips:,} clips of {clip_s:g} s with {captions:,} captions, from {used:,} of {works:,} works in
{groups:,} groups. Made by `slapkit corpus` on this machine; seed {seed}, SoundFont `{soundfont}`.

## Source and terms
The scores come with the music21 package. Their collection is redistributed by permission of the encoders; some
encodings may not be used commercially (the Essen folk songs are given for non-commercial use, the Palestrina masses
refer to a licensing agreement), and others carry terms of their own: see `license.txt` and the headers of the files
in the package. The music itself is out of copyright in the United States, to the best of the collection's
knowledge. For this reason the audio is rendered on the user's machine and nothing of it is distributed: **treat this
folder as for research, and do not pass it on** without looking at the terms of the works in it. The timbres are
those of the SoundFont, which has its own licence.

## How it is made
Verovio converts each work to notes ({failed} of {asked:,} could not be converted and were left out). A seeded arranger
draws an excerpt, a tempo, a transposition, one to three General MIDI instruments inside their playable ranges,
sometimes drums and bass, and plays with slightly human timing and dynamics. The rendering is mono, {rate} Hz, at -20 dB
RMS where peaks allow; it is checked (finite, audible, not clipped) and stored as FLAC. Draws that failed a check and
were drawn anew: {rejected}. The facts are those of the arrangement, and so true of the audio; a phrase bank writes the
captions from them. They are not by people, and the test split uses sentence frames and words that training never shows.

## Splits
By group: works with the same melody (in any key, under any name), movements of one quartet, mass or motet stay
together.

{splits}

## Layout
`metadata.jsonl` has one line for each clip: {columns}. It is the AudioFolder convention:
`datasets.load_dataset("audiofolder", data_dir="{name}")` reads it (that library asks for `torchcodec`; it uses the
copies of the table beside the files of each split). `corpus.json` holds settings, versions, counts and everything that
failed.

## What is in it
{styles}
"""


def write_card(folder: Path, info: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write `README.md` into a corpus folder."""
    parts = {split: [row for row in rows if row["split"] == split] for split in _SPLITS}
    splits = []
    for split, part in parts.items():
        works, groups = (len({row[key] for row in part}) for key in ("work", "group"))
        splits.append((split, len(part), works, groups, sum(len(row["captions"]) for row in part)))
    styles = [
        (style, count, *(sum(row["style"] == style for row in part) for part in parts.values()))
        for style, count in Counter(row["style"] for row in rows).most_common()
    ]
    values = {name: info[name] for name in ("name", "clips", "works", "groups", "soundfont")}
    text = _CARD.format(
        **values,
        captions=sum(len(row["captions"]) for row in rows),
        clip_s=info["identity"]["clip_s"],
        rate=info["identity"]["sample_rate"],
        seed=info["identity"]["seed"],
        used=len({row["work"] for row in rows}),
        asked=info["works"] + len(info["failed_works"]),
        failed=len(info["failed_works"]),
        rejected=", ".join(f"{reason} {count}" for reason, count in info["rejected_draws"].items()) or "none",
        columns=", ".join(f"`{name}`" for name in rows[0]),
        splits=_table(("split", "clips", "works", "groups", "captions"), splits),
        styles=_table(("style", "clips", *_SPLITS), styles),
    )
    atomic_write_text(folder / "README.md", text)


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    cells = [head, ["---"] * len(head), *([f"{v:,}" if isinstance(v, int) else v for v in row] for row in rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)
