"""Taking an excerpt of a score: which bars, at which speed, and which parts."""

import dataclasses

import numpy as np

from slapkit.data.scores.score import Score, skyline

_FEWEST_NOTES = 8  # onsets of the melody in a clip
_LONGEST_REST_S = 1.6
_MOST_PARTS = 4


class Unfit(Exception):
    """This draw makes no usable clip; the reason is counted and another is drawn."""


@dataclasses.dataclass(frozen=True)
class Excerpt:
    """Bars of a score. Lengths are in quarter notes where nothing else is said."""

    parts: list[np.ndarray]  # the highest first, float64 [N, 3] rows of (start, length, pitch)
    quarter_s: float  # seconds that a quarter note takes
    beat: float  # the felt beat
    bar: float
    metre: tuple[int, int]  # beats in a bar and their note value, as written
    length: float  # of the clip
    together: float  # share of onsets that at least two parts have in common


def is_compound(metre: tuple[int, int]) -> bool:
    """Whether the beat of a metre divides into three (6/8, 9/8, 12/8, 6/4)."""
    return metre[0] in (6, 9, 12)


def felt_beat(density: float, metre: tuple[int, int]) -> float:
    """Return the quarter notes of the beat that a listener taps to.

    Notation of different centuries writes the same speed in different note values, so the written beat is doubled or
    halved until the melody has about 1.6 notes a beat (2.4 where the beat divides into three). `density` is the number
    of its onsets in a quarter note.
    """
    written = 4.0 / metre[1] * (3 if is_compound(metre) else 1)
    wanted = 2.4 if is_compound(metre) else 1.6
    candidates = written * np.array([0.25, 0.5, 1.0, 2.0, 4.0])
    return float(candidates[np.abs(np.log(candidates * max(density, 1e-3) / wanted)).argmin()])


def take_excerpt(score: Score, rng: np.random.Generator, *, tempo: int, clip_s: float) -> Excerpt:
    """Return `clip_s` seconds of `score` from a drawn bar on, at `tempo` felt beats a minute.

    A score shorter than the clip is repeated from its beginning, as verses are.

    Raises:
        Unfit: too few notes, or too long a rest.
    """
    onset, _ = skyline(score.onset, score.pitch)
    if len(onset) < _FEWEST_NOTES:
        raise Unfit("too few notes in the work")
    metre = score.metre_at(float(onset[len(onset) // 2]))
    melody = max(score.parts, key=lambda part: (float(score.pitch[score.part == part].mean()), -part))
    line, _ = score.line(melody)
    density = len(line) / max(float(line[-1] - line[0]), 1.0)
    beat = felt_beat(density, metre)
    bar = 4.0 * metre[0] / metre[1]
    quarter_s = 60.0 / tempo / beat
    length = clip_s / quarter_s
    rows = np.stack([score.onset, score.duration, score.pitch, score.part], axis=1)
    rows = _window(rows, score.length, bar, length, rng)
    parts = _choose_parts(rows)
    _check_rests(rows, quarter_s, clip_s)
    starts = [set(np.round(part[:, 0], 3).tolist()) for part in parts]
    union = set().union(*starts)
    together = sum(sum(time in s for s in starts) > 1 for time in union) / max(len(union), 1)
    return Excerpt(parts, quarter_s, beat, bar, metre, length, together)


def _window(rows: np.ndarray, total: float, bar: float, length: float, rng: np.random.Generator) -> np.ndarray:
    """Return the rows that begin within `length` quarter notes of a drawn bar line, with times from there."""
    if total < length + bar:
        period = max(np.ceil(total / bar - 1e-6), 1.0) * bar
        copies = int(np.ceil(length / period)) + 1
        rows = np.concatenate([rows + [[copy * period, 0, 0, 0]] for copy in range(copies)])
        start = 0.0
    else:
        start = bar * int(rng.integers(int((total - length) // bar) + 1))
    inside = rows[(rows[:, 0] >= start - 1e-6) & (rows[:, 0] < start + length)].copy()
    if not len(inside):
        raise Unfit("no notes in the excerpt")
    inside[:, 0] = np.maximum(inside[:, 0] - start, 0.0)
    lead = inside[:, 0].min()  # never begin with a rest longer than a moment
    inside[:, 0] -= lead if lead < length / 3 else 0.0
    return inside


def _choose_parts(rows: np.ndarray) -> list[np.ndarray]:
    """Return the parts with notes enough, highest first, at most four: the outer and the fullest inner ones."""
    parts = [rows[rows[:, 3] == part][:, :3] for part in np.unique(rows[:, 3])]
    parts = [part for part in parts if len(np.unique(part[:, 0])) >= 4]
    parts.sort(key=lambda part: -float(part[:, 2].mean()))
    if not parts or len(np.unique(parts[0][:, 0])) < _FEWEST_NOTES:
        raise Unfit("too few notes in the excerpt")
    if len(parts) > _MOST_PARTS:
        inner = sorted(range(1, len(parts) - 1), key=lambda i: -len(parts[i]))[: _MOST_PARTS - 2]
        parts = [parts[0], *(parts[i] for i in sorted(inner)), parts[-1]]
    if len(parts) == 1:  # of chords in a tune book, the highest notes are the tune
        top = parts[0]
        tune = zip(*skyline(top[:, 0], top[:, 2]), strict=True)
        keep = [np.flatnonzero((np.abs(top[:, 0] - o) < 1e-4) & (top[:, 2] == p))[0] for o, p in tune]
        parts = [top[keep]] if len(keep) < len(top) else parts
    return parts


def _check_rests(rows: np.ndarray, quarter_s: float, clip_s: float) -> None:
    """Raise `Unfit` where there is silence for too long, the end of the clip included."""
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    starts = rows[:, 0] * quarter_s
    ends = np.maximum.accumulate((rows[:, 0] + rows[:, 1]) * quarter_s)
    rests = np.concatenate([starts[:1], starts[1:] - ends[:-1], [clip_s - ends[-1]]])
    if rests.max() > _LONGEST_REST_S:
        raise Unfit("a long rest in the excerpt")
