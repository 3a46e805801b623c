"""Drum parts in the groove of a style."""

import numpy as np

from slapkit.data.scores.excerpt import Excerpt, is_compound

# General MIDI drum keys.
_KICK, _SNARE, _CLAP, _HAT, _PEDAL, _OPEN, _RIDE = 36, 38, 39, 42, 44, 46, 51
_SHAKER, _TAMBOURINE, _CONGA_HIGH, _CONGA_LOW = 70, 54, 63, 64
# Programs of drums by percussion and groove: power kit, brushes, an analogue drum machine; 0, the standard kit, else.
KITS = {("drum kit", "power"): 16, ("drum kit", "swing"): 40, ("drum machine", "four"): 25}


def drum_part(
    excerpt: Excerpt, rng: np.random.Generator, clip_s: float, percussion: str, groove: str, swing: float
) -> np.ndarray:
    """Return drum hits, rows of (start s, length s, drum key, velocity).

    Args:
        excerpt: what the drums accompany.
        rng: generator of all that is drawn.
        clip_s: length of the clip in seconds.
        percussion: what is struck: drum kit, drum machine, hand drums, snare drum, tambourine.
        groove: of the style.
        swing: where the second half of a beat begins, 0.5 being even.
    """
    beat_s = excerpt.beat * excerpt.quarter_s
    beats = max(2, round(excerpt.bar / excerpt.beat))
    places = [0.0, 1 / 3, 2 / 3] if is_compound(excerpt.metre) else [0.0, swing]
    rows = []
    for number in range(int(np.ceil(clip_s / beat_s))):
        for part, place in enumerate(places):
            for key, level in _pattern(percussion, groove, number % beats, part, beats):
                start = max(0.0, (number + place) * beat_s + rng.normal(0, 0.006))
                if start < clip_s - 0.1:
                    rows.append((start, 0.12, key, float(np.clip(level + rng.normal(0, 5), 30, 124))))
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def _pattern(percussion: str, groove: str, place: int, part: int, beats: int) -> list[tuple[int, int]]:
    """Return (drum key, velocity) struck on a subdivision `part` of the beat `place` of a bar of `beats`."""
    first, off = place == 0, part > 0
    back = place > 0 if beats == 3 else place % 2 == 1
    if percussion == "tambourine":
        return [(_TAMBOURINE, 55 if off and beats == 3 else 95 if not off and back else 75)]
    if percussion == "snare drum":
        return [(_SNARE, 60 if off else 100 if first else 78), *[(_KICK, 100)] * (not off and not back)]
    if percussion == "hand drums":
        return [(_SHAKER, 50), (_CONGA_HIGH, 72) if off else (_CONGA_LOW, 92)]
    if percussion == "drum machine":
        return [(_OPEN, 84)] if off else [(_KICK, 112), (_HAT, 60), *[(_CLAP, 96)] * back]
    if groove == "swing":
        return [(_RIDE, 70)] * back if off else [(_RIDE, 86), *([(_PEDAL, 84)] if back else [(_KICK, 62)])]
    hits = [(_RIDE if beats == 3 else _HAT, 52 if off else 66)]
    if not off and (first or (beats == 4 and place == 2)):
        hits.append((_KICK, 105))
    if off and groove == "power" and place % 4 == 2:
        hits.append((_KICK, 92))
    if not off and back:
        hits.append((_SNARE, 84 if beats == 3 else 98))
    return hits
