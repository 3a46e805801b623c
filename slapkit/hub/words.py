"""The words of a published tagger: musicnn's hundred tags, put together as a few dozen words of six kinds.

A word's score is the mean log-odds of the tags that mean it, its percentile the share of the tracks of a folder that
score lower. What is said of a track are words that it stands out by, or that are more likely than not.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from slapkit.models.encoders.musicnn import TAGS

# kind -> word -> the tags that mean it, in either network. Decades are left out, which are no sound, and "solo", which
# of solos of the score corpus is no more likely than of others (AUC 0.52 over 239 clips).
WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "instruments": {
        "guitar": ("guitar",), "piano": ("piano",), "strings": ("strings",), "violin": ("violin",),
        "cello": ("cello",), "flute": ("flute",), "harp": ("harp",), "harpsichord": ("harpsichord",),
        "sitar": ("sitar",), "synth": ("synth",), "drums": ("drums", "beat", "beats"),
    },
    "voice": {
        "female voice": ("female", "woman", "female vocal", "female voice", "female vocalists", "female vocalist"),
        "male voice": ("male", "man", "male vocal", "male voice", "male vocalists"),
        "choir": ("choir", "choral"),
        "voice": ("vocal", "vocals", "voice", "singing"),
        "none": ("no vocals", "no vocal", "no voice", "instrumental"),
    },
    "tempo": {"slow": ("slow",), "fast": ("fast",)},
    "mood": {
        "sad": ("sad",), "happy": ("happy",), "mellow": ("Mellow",), "chill": ("chill", "chillout"),
        "party": ("party",), "beautiful": ("beautiful",), "sexy": ("sexy",), "catchy": ("catchy",),
        "easy listening": ("easy listening",), "quiet": ("quiet", "soft"), "loud": ("loud",), "weird": ("weird",),
    },
    "genre": {
        "classical": ("classical", "classic"), "opera": ("opera",), "techno": ("techno",), "house": ("House",),
        "dance": ("dance",), "ambient": ("ambient",), "new age": ("new age",), "rock": ("rock", "classic rock"),
        "hard rock": ("hard rock",),
        "alternative": ("alternative", "alternative rock"), "indie": ("indie", "indie rock", "indie pop"),
        "metal": ("metal", "heavy metal"), "punk": ("punk",), "progressive rock": ("Progressive rock",),
        "pop": ("pop",), "folk": ("folk",), "country": ("country",), "jazz": ("jazz",), "blues": ("blues",),
        "soul": ("soul",), "funk": ("funk",), "rnb": ("rnb",), "hip-hop": ("Hip-Hop",), "indian": ("indian",),
        "experimental": ("experimental",),
    },
    "sound": {"acoustic": ("acoustic",), "electronic": ("electronic", "electronica", "electro")},
}  # fmt: skip

NO_VOICE = "none"
_TAGS = np.array([tag for tags in TAGS.values() for tag in tags])
_STANDS_OUT = 0.9  # percentile
_LEAST = {"instruments": 0.05, "genre": 0.1, "mood": 0.02}  # probability: the last of a folder has percentiles too
_MOST = 3  # words of a kind
_SLOWEST, _FASTEST = 1 / 3, 2 / 3
# What is likely where instruments are played, and where sounds are made: the difference of their sums of log-odds above
# which music is called acoustic and below which electronic. Chosen on 89 tracks of games.
_PLAYED, _MADE = ("acoustic", "classical", "strings"), ("electronic", "techno", "synth")
_ACOUSTIC, _ELECTRONIC = -3.0, -7.0


class Words(NamedTuple):
    """What is said of a track: words (or what was measured) by kind, and the percentile of each in [0, 1]; "medium" and
    measurements have none."""

    facts: dict[str, list[str | int]]
    percentiles: dict[str, float]


def describe(probabilities: np.ndarray) -> list[Words]:
    """Return what is said of each of N tracks, given the `probabilities [N, 100]` of musicnn's tags.

    Tempo is relative, by thirds of the folder. Whether there is a voice is decided by all tags for and against it, and
    whether music is acoustic or electronic by six words; between the two nothing is said.
    """
    clipped = np.clip(probabilities.astype(np.float64), 1e-7, 1 - 1e-7)
    odds = np.log(clipped / (1 - clipped))
    scores = {word: _mean(odds, tags) for words in WORDS.values() for word, tags in words.items()}
    sung = {word: scores[word] for word in WORDS["voice"] if word != NO_VOICE}
    against = scores[NO_VOICE]
    scores["fast"] = scores["fast"] - scores.pop("slow")
    scores[NO_VOICE] = -(voice := _mean(odds, [tag for word in sung for tag in WORDS["voice"][word]]) - against)
    played = sum(scores[word] for word in _PLAYED) - sum(scores[word] for word in _MADE)
    scores |= {"acoustic": played, "electronic": -played}
    sound = {"acoustic": played > _ACOUSTIC, "electronic": played < _ELECTRONIC}
    # The share of tracks that score lower, half of those that score the same included: one alone is at 0.5.
    percentiles = {word: (rankdata(values) - 0.5) / len(values) for word, values in scores.items()}
    percentiles["slow"] = 1 - percentiles["fast"]
    result = []
    for track in range(len(odds)):
        said = {word: float(values[track]) for word, values in percentiles.items()}
        facts = {kind: _stand_out(kind, track, scores, said) for kind in _LEAST}
        facts["voice"] = [max(sung, key=lambda word: sung[word][track]) if voice[track] > 0 else NO_VOICE]
        fast = said["fast"]
        facts["tempo"] = ["slow" if fast <= _SLOWEST else "fast" if fast >= _FASTEST else "medium"]
        facts["sound"] = [word for word, holds in sound.items() if holds[track]]
        facts = {kind: facts[kind] for kind in WORDS if facts[kind]}
        words = [word for words in facts.values() for word in words if word in said]
        result.append(Words(facts, {word: round(said[word], 3) for word in words}))
    return result


def _mean(odds: np.ndarray, tags: Sequence[str]) -> np.ndarray:
    return odds[:, np.isin(_TAGS, tags)].mean(axis=1)


def _stand_out(kind: str, track: int, scores: dict[str, np.ndarray], percentiles: dict[str, float]) -> list[str]:
    floor = np.log(_LEAST[kind] / (1 - _LEAST[kind]))
    found = [
        word
        for word in WORDS[kind]
        if scores[word][track] > 0 or (scores[word][track] >= floor and percentiles[word] >= _STANDS_OUT)
    ]
    return sorted(found, key=lambda word: -scores[word][track])[:_MOST]
