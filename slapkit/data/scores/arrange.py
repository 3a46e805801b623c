"""The seeded arranger: ten seconds of a score for one to three instruments, sometimes with drums and bass.

All randomness comes from the generator it is given, so that a clip depends on its own seed only.
"""

import dataclasses

import numpy as np

from slapkit.data.scores.accompany import Accompaniment, drum_part
from slapkit.data.scores.excerpt import Excerpt, take_excerpt
from slapkit.data.scores.instruments import Instrument, with_role
from slapkit.data.scores.score import PITCH_NAMES, Score, find_key

# Beats a minute; the gaps between the classes make the words unambiguous.
TEMPI = {"slow": (50, 66), "medium": (86, 108), "fast": (138, 168)}
_CLEAR_KEY = 0.06  # margin of the key profiles from which a clip is called major or minor
_LOW, _HIGH = 55.0, 77.0  # mean pitch of the melody below or above which its register is mentioned

# The arrangements of one part and of several, and how often each is chosen.
_ONE_PART = {"line": 0.26, "octaves": 0.14, "drone": 0.12, "chords": 0.24, "bass": 0.08, "chords and bass": 0.16}
_MORE_PARTS = {"line": 0.12, "all": 0.28, "two": 0.30, "three": 0.30}
_ROLE_LEVEL = {"melody": 98, "octave": 88, "inner": 82, "low": 88, "bass": 92, "chords": 70, "drone": 66}
_ARTICULATIONS = {"plain": (0.5, 0.9), "staccato": (0.25, 0.4), "legato": (0.25, 1.03)}  # how often, factor of length
_OLD_POLYPHONY = ("mass", "motet", "chorale", "medieval", "madrigal")


@dataclasses.dataclass
class Voice:
    """An instrument and what it plays: float64 `[N, 4]` rows of (start s, length s, pitch, velocity)."""

    instrument: Instrument
    role: str
    notes: np.ndarray


@dataclasses.dataclass
class Arrangement:
    """The voices of a clip, and the facts about it."""

    voices: list[Voice]
    drums: np.ndarray | None  # as `Voice.notes`, pitches being General MIDI drum keys
    facts: dict[str, object]


def arrange(score: Score, rng: np.random.Generator, *, clip_s: float, style: str) -> Arrangement:
    """Return a seeded arrangement of an excerpt of `score`.

    Raises:
        Unfit: the drawn excerpt holds too little music; draw again.
    """
    tempo_class = str(rng.choice(list(TEMPI), p=[0.32, 0.34, 0.34]))
    tempo = int(rng.integers(TEMPI[tempo_class][0], TEMPI[tempo_class][1] + 1))
    excerpt = take_excerpt(score, rng, tempo=tempo, clip_s=clip_s)
    transposition = int(rng.integers(-6, 7))
    plans = _ONE_PART if len(excerpt.parts) == 1 else _MORE_PARTS
    plan = str(rng.choice(list(plans), p=list(plans.values())))
    with_drums = rng.random() < _drum_chance(plan, style)
    everything = np.concatenate(excerpt.parts)
    tonic, mode, margin = find_key(everything[:, 2].astype(int) + transposition, everything[:, 1])
    mode = mode if margin >= _CLEAR_KEY else "unclear"
    ensemble = _Ensemble(Accompaniment(excerpt, tonic, mode, transposition), rng)
    ensemble.play(plan)
    voices = ensemble.voices
    if with_drums and len(voices) < 3 and "bass" not in plan and plan != "line" and rng.random() < 0.6:
        ensemble.add_bass()
    articulation = _articulate(voices, rng)
    for voice in voices:
        voice.notes = _humanise(voice, excerpt, rng, clip_s)
    drums, percussion = drum_part(excerpt, rng, clip_s) if with_drums else (None, "")
    facts = {
        "style": style,
        "instruments": [voice.instrument.name for voice in voices],
        "families": [voice.instrument.family for voice in voices],
        "roles": [voice.role for voice in voices],
        "tempo_bpm": tempo,
        "tempo_class": tempo_class,
        "metre": f"{excerpt.metre[0]}/{excerpt.metre[1]}",
        "key": f"{PITCH_NAMES[tonic]} {mode}" if mode != "unclear" else "",
        "mode": mode,
        "voices": len(excerpt.parts) if plan != "line" else 1,
        "drums": with_drums,
        "percussion": percussion,
        "bass": any(voice.role == "bass" for voice in voices),
        "texture": _texture(plan, excerpt),
        "accompaniment": ensemble.accompaniment,
        "register": _register(voices[0].notes),
        "articulation": articulation,
        "transposition": transposition,
    }
    return Arrangement(voices, drums, facts)


def _drum_chance(plan: str, style: str) -> float:
    if style in _OLD_POLYPHONY:
        return 0.12
    return 0.4 if "bass" in plan or "chords" in plan else 0.22


