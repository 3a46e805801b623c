"""Styles that a listener can tell: which style a work is played in, and what is typical of it.

A style decides how tempo, arrangement, accompaniment, articulation and drums are drawn. Instruments are typical of it
in `TYPICAL` of the clips and others in the rest, so that none stands for a style.
"""

import dataclasses
import re
from collections.abc import Mapping
from importlib.resources import files

import numpy as np

TYPICAL = 0.68
_EVEN = {
    "folk song": 3, "march": 4, "lullaby": 2, "rock": 5, "electronic dance": 4, "jazz": 4, "ambient": 4
}  # fmt: skip
# What a work may be played as, by its kind; songs by their metre (see `draw_style`).
_PLAYED_AS: dict[str, dict[str, float]] = {
    "chorale": {"hymn": 1},
    **dict.fromkeys(("mass", "motet", "madrigal", "medieval"), {"Renaissance": 1}),
    **dict.fromkeys(("classical", "baroque", "romantic"), {"classical": 1}),
    **dict.fromkeys(("jig", "slip jig"), {"jig": 19, "lullaby": 1}),
    **dict.fromkeys(("reel", "hornpipe", "strathspey"), {"reel": 7, "rock": 1, "jazz": 1, "electronic dance": 1}),
    "fiddle tune": {"reel": 1},
    "waltz": {"waltz": 1},
    "march": {"march": 1},
    "chinese folk song": {"Chinese folk song": 8, "ambient": 1, "electronic dance": 1},
}
_SONGS = {
    "even": _EVEN,
    "triple": {"waltz": 6, "lullaby": 2, "folk song": 2},
    "compound": {"lullaby": 4, "folk song": 6},
    "other": {"folk song": 1},
}


@dataclasses.dataclass(frozen=True)
class Style:
    """Weights of what is drawn for a clip of a style, by name."""

    leads: dict[str, float]  # instruments
    others: dict[str, float]
    drums: dict[str, float]  # kinds of percussion, and "none"
    tempo: dict[str, float] = dataclasses.field(default_factory=lambda: {"slow": 1, "medium": 1, "fast": 1})
    plans: dict[str, float] = dataclasses.field(
        default_factory=lambda: {"line": 4, "octaves": 3, "drone": 2, "chords": 4, "bass": 3, "chords and bass": 2}
    )
    accompaniment: dict[str, float] = dataclasses.field(
        default_factory=lambda: {"chords": 1, "arpeggios": 1, "sustained chords": 1}
    )
    articulation: dict[str, float] = dataclasses.field(default_factory=lambda: {"plain": 2, "staccato": 1, "legato": 1})
    groove: str = "plain"


def _weights(text: str) -> dict[str, float]:
    return {name: float(weight or 1) for name, weight in re.findall(r"([^,\d]+?)(?: (\d+))?(?:, |$)", text)}


def _read() -> dict[str, Style]:
    text = (files("slapkit.data.scores") / "styles.txt").read_text(encoding="utf-8")
    parts = re.split(r"(?m)^\[(.+)\]\n", text)[1:]
    styles = {}
    for name, block in zip(parts[::2], parts[1::2], strict=True):
        lines = dict(re.split(r" {2,}", line) for line in block.splitlines() if line)
        groove = lines.pop("groove", "plain")
        styles[name] = Style(**{key: _weights(value) for key, value in lines.items()}, groove=groove)
    return styles


STYLES = _read()


def pick(weights: Mapping[str, float], rng: np.random.Generator) -> str:
    """Return a name drawn with the given weights."""
    share = np.array(list(weights.values()), dtype=np.float64)
    return str(rng.choice(list(weights), p=share / share.sum()))


def draw_style(kind: str, parts: int, metre: tuple[int, int], rng: np.random.Generator) -> str:
    """Return the style in which a work of a kind (`Work.kind`), with that many parts, is played in one clip.

    Songs are played as anything that suits their metre; a single voice of a motet is a song too.
    """
    if metre[0] in (6, 9, 12) and kind in ("reel", "hornpipe", "fiddle tune"):
        return "jig"
    if kind in _PLAYED_AS and (parts > 1 or "Renaissance" not in _PLAYED_AS[kind]):
        return pick(_PLAYED_AS[kind], rng)
    if parts > 1:
        return "folk song"
    beats = {2: "even", 4: "even", 8: "even", 3: "triple", 6: "compound", 9: "compound", 12: "compound"}
    return pick(_SONGS[beats.get(metre[0], "other")], rng)
