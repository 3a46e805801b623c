"""Chords, bass lines, drones and drums for tunes that come without."""

from __future__ import annotations

import numpy as np

from slapkit.data.scores.excerpt import Excerpt, is_compound
from slapkit.data.scores.instruments import Instrument

# Triads that accompany folk tunes: semitones of the root above the tonic, and whether the third is minor.
_TRIADS = {
    "major": ((0, False), (5, False), (7, False), (9, True)),
    "minor": ((0, True), (5, True), (7, False), (10, False), (3, False)),
}
# General MIDI drum keys.
_KICK, _SNARE, _HAT, _RIDE, _SHAKER, _TAMBOURINE, _CONGA_HIGH, _CONGA_LOW = 36, 38, 42, 51, 70, 54, 63, 64


def harmonise(excerpt: Excerpt, tonic: int, mode: str, transposition: int) -> list[tuple[float, float, int, bool]]:
    """Return (start, length, root 0..11, minor third) of the chords, in quarter notes and sounding pitch classes.

    Each half bar (bar, where bars are short) takes the triad that most of the melody belongs to; staying costs less
    than moving.
    """
    melody = excerpt.parts[0]
    span = excerpt.bar / 2 if excerpt.bar * excerpt.quarter_s > 2.4 and excerpt.bar >= 4 else excerpt.bar
    triads = _TRIADS["minor" if mode == "minor" else "major"]
    result, last = [], 0
    for number in range(int(np.ceil(excerpt.length / span))):
        low, high = number * span, (number + 1) * span
        overlap = np.minimum(melody[:, 0] + melody[:, 1], high) - np.maximum(melody[:, 0], low)
        weight = np.bincount(
            (melody[:, 2].astype(int) + transposition - tonic) % 12, weights=np.maximum(overlap, 0.0), minlength=12
        )
        values = []
        for index, (root, minor) in enumerate(triads):
            tones = [root, root + (3 if minor else 4), root + 7]
            values.append(sum(weight[t % 12] for t in tones) + 0.3 * (index == last) + 0.2 * (index == 0))
        last = int(np.argmax(values))
        root, minor = triads[last]
        result.append((low, min(span, excerpt.length - low), (root + tonic) % 12, minor))
    return result


def _place(pitch_class: int, low: float) -> int:
    """Return the lowest pitch of a class at or above `low`."""
    return int(low + (pitch_class - low) % 12)


def _rows(rows: list[tuple[float, float, float]]) -> np.ndarray:
    return np.array(rows, dtype=np.float64).reshape(-1, 3)


def chords(
    excerpt: Excerpt, instrument: Instrument, kind: str, tonic: int, mode: str, transposition: int
) -> np.ndarray:
    """Return the chord part, rows of (start, length, pitch): struck on the beats, broken, or sustained."""
    low = max(instrument.low, min(52, instrument.high - 19))
    rows = []
    for start, length, root, minor in harmonise(excerpt, tonic, mode, transposition):
        base = _place(root, low)
        tones = [base, base + (3 if minor else 4), base + 7]
        tones = [tone - 12 if tone > instrument.high else tone for tone in tones]
        if kind == "sustained chords":
            rows += [(start, length, tone) for tone in tones]
            continue
        step = excerpt.beat if kind == "chords" else excerpt.beat / (3 if is_compound(excerpt.metre) else 2)
        for k in range(int(np.ceil(length / step - 1e-6))):
            time = start + k * step
            sounding = tones if kind == "chords" else [([*tones, tones[0] + 12, tones[2], tones[1]])[k % 6]]
            rows += [
                (time, 0.85 * step if kind == "chords" else 1.6 * step, min(tone, instrument.high)) for tone in sounding
            ]
    return _rows(rows)


def bass_line(excerpt: Excerpt, instrument: Instrument, tonic: int, mode: str, transposition: int) -> np.ndarray:
    """Return the bass part: roots and fifths of the chords, a note for each beat or every other beat when fast."""
    if len(excerpt.parts) > 1:  # the score has its own bass: double it
        notes = excerpt.parts[-1].copy()
        pitch = notes[:, 2] + transposition
        notes[:, 2] = [_place(int(p) % 12, instrument.low) for p in pitch]
        return notes
    step = excerpt.beat * (2 if excerpt.beat * excerpt.quarter_s < 0.45 else 1)
    rows = []
    for start, length, root, _ in harmonise(excerpt, tonic, mode, transposition):
        for k in range(max(1, int(length / step + 1e-6))):
            rows.append((start + k * step, 0.9 * step, _place((root + 7 * (k % 2)) % 12, instrument.low)))
    return _rows(rows)


def drone(excerpt: Excerpt, instrument: Instrument, tonic: int, transposition: int) -> np.ndarray:
    """Return a held tonic and fifth, struck anew every four bars; `tonic` is a written pitch class."""
    base = _place((tonic + transposition) % 12, max(instrument.low, 43))
    span = 4 * excerpt.bar
    rows = []
    for k in range(int(np.ceil(excerpt.length / span))):
        rows += [(k * span, span, pitch) for pitch in (base, base + 7) if pitch <= instrument.high]
    return _rows(rows)


def drum_part(excerpt: Excerpt, rng: np.random.Generator, clip_s: float) -> tuple[np.ndarray, str]:
    """Return drum hits, rows of (start s, length s, drum key, velocity), and what plays them."""
    kind = str(rng.choice(["drum kit", "hand drums", "snare drum", "tambourine"], p=[0.5, 0.2, 0.15, 0.15]))
    beat_s = excerpt.beat * excerpt.quarter_s
    beats = max(2, round(excerpt.bar / excerpt.beat))
    split = 3 if is_compound(excerpt.metre) else 2
    hits = []
    for number in range(int(np.ceil(clip_s / beat_s))):
        place = number % beats
        for part in range(split):
            time = (number + part / split) * beat_s
            hits += [(time, key, level) for key, level in _pattern(kind, place, part, beats)]
    rows = []
    for time, key, level in hits:
        start = max(0.0, time + rng.normal(0, 0.006))
        if start < clip_s - 0.1:
            rows.append((start, 0.12, key, float(np.clip(level + rng.normal(0, 5), 30, 124))))
    return np.array(rows, dtype=np.float64).reshape(-1, 4), kind


def _pattern(kind: str, place: int, part: int, beats: int) -> list[tuple[int, int]]:
    """Return (drum key, velocity) struck on a subdivision `part` of the beat `place` of a bar of `beats`."""
    first, off = place == 0, part > 0
    back = place > 0 if beats == 3 else place % 2 == 1
    if kind == "tambourine":
        return [(_TAMBOURINE, 95 if not off and back else 75)] if not off or beats != 3 else [(_TAMBOURINE, 55)]
    if kind == "snare drum":
        return [(_SNARE, 100 if first and not off else 60 if off else 78)]
    if kind == "hand drums":
        return [(_SHAKER, 50), (_CONGA_HIGH if off else _CONGA_LOW, 92 if not off else 72)]
    hits = [(_RIDE if beats == 3 else _HAT, 52 if off else 66)]
    if not off and (first or (beats == 4 and place == 2)):
        hits.append((_KICK, 105))
    if not off and back:
        hits.append((_SNARE, 84 if beats == 3 else 98))
    return hits
