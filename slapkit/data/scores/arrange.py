"""The seeded arranger: ten seconds of a score for one to three instruments, sometimes with drums and bass.

All randomness comes from the generator it is given, so that a clip depends on its own seed only.
"""

import dataclasses

import numpy as np

from slapkit.data.scores.accompany import Accompaniment
from slapkit.data.scores.drums import KITS, drum_part
from slapkit.data.scores.excerpt import Excerpt, is_compound, take_excerpt
from slapkit.data.scores.instruments import BY_NAME, Instrument, with_role
from slapkit.data.scores.score import PITCH_NAMES, Score, find_key
from slapkit.data.scores.styles import STYLES, TYPICAL, Style, pick

# Beats a minute; the gaps between the classes make the words unambiguous.
TEMPI = {"slow": (50, 66), "medium": (86, 108), "fast": (138, 168)}
_CLEAR_KEY = 0.06  # margin of the key profiles from which a clip is called major or minor
_LOW, _HIGH = 55.0, 77.0  # mean pitch of the melody below or above which its register is mentioned

_MINOR = 0.5  # share of excerpts with a clear key that are played in minor
_LOWERED = {"minor": (4, 9, 11), "major": (3, 8, 10)}  # semitones above the tonic that the other mode has beside them
_PENTATONIC = "Chinese folk song"  # its scale lacks what tells the modes apart
_MORE_PARTS = {"line": 2, "all": 8, "two": 5, "three": 5}  # arrangements of several parts; of one: `Style.plans`
_ROLE_LEVEL = {"melody": 98, "octave": 88, "inner": 82, "low": 88, "bass": 92, "chords": 70, "drone": 66}
_LENGTH = {"plain": 0.9, "staccato": 0.4, "legato": 1.03}  # of notes, by articulation
_SWING = 0.64  # where the second half of a swung beat begins


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
    kit: int  # program of the drums
    facts: dict[str, object]


def arrange(score: Score, rng: np.random.Generator, *, clip_s: float, style: str) -> Arrangement:
    """Return a seeded arrangement of an excerpt of `score`.

    Raises:
        Unfit: the drawn excerpt holds too little music; draw again.
    """
    rules = STYLES[style]
    tempo_class = pick(rules.tempo, rng)
    tempo = int(rng.integers(TEMPI[tempo_class][0], TEMPI[tempo_class][1] + 1))
    excerpt = take_excerpt(score, rng, tempo=tempo, clip_s=clip_s)
    transposition = int(rng.integers(-6, 7))
    plan = pick(rules.plans if len(excerpt.parts) == 1 else _MORE_PARTS, rng)
    if style != _PENTATONIC:
        excerpt = in_mode(excerpt, "minor" if rng.random() < _MINOR else "major")
    tonic, mode, _ = _key_of(excerpt.parts)
    tonic = (tonic + transposition) % 12
    ensemble = _Ensemble(Accompaniment(excerpt, tonic, mode, transposition, rules.groove), rules, rng)
    ensemble.play(plan)
    voices = ensemble.voices
    percussion = pick(rules.drums, rng)
    with_drums = percussion != "none"
    # Not under one melody, alone or doubled: that would be another texture.
    if with_drums and len(voices) < 3 and "bass" not in plan and plan not in ("line", "octaves") and rng.random() < 0.6:
        ensemble.add_bass()
    articulation = _articulate(voices, rules, rng)
    swing = _SWING if rules.groove == "swing" and not is_compound(excerpt.metre) else 0.5
    for voice in voices:
        voice.notes = _humanise(voice, excerpt, rng, clip_s, swing)
    drums = drum_part(excerpt, rng, clip_s, percussion, rules.groove, swing) if with_drums else None
    tonic, mode, margin = _key_of([voice.notes for voice in voices])  # what is heard, accompaniment included
    mode = mode if margin >= _CLEAR_KEY else "unclear"
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
        "percussion": percussion if with_drums else "",
        "bass": any(voice.role == "bass" for voice in voices),
        "texture": _texture(plan, excerpt),
        "accompaniment": ensemble.accompaniment,
        "register": _register(voices[0].notes),
        "articulation": articulation,
        "transposition": transposition,
    }
    return Arrangement(voices, drums, KITS.get((percussion, rules.groove), 0), facts)