class _Ensemble:
    """Instruments that are drawn one after the other, each once; `voices` is the result, melody first."""

    def __init__(self, accompany: Accompaniment, rng: np.random.Generator) -> None:
        self.accompany, self.rng = accompany, rng
        self.voices: list[Voice] = []
        self.accompaniment = ""  # its kind

    def play(self, plan: str) -> None:
        """Add the voices of a plan."""
        parts, rng = self.accompany.excerpt.parts, self.rng
        if plan == "all":
            self.add_line("melody", "p", parts)
            return
        if plan in ("two", "three"):
            inner = plan == "three" and len(parts) > 2
            groups = [parts[:1], parts[1:-1], parts[-1:]] if inner else [parts[:1], parts[1:]]
            low = ("b" if rng.random() < 0.5 else "mb") if len(groups[-1]) == 1 else "p"
            letters = [*("m" if len(group) == 1 else "ps" for group in groups[:-1]), low]
            for role, letter, group in zip(["melody", *["inner"] * inner, "low"], letters, groups, strict=True):
                self.add_line(role, letter, group)
            return
        self.add_line("melody", "m", parts[:1])
        if plan == "octaves":
            self.add_line("octave", "m", parts[:1])
        if plan == "drone":
            self.accompaniment = "drone"
            instrument = self._draw("d")
            self.voices.append(Voice(instrument, "drone", self.accompany.drone(instrument)))
        if "chords" in plan:
            self.accompaniment = str(rng.choice(["chords", "arpeggios", "sustained chords"]))
            instrument = self._draw("s" if self.accompaniment == "sustained chords" else "c")
            self.voices.append(Voice(instrument, "chords", self.accompany.chords(instrument, self.accompaniment)))
        if "bass" in plan:
            self.add_bass()

    def add_line(self, role: str, letters: str, parts: list[np.ndarray]) -> None:
        """Add a voice that plays parts of the score on an instrument with one of the roles `letters`."""
        instrument = self._draw(letters)
        notes = fit_range(np.concatenate(parts), instrument, self.accompany.transposition, self.rng)
        self.voices.append(Voice(instrument, role, notes))

    def add_bass(self) -> None:
        """Add a bass."""
        instrument = self._draw("b")
        self.voices.append(Voice(instrument, "bass", self.accompany.bass(instrument)))

    def _draw(self, letters: str) -> Instrument:
        taken = [voice.instrument for voice in self.voices]
        free = [instrument for instrument in with_role(*letters) if instrument not in taken]
        return free[int(self.rng.integers(len(free)))]


def fit_range(notes: np.ndarray, instrument: Instrument, transposition: int, rng: np.random.Generator) -> np.ndarray:
    """Return notes (rows of start, length, pitch) moved by `transposition` and by octaves into the playable range.

    The whole line moves to the octave nearest to a drawn centre; single notes outside fold back by octaves.
    """
    low, high = instrument.low, instrument.high
    pitch = notes[:, 2] + transposition
    centre = (low + high) / 2 + rng.uniform(-6, 6)
    pitch = pitch + 12 * round((centre - float(np.median(pitch))) / 12)
    pitch = np.where(pitch < low, pitch + 12 * np.ceil((low - pitch) / 12), pitch)
    pitch = np.where(pitch > high, pitch - 12 * np.ceil((pitch - high) / 12), pitch)
    return np.column_stack([notes[:, :2], pitch])


def _articulate(voices: list[Voice], rng: np.random.Generator) -> str:
    """Shorten or lengthen the notes of the melody instruments; return the articulation, "plain" where it is unclear."""
    if not voices[0].instrument.sustained:
        return "plain"
    kind = str(rng.choice(list(_ARTICULATIONS), p=[chance for chance, _ in _ARTICULATIONS.values()]))
    for voice in voices:
        if voice.role not in ("drone", "chords"):
            voice.notes[:, 1] *= _ARTICULATIONS[kind][1]
    return kind


def _humanise(voice: Voice, excerpt: Excerpt, rng: np.random.Generator, clip_s: float) -> np.ndarray:
    """Return notes in seconds with a velocity: phrases swell, bar lines weigh, and hands are never quite exact."""
    notes = voice.notes
    start = notes[:, 0] * excerpt.quarter_s
    length = np.maximum(notes[:, 1] * excerpt.quarter_s, 0.06)
    on_bar = np.isclose(np.mod(notes[:, 0], excerpt.bar), 0.0, atol=0.02)
    swell = 7 * np.sin(np.pi * np.mod(notes[:, 0], 4 * excerpt.bar) / (4 * excerpt.bar))
    velocity = _ROLE_LEVEL[voice.role] + swell + 6 * on_bar + rng.normal(0, 4, len(notes))
    start = np.maximum(start + rng.normal(0, 0.008, len(notes)), 0.0)
    keep = start < clip_s - 0.05
    length = np.minimum(length, clip_s + 0.02 - start)
    return np.stack([start, length, notes[:, 2], np.clip(velocity, 30, 124)], axis=1)[keep]


def _texture(plan: str, excerpt: Excerpt) -> str:
    if plan in ("all", "two", "three"):
        return "chordal" if excerpt.together > 0.62 else "counterpoint"
    return {"chords and bass": "chords", "line": "single line"}.get(plan, plan)


def _register(notes: np.ndarray) -> str:
    mean = float(np.average(notes[:, 2], weights=notes[:, 1]))
    return "low" if mean < _LOW else "high" if mean > _HIGH else "middle"
