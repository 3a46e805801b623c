"""A score as plain arrays: what the arranger and the melody comparison read.

Times are in quarter notes, pitches are MIDI numbers (60 = middle C), parts count from the top of the page.
"""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np

# Key profiles of Krumhansl and Kessler (1982), major and minor, from the tonic upwards.
_MAJOR = np.array([6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88])
_MINOR = np.array([6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17])
# Of unit length, so that a product with another is a correlation: [mode, tonic, pitch class].
_KEYS = np.array([[np.roll(profile - profile.mean(), tonic) for tonic in range(12)] for profile in (_MAJOR, _MINOR)])
_KEYS /= np.linalg.norm(_KEYS, axis=2, keepdims=True)
PITCH_NAMES = ("C", "C sharp", "D", "E flat", "E", "F", "F sharp", "G", "A flat", "A", "B flat", "B")


@dataclasses.dataclass(frozen=True)
class Score:
    """Notes sorted by onset; all arrays but `metres` are of shape `[N]`."""

    onset: np.ndarray  # float64, quarter notes from the beginning
    duration: np.ndarray  # float64, quarter notes, > 0
    pitch: np.ndarray  # int64, MIDI number
    part: np.ndarray  # int64, index of the part
    metres: np.ndarray  # float64 [M, 3], rows of (onset, beats in a bar, note value of a beat)

    def __len__(self) -> int:
        return len(self.onset)

    @property
    def length(self) -> float:
        """Length in quarter notes."""
        return float((self.onset + self.duration).max(initial=0.0))

    @property
    def parts(self) -> list[int]:
        """Indices of the parts that hold notes."""
        return np.unique(self.part).tolist()

    def line(self, part: int) -> tuple[np.ndarray, np.ndarray]:
        """Return onsets and pitches of a part's highest notes, one for each onset, in time order."""
        return skyline(self.onset[self.part == part], self.pitch[self.part == part])

    def metre_at(self, onset: float) -> tuple[int, int]:
        """Return (beats, note value) in force at a time; 4/4 where the score names none."""
        known = self.metres[(self.metres[:, 1] >= 1) & (self.metres[:, 2] >= 1)]
        rows = known[known[:, 0] <= onset + 1e-6]
        row = rows[-1] if len(rows) else known[0] if len(known) else (0, 4, 4)
        return int(row[1]), int(row[2])

    def to_bytes(self) -> bytes:
        """Return the score as an npz archive."""
        buffer = io.BytesIO()
        np.savez(buffer, **vars(self))
        return buffer.getvalue()

    @classmethod
    def read(cls, path: str | Path) -> Score:
        """Read what `to_bytes` gave; raises ValueError, OSError or KeyError when the file is damaged."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(**{field.name: arrays[field.name] for field in dataclasses.fields(cls)})


def skyline(onset: np.ndarray, pitch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct onsets, sorted, and the highest pitch that begins at each."""
    order = np.lexsort((-pitch, onset))
    onset, pitch = onset[order], pitch[order]
    first = np.ones(len(onset), dtype=bool)
    first[1:] = np.diff(onset) > 1e-4
    return onset[first], pitch[first]


def from_midi(midi: bytes) -> Score:
    """Return the notes of a MIDI file as a `Score`; raises ValueError where there are none."""
    import symusic

    source = symusic.Score.from_midi(midi)
    rows = [
        (note.time / source.tpq, number, -note.pitch, note.duration / source.tpq)
        for number, track in enumerate(source.tracks)
        for note in track.notes
        if note.duration > 0
    ]
    if not rows:
        raise ValueError("no notes")
    onset, part, pitch, duration = np.array(sorted(rows), dtype=np.float64).T.copy()
    metres = sorted({(m.time / source.tpq, m.numerator, m.denominator) for m in source.time_signatures})
    metres = np.array(metres, dtype=np.float64).reshape(-1, 3)
    return Score(onset, duration, -pitch.astype(np.int64), part.astype(np.int64), metres)


def find_key(pitch: np.ndarray, duration: np.ndarray) -> tuple[int, str, float]:
    """Return (tonic 0..11, "major" or "minor", margin) by correlation with the Krumhansl-Kessler profiles.

    The margin is the correlation of the best key minus that of the best key of the other mode: near 0 the mode is
    unclear.
    """
    weight = np.bincount(pitch % 12, weights=duration, minlength=12)
    if np.ptp(weight) == 0:
        return 0, "major", 0.0
    scores = _KEYS @ (weight - weight.mean()) / np.linalg.norm(weight - weight.mean())
    best = scores.max(axis=1)
    mode = int(best[1] > best[0])
    return int(scores[mode].argmax()), ("major", "minor")[mode], float(best[mode] - best[1 - mode])