def _key_of(parts: list[np.ndarray]) -> tuple[int, str, float]:
    """Return `find_key` of notes whose rows begin with (start, length, pitch)."""
    notes = np.concatenate(parts)
    return find_key(np.round(notes[:, 2]).astype(int), notes[:, 1])


def in_mode(excerpt: Excerpt, mode: str) -> Excerpt:
    """Return the excerpt in the parallel key of `mode`: third, sixth and seventh degree a semitone lower or higher.

    An excerpt of that mode, or of no clear key, is returned as it is.
    """
    tonic, own, margin = _key_of(excerpt.parts)
    if own == mode or margin < _CLEAR_KEY:
        return excerpt
    parts = [part.copy() for part in excerpt.parts]
    for part in parts:
        altered = np.isin((part[:, 2].astype(int) - tonic) % 12, _LOWERED[mode])
        part[altered, 2] += -1 if mode == "minor" else 1
    return dataclasses.replace(excerpt, parts=parts)


class _Ensemble:
    """Instruments that are drawn one after the other, each once; `voices` is the result, melody first."""

    def __init__(self, accompany: Accompaniment, rules: Style, rng: np.random.Generator) -> None:
        self.accompany, self.rules, self.rng = accompany, rules, rng
        self.typical = rng.random() < TYPICAL
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
            self.accompaniment = pick(self.rules.accompaniment, rng)
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
        free = {instrument.name: 1.0 for instrument in with_role(*letters) if instrument not in taken}
        usual = self.rules.others if self.voices else self.rules.leads
        fitting = {name: weight for name, weight in usual.items() if name in free}
        others = {name: weight for name, weight in free.items() if name not in usual}
        return BY_NAME[pick((fitting if self.typical else others) or free, self.rng)]


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


def _articulate(voices: list[Voice], rules: Style, rng: np.random.Generator) -> str:
    """Shorten or lengthen the notes of the melody instruments; return the articulation, "plain" where it is unclear."""
    if not voices[0].instrument.sustained:
        return "plain"
    kind = pick(rules.articulation, rng)
    for voice in voices:
        if voice.role not in ("drone", "chords"):
            voice.notes[:, 1] *= _LENGTH[kind]
    return kind


def _humanise(voice: Voice, excerpt: Excerpt, rng: np.random.Generator, clip_s: float, swing: float) -> np.ndarray:
    """Return notes in seconds with a velocity: phrases swell, bar lines weigh, and hands are never quite exact."""
    notes = voice.notes
    start = _swung(notes[:, 0] / excerpt.beat, swing) * excerpt.beat * excerpt.quarter_s
    length = np.maximum(notes[:, 1] * excerpt.quarter_s, 0.06)
    on_bar = np.isclose(np.mod(notes[:, 0], excerpt.bar), 0.0, atol=0.02)
    swell = 7 * np.sin(np.pi * np.mod(notes[:, 0], 4 * excerpt.bar) / (4 * excerpt.bar))
    velocity = _ROLE_LEVEL[voice.role] + swell + 6 * on_bar + rng.normal(0, 4, len(notes))
    start = np.maximum(start + rng.normal(0, 0.008, len(notes)), 0.0)
    keep = start < clip_s - 0.05
    length = np.minimum(length, clip_s + 0.02 - start)
    return np.stack([start, length, notes[:, 2], np.clip(velocity, 30, 124)], axis=1)[keep]


def _swung(beats: np.ndarray, half: float) -> np.ndarray:
    """Return times in beats with the second half of each beat beginning at `half` of it."""
    whole = np.floor(beats + 1e-6)
    part = beats - whole
    return whole + np.where(part < 0.5, part * half / 0.5, half + (part - 0.5) * (1 - half) / 0.5)


def _texture(plan: str, excerpt: Excerpt) -> str:
    if plan in ("all", "two", "three"):
        return "chordal" if excerpt.together > 0.62 else "counterpoint"
    return {"chords and bass": "chords", "line": "single line"}.get(plan, plan)


def _register(notes: np.ndarray) -> str:
    mean = float(np.average(notes[:, 2], weights=notes[:, 1]))
    return "low" if mean < _LOW else "high" if mean > _HIGH else "middle"
