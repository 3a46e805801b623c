"""Chords, bass lines and drones for tunes that come without."""

import dataclasses

import numpy as np

from slapkit.data.scores.excerpt import Excerpt, is_compound
from slapkit.data.scores.instruments import Instrument

# Triads that accompany folk tunes: semitones of the root above the tonic, and of the third above the root.
_TRIADS = {
    "major": ((0, 4), (5, 4), (7, 4), (9, 3)),
    "minor": ((0, 3), (5, 3), (7, 4), (10, 4), (3, 4)),
}


@dataclasses.dataclass(frozen=True)
class Accompaniment:
    """What can accompany an excerpt in the key `tonic` (0..11) and `mode`, moved by `transposition`.

    Notes are float64 `[N, 3]` rows of (start, length, pitch), times in quarter notes.
    """

    excerpt: Excerpt
    tonic: int
    mode: str
    transposition: int
    groove: str = "plain"  # after: bass on the beat and chords after it; power, four, swing: rock, electronic, jazz

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
        """Return the chord part: "chords" in the rhythm of the groove, "arpeggios" or "sustained chords"."""
        low = max(instrument.low, min(52, instrument.high - 19))
        rows = []
        for start, length, root, third in self.harmony():
            base = _place(root, low)
            tones = [tone - 12 if tone > instrument.high else tone for tone in (base, base + third, base + 7)]
            if kind == "sustained chords":
                rows += [(start, length, tone) for tone in tones]
            elif kind == "arpeggios":
                step = self.excerpt.beat / (3 if is_compound(self.excerpt.metre) else 4 if self.groove == "four" else 2)
                broken = [*tones, tones[0] + 12, tones[2], tones[1]]
                for k in range(int(np.ceil(length / step - 1e-6))):
                    rows.append((start + k * step, 1.6 * step, min(broken[k % 6], instrument.high)))
            else:
                if self.groove == "power":  # open, with the third on top, or the mode could not be heard
                    tones = [base, base + 7, base + 12 + third]
                for onset, lasting in self._strokes(start, length):
                    rows += [(onset, lasting, min(tone, instrument.high)) for tone in tones]
        return _notes(rows)

    def _strokes(self, start: float, length: float) -> list[tuple[float, float]]:
        """Return (onset, length) of the strokes of one chord."""
        beat, bar = self.excerpt.beat, self.excerpt.bar
        compound = is_compound(self.excerpt.metre)
        half = beat * (2 / 3 if compound else 1 / 2)
        beats = start + beat * np.arange(int(np.ceil(length / beat - 1e-6)))
        if self.groove == "after" and round(bar / beat) == 3:
            return [(t, 0.6 * beat) for t in beats if np.mod(t + 1e-6, bar) > 0.5 * beat]
        if self.groove in ("after", "four"):
            return [(t + half, 0.4 * beat) for t in beats]
        if self.groove == "power":
            return [(t + k * half, 0.9 * half) for t in beats for k in (0, 1)]
        if self.groove == "swing":  # now on the beat, now before it
            return [(t + half * (k % 2), 0.4 * beat) for k, t in enumerate(beats)]
        return [(t, 0.85 * beat) for t in beats]

    def bass(self, instrument: Instrument) -> np.ndarray:
        """Return the bass part: roots and fifths of the chords on the beat (every other one when fast), eighths
        ("power", "four") or a walking line ("swing")."""
        excerpt = self.excerpt
        if len(excerpt.parts) > 1:  # the score has its own bass: double it
            notes = excerpt.parts[-1].copy()
            notes[:, 2] = [_place(int(p) % 12, instrument.low) for p in notes[:, 2] + self.transposition]
            return notes
        quick = excerpt.beat * excerpt.quarter_s < 0.45
        step = excerpt.beat * (2 if quick and self.groove == "plain" else 1)
        if self.groove in ("power", "four"):
            step = excerpt.beat / 2
        if self.groove == "after" and round(excerpt.bar / excerpt.beat) == 3:
            step = excerpt.bar
        rows = []
        for start, length, root, third in self.harmony():
            walk = {"power": (0,), "four": (0,), "swing": (0, third, 7, 9)}.get(self.groove, (0, 7))
            rows += [
                (start + k * step, 0.9 * step, _place((root + walk[k % len(walk)]) % 12, instrument.low))
                for k in range(max(1, int(length / step + 1e-6)))
            ]
        return _notes(rows)

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
