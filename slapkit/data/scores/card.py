"""The data card of a corpus: where it comes from, on what terms, how it was made, and what is in it."""

from __future__ import annotations

import collections
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from slapkit._io import atomic_write_bytes, atomic_write_text

_SPLITS = ("train", "validation", "test")
_AUDIO, _SHADES = "#3366AA", ("#3366AA", "#88AACC", "#CCDDEE")  # audio is blue; the splits are its shades

_CARD = """# {name}: {clips:,} clips of scores rendered to audio, with captions

{clips:,} clips of {clip_s:g} s with {captions:,} captions, from {used:,} of {works:,} works in
{groups:,} groups. Made by `slapkit corpus` on this machine; seed {seed}, SoundFont `{soundfont}`, data
fingerprint `{fingerprint}`.

## Source and terms
The scores come with the music21 package. Their collection is redistributed by permission of the encoders; some
encodings may not be used commercially (the Essen folk songs are given for non-commercial use, the Palestrina masses
refer to a licensing agreement), and others carry terms of their own: see `license.txt` and the headers of the files
in the package. The music itself is out of copyright in the United States, to the best of the collection's
knowledge. That is why the audio is rendered on the user's machine and nothing of it is distributed: **treat this
folder as for research, and do not pass it on** without looking at the terms of the works in it. The sound is that of
the SoundFont, which has its own licence.

## How it is made
Each work is converted to notes by verovio ({failed} of {asked:,} could not be and were left out). A seeded arranger
draws an excerpt, a tempo, a transposition, one to three General MIDI instruments inside their playable ranges,
sometimes drums and bass, and plays with slightly human timing and dynamics. The rendering is mono, {rate} Hz,
{level}; it is checked (finite, audible, not clipped) and stored as FLAC. Draws that failed a check and were
drawn anew: {rejected}. The facts are those of the arrangement, so they are true of what sounds; the captions are
written from them by a phrase bank. They are not by people, and the test split uses sentence frames and words that
training never shows.

## Splits
By group: works with the same melody (in any key, under any name), movements of one quartet, mass or motet stay
together.

{splits}

## Layout
`metadata.jsonl` has one line for each clip: `file_name`, `split`, `captions`, `caption_frames`, then the facts
(`work`, `title`, `collection`, `group`, `style`, `instruments`, `families`, `roles`, `tempo_bpm`, `tempo_class`,
`metre`, `key`, `mode`, `voices`, `drums`, `percussion`, `bass`, `texture`, `accompaniment`, `register`,
`articulation`, `transposition`, `duration_s`, `peak_db`, `rms_db`, `bytes`, `sha256`). It is the AudioFolder
convention: `datasets.load_dataset("audiofolder", data_dir="{name}")` reads it (that library asks for
`torchcodec`; it uses the copies of the table beside the files of each split). `corpus.json` holds settings,
versions, counts and everything that failed.

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
    identity = info["identity"]
    for name, figure in _figures(rows).items():
        atomic_write_bytes(folder / "figures" / f"{name}.svg", figure)
    per_split = [[row for row in rows if row["split"] == split] for split in _SPLITS]
    split_rows = [
        (
            split,
            len(part),
            len({r["work"] for r in part}),
            len({r["group"] for r in part}),
            sum(len(r["captions"]) for r in part),
        )
        for split, part in zip(_SPLITS, per_split, strict=True)
    ]
    styles = collections.Counter(row["style"] for row in rows)
    style_rows = [(s, n, *(sum(r["style"] == s for r in part) for part in per_split)) for s, n in styles.most_common()]
    rejected = ", ".join(f"{reason} {count}" for reason, count in info["rejected_draws"].items()) or "none"
    text = _CARD.format(
        name=info["name"],
        clips=info["clips"],
        captions=sum(len(row["captions"]) for row in rows),
        clip_s=identity["clip_s"],
        rate=identity["sample_rate"],
        level="at -20 dB RMS where peaks allow",
        used=len({row["work"] for row in rows}),
        works=info["works"],
        asked=info["works"] + len(info["failed_works"]),
        groups=info["groups"],
        seed=identity["seed"],
        soundfont=info["soundfont"],
        fingerprint=info["fingerprint"][:16],
        failed=len(info["failed_works"]),
        rejected=rejected,
        splits=_table(("split", "clips", "works", "groups", "captions"), split_rows),
        styles=_table(("style", "clips", *_SPLITS), style_rows),
    )
    atomic_write_text(folder / "README.md", text)


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(
        lines + ["| " + " | ".join(f"{v:,}" if isinstance(v, int) else str(v) for v in row) + " |" for row in rows]
    )


def _figures(rows: Sequence[Mapping[str, Any]]) -> dict[str, bytes]:
    """Return the plots of the card as SVG files by name."""
    from matplotlib.figure import Figure

    figures = {"styles": Figure(figsize=(8, 6)), "instruments": Figure(figsize=(8, 9)), "facts": Figure(figsize=(8, 5))}
    by_split = {split: collections.Counter(row["style"] for row in rows if row["split"] == split) for split in _SPLITS}
    order = [style for style, _ in collections.Counter(row["style"] for row in rows).most_common()][::-1]
    axes = figures["styles"].subplots()
    left = [0] * len(order)
    for split, colour in zip(_SPLITS, _SHADES, strict=True):
        axes.barh(order, [by_split[split][style] for style in order], left=left, color=colour, label=split)
        left = [a + by_split[split][style] for a, style in zip(left, order, strict=True)]
    _finish_axes(axes, f"{len(order)} styles; the largest holds {100 * max(left) / len(rows):.1f} % of the clips")
    axes.legend(frameon=False, loc="lower right")
    counts = collections.Counter(name for row in rows for name in row["instruments"])
    names = [name for name, _ in counts.most_common()][::-1]
    axes = figures["instruments"].subplots()
    axes.barh(names, [counts[name] for name in names], color=_AUDIO)
    axes.tick_params(axis="y", labelsize=7)
    _finish_axes(
        axes, f"{len(names)} instruments; drums in {100 * sum(r['drums'] for r in rows) / len(rows):.0f} % of the clips"
    )
    grid = figures["facts"].subplots(2, 2)
    ensemble = {1: "solo", 2: "duo", 3: "trio"}
    for axes, title, values in (
        (grid[0][0], "Tempo", [row["tempo_class"] for row in rows]),
        (grid[0][1], "Mode", [row["mode"] for row in rows]),
        (grid[1][0], "Ensemble", [ensemble.get(len(row["instruments"]), "more") for row in rows]),
        (grid[1][1], "Texture", [row["texture"] for row in rows]),
    ):
        pairs = collections.Counter(values).most_common()[::-1]
        axes.barh([name for name, _ in pairs], [count for _, count in pairs], color=_AUDIO)
        _finish_axes(axes, title)
    for figure in figures.values():
        figure.set_layout_engine("tight")
    return {name: _to_svg(figure) for name, figure in figures.items()}


def _to_svg(figure: Any) -> bytes:
    """Return a figure as SVG with real text; the same figure gives the same bytes."""
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "slapkit"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, facecolor="white")
    return buffer.getvalue()


def _finish_axes(axes: Any, title: str) -> None:
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel("clips")
    axes.margins(y=0.01)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
