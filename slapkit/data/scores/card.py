"""The data card of a corpus: where it comes from, on what terms, how it was made, and what is in it."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from slapkit._io import atomic_write_bytes, atomic_write_text

_SPLITS = ("train", "validation", "test")
_AUDIO = "#3366AA"  # the colour of audio in all figures
_ENSEMBLES = {1: "solo", 2: "duo", 3: "trio"}

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
![Clips by style](figures/styles.svg)
![Clips by instrument](figures/instruments.svg)
![Tempo, mode, ensemble and texture](figures/facts.svg)

{styles}
"""


def write_card(folder: Path, info: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write `README.md` and its figures into a corpus folder.

    Raises:
        StorageError: the files cannot be written.
    """
    for name, figure in _figures(rows).items():
        atomic_write_bytes(folder / "figures" / f"{name}.svg", _to_svg(figure))
    parts = {split: [row for row in rows if row["split"] == split] for split in _SPLITS}
    splits = [
        (
            split,
            len(part),
            *(len({row[key] for row in part}) for key in ("work", "group")),
            sum(len(r["captions"]) for r in part),
        )
        for split, part in parts.items()
    ]
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


def _figures(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the plots of the card by name."""
    from matplotlib.figure import Figure

    drums = 100 * sum(row["drums"] for row in rows) / len(rows)
    styles = [row["style"] for row in rows]
    largest = 100 * Counter(styles).most_common(1)[0][1] / len(rows)
    instruments = [name for row in rows for name in row["instruments"]]
    figures = {"styles": Figure(figsize=(8, 6)), "instruments": Figure(figsize=(8, 9)), "facts": Figure(figsize=(8, 5))}
    title = f"{len(set(styles))} styles; the largest holds {largest:.1f} % of the clips"
    _bars(figures["styles"].subplots(), title, styles)
    title = f"{len(set(instruments))} instruments; drums in {drums:.0f} % of the clips"
    _bars(figures["instruments"].subplots(), title, instruments)
    grid = figures["facts"].subplots(2, 2)
    _bars(grid[0][0], "Tempo", [row["tempo_class"] for row in rows])
    _bars(grid[0][1], "Mode", [row["mode"] for row in rows])
    _bars(grid[1][0], "Ensemble", [_ENSEMBLES[len(row["instruments"])] for row in rows])
    _bars(grid[1][1], "Texture", [row["texture"] for row in rows])
    for figure in figures.values():
        figure.set_layout_engine("tight")
    return figures


def _bars(axes: Any, title: str, values: Iterable[str]) -> None:
    """Draw how often each value occurs, the most frequent on top."""
    names, counts = zip(*Counter(values).most_common()[::-1], strict=True)
    axes.barh(names, counts, color=_AUDIO)
    axes.tick_params(axis="y", labelsize=7)
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel("clips")
    axes.margins(y=0.01)
    axes.spines[["top", "right"]].set_visible(False)


def _to_svg(figure: Any) -> bytes:
    """Return a figure as SVG with real text; the same figure gives the same bytes."""
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "slapkit"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, facecolor="white")
    return buffer.getvalue()
