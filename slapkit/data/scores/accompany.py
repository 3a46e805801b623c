"""Chords, bass lines, drones and drums for tunes that come without."""

import dataclasses

import numpy as np

from slapkit.data.scores.excerpt import Excerpt, is_compound
from slapkit.data.scores.instruments import Instrument

# Triads that accompany folk tunes: semitones of the root above the tonic, and of the third above the root.
_TRIADS = {
    "major": ((0, 4), (5, 4), (7, 4), (9, 3)),
    "minor": ((0, 3), (5, 3), (7, 4), (10, 4), (3, 4)),
}
# General MIDI drum keys.
_KICK, _SNARE, _HAT, _RIDE, _SHAKER, _TAMBOURINE, _CONGA_HIGH, _CONGA_LOW = 36, 38, 42, 51, 70, 54, 63, 64
_PERCUSSION = {"drum kit": 0.5, "hand drums": 0.2, "snare drum": 0.15, "tambourine": 0.15}  # and how often


@dataclasses.dataclass(frozen=True)
class Accompaniment:
    """What can accompany an excerpt in the key `tonic` (0..11) and `mode`, moved by `transposition`.

    Notes are float64 `[N, 3]` rows of (start, length, pitch), times in quarter notes.
    """

    excerpt: Excerpt
    tonic: int
    mode: str
    transposition: int

    def harmony(self) -> list[tuple[float, float, int, int]]:
        """Return (start, length, root 0..11, semitones of the third) of the chords.

        Each half bar (bar, where bars are short) takes the triad that most of the melody belongs to; staying costs
        less than moving.
        """
        excerpt, melody = self.excerpt, self.excerpt.parts[0]
        span = excerpt.bar / 2 if excerpt.bar * excerpt.quarter_s > 2.4 and excerpt.bar >= 4 else excerpt.bar
        triads = _TRIADS["minor" if self.mode == "minor" else "major"]
        degree = (melody[:, 2].astype(int) + self.transposition - self.tonic) % 12
        result, last = [], 0
        for number in range(int(np.ceil(excerpt.length / span))):
            low, high = number * span, (number + 1) * span
            overlap = np.minimum(melody[:, 0] + melody[:, 1], high) - np.maximum(melody[:, 0], low)
            weight = np.bincount(degree, weights=np.maximum(overlap, 0.0), minlength=12)
            values = [
                sum(weight[tone % 12] for tone in (root, root + third, root + 7))
                + 0.3 * (index == last)
                + 0.2 * (index == 0)
                for index, (root, third) in enumerate(triads)
            ]
            last = int(np.argmax(values))
            root, third = triads[last]
            result.append((low, min(span, excerpt.length - low), (root + self.tonic) % 12, third))
        return result

    def chords(self, instrument: Instrument, kind: str) -> np.ndarray:
        """Return the chord part: "chords" on the beats, "arpeggios" or "sustained chords"."""
        beat, compound = self.excerpt.beat, is_compound(self.excerpt.metre)
        low = max(instrument.low, min(52, instrument.high - 19))
        rows = []
        for start, length, root, third in self.harmony():
            base = _place(root, low)
            tones = [tone - 12 if tone > instrument.high else tone for tone in (base, base + third, base + 7)]
            if kind == "sustained chords":
                rows += [(start, length, tone) for tone in tones]
                continue
            step = beat if kind == "chords" else beat / (3 if compound else 2)
            broken = [*tones, tones[0] + 12, tones[2], tones[1]]
            for k in range(int(np.ceil(length / step - 1e-6))):
                struck = tones if kind == "chords" else [broken[k % 6]]
                lasting = 0.85 * step if kind == "chords" else 1.6 * step
                rows += [(start + k * step, lasting, min(tone, instrument.high)) for tone in struck]
        return _notes(rows)

    def bass(self, instrument: Instrument) -> np.ndarray:
        """Return the bass part: roots and fifths of the chords, a note for each beat or every other beat when fast."""
        excerpt = self.excerpt
        if len(excerpt.parts) > 1:  # the score has its own bass: double it
            notes = excerpt.parts[-1].copy()
            notes[:, 2] = [_place(int(p) % 12, instrument.low) for p in notes[:, 2] + self.transposition]
            return notes
        step = excerpt.beat * (2 if excerpt.beat * excerpt.quarter_s < 0.45 else 1)
        return _notes(
            [
                (start + k * step, 0.9 * step, _place((root + 7 * (k % 2)) % 12, instrument.low))
                for start, length, root, _ in self.harmony()
                for k in range(max(1, int(length / step + 1e-6)))
            ]
        )

    def drone(self, instrument: Instrument) -> np.ndarray:
        """Return a held tonic and fifth, struck anew every four bars."""
        base = _place(self.tonic, max(instrument.low, 43))
        span = 4 * self.excerpt.bar
        starts = span * np.arange(int(np.ceil(self.excerpt.length / span)))
        pitches = [pitch for pitch in (base, base + 7) if pitch <= instrument.high]
        return _notes([(start, span, pitch) for start in starts for pitch in pitches])


def _place(pitch_class: int, low: float) -> int:
    """Return the lowest pitch of a class at or above `low`."""
    return int(low + (pitch_class - low) % 12)


def _notes(rows: list[tuple[float, ...]]) -> np.ndarray:
    return np.array(rows, dtype=np.float64).reshape(-1, 3)


def drum_part(excerpt: Excerpt, rng: np.random.Generator, clip_s: float) -> tuple[np.ndarray, str]:
    """Return drum hits, rows of (start s, length s, drum key, velocity), and what plays them."""
    kind = str(rng.choice(list(_PERCUSSION), p=list(_PERCUSSION.values())))
    beat_s = excerpt.beat * excerpt.quarter_s
    beats = max(2, round(excerpt.bar / excerpt.beat))
    division = 3 if is_compound(excerpt.metre) else 2
    rows = []
    for number in range(int(np.ceil(clip_s / beat_s))):
        for part in range(division):
            for key, level in _pattern(kind, number % beats, part, beats):
                start = max(0.0, (number + part / division) * beat_s + rng.normal(0, 0.006))
                if start < clip_s - 0.1:
                    rows.append((start, 0.12, key, float(np.clip(level + rng.normal(0, 5), 30, 124))))
    return np.array(rows, dtype=np.float64).reshape(-1, 4), kind


def _pattern(kind: str, place: int, part: int, beats: int) -> list[tuple[int, int]]:
    """Return (drum key, velocity) struck on a subdivision `part` of the beat `place` of a bar of `beats`."""
    first, off = place == 0, part > 0
    back = place > 0 if beats == 3 else place % 2 == 1
    if kind == "tambourine":
        return [(_TAMBOURINE, 55 if off and beats == 3 else 95 if not off and back else 75)]
    if kind == "snare drum":
        return [(_SNARE, 60 if off else 100 if first else 78)]
    if kind == "hand drums":
        return [(_SHAKER, 50), (_CONGA_HIGH, 72) if off else (_CONGA_LOW, 92)]
    hits = [(_RIDE if beats == 3 else _HAT, 52 if off else 66)]
    if not off and (first or (beats == 4 and place == 2)):
        hits.append((_KICK, 105))
    if not off and back:
        hits.append((_SNARE, 84 if beats == 3 else 98))
    return hits
