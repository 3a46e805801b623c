"""Captions from facts: balanced sentence frames filled with words for what is in the audio.

Captions of one corpus are written together, in the order of the clips, so that frames can take turns: each caption
takes the frame that its split has used least among those that fit the clip.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from slapkit.data.scores.instruments import BY_NAME
from slapkit.data.scores.phrases import BANKS, TEST, TRAIN, Pair

PER_CLIP = 6
_SLOT = re.compile(r"\{(\w+)(?::(\w+))?\}")
# Metre is audible in dances and songs; old polyphony hides it, unless drums beat it.
_METRE_HIDDEN = {"mass", "motet", "madrigal", "medieval", "chorale", "classical", "baroque", "romantic"}
_FRAMES = {
    "train": {f"train-{i:02d}": text for i, text in enumerate(TRAIN)},
    "test": {f"test-{i:02d}": text for i, text in enumerate(TEST)},
}
# How often an instrument goes by another name in training and in test captions. In test captions every word for tempo,
# mood and style is new already; more new names of instruments would ask for what no training could teach.
_OTHER_NAME = (0.4, 0.25)
_CONDITIONS = ("no_drums", "solo", "solo_singular", "accomp_others", "accomp_plural")  # slots without words
_ALWAYS = {"insts", "a_insts", "lead", "a_lead", "the_lead", "style", "tempo", "pace", "mood", "texture", "size"}


def write_captions(clips: Sequence[Mapping[str, Any]], seed: int) -> list[tuple[list[str], list[str]]]:
    """Return (captions, frame ids) for each clip: `PER_CLIP` distinct captions in distinct frames.

    Args:
        clips: facts of each clip, `split` among them.
        seed: seed of the words and of ties between frames.
    """
    used: dict[str, dict[str, int]] = {}
    result = []
    for number, facts in enumerate(clips):
        bank = _FRAMES["test" if facts["split"] == "test" else "train"]
        counts = used.setdefault(facts["split"], dict.fromkeys(bank, 0))
        rng = np.random.default_rng([seed, 4, number])
        facets = facets_of(facts)
        tie = dict(zip(bank, rng.random(len(bank)).tolist(), strict=True))
        fitting = sorted((f for f in bank if slots(bank[f]) <= facets), key=lambda f: (counts[f], tie[f]))
        captions: list[str] = []
        frames: list[str] = []
        for frame in fitting:
            if len(frames) == PER_CLIP:
                break
            caption = fill(bank[frame], facts, rng)
            if caption.lower() not in {c.lower() for c in captions}:
                captions.append(caption)
                frames.append(frame)
                counts[frame] += 1
        result.append((captions, frames))
    return result


def slots(frame: str) -> set[str]:
    """Return the facts a frame needs, verbs left out."""
    return {name for name, verb in _SLOT.findall(frame) if not verb}


def facets_of(facts: Mapping[str, Any]) -> set[str]:
    """Return the slots that the facts of a clip can fill."""
    several = len(facts["instruments"]) > 1
    alone = not several and not facts["drums"]
    conditions = {
        "others": several,
        "a_others": several,
        "drums": facts["drums"],
        "no_drums": not facts["drums"],
        "in_mode": facts["mode"] != "unclear",
        "metre": metre_class(facts),
        "register": facts["register"] != "middle",
        "artic": facts["articulation"] != "plain",
        "accomp": facts["accompaniment"],
        "accomp_others": facts["accompaniment"] and len(facts["instruments"]) == 2,
        "accomp_plural": facts["accompaniment"] in ("chords", "arpeggios"),
        "solo": alone,
        "solo_singular": alone and not BY_NAME[facts["instruments"][0]].plural,
    }
    return _ALWAYS | {name for name, holds in conditions.items() if holds}


def metre_class(facts: Mapping[str, Any]) -> str:
    """Return duple, quadruple, triple or compound; "" where a listener would not notice it."""
    if facts["style"] in _METRE_HIDDEN and not facts["drums"]:
        return ""
    beats = int(facts["metre"].split("/")[0])
    return {2: "duple", 4: "quadruple", 3: "triple", 6: "compound"}.get(beats, "")


def fill(frame: str, facts: Mapping[str, Any], rng: np.random.Generator) -> str:
    """Return the caption of a frame for these facts, with articles, agreement and capitals put right."""
    side = int(facts["split"] == "test")
    instruments = [BY_NAME[name] for name in facts["instruments"]]
    names = []
    for instrument in instruments:
        other = rng.random() < _OTHER_NAME[side] and (instrument.train, instrument.test)[side]
        names.append(other or instrument.name)
    extra = ""
    if facts["drums"] and "{drums}" not in frame and "{size}" not in frame and rng.random() < 0.5:
        extra = _pick(BANKS["DRUMS"][facts["percussion"]], side, rng)
    plural = {
        "s": len(names) > 1 or bool(extra) or instruments[0].plural,
        "l": instruments[0].plural,
        "o": len(names) > 2 or (len(names) == 2 and instruments[1].plural),
    }
    chosen = ""  # the phrase filled last

    def word(match: re.Match[str]) -> str:
        nonlocal chosen
        name, verb = match.groups()
        if name in _CONDITIONS:
            return ""
        if verb:
            many = _is_plural(chosen) if name == "d" else plural[name]
            if verb == "be":
                return "are" if many else "is"
            return verb if many else {"carry": "carries"}.get(verb, f"{verb}s")
        chosen = _word(name, facts, names, extra, side, rng)
        return chosen

    return tidy(_SLOT.sub(word, frame))


def _is_plural(drums: str) -> bool:
    """Whether a phrase for drums is plural ("drums keep", "a drum kit keeps")."""
    return bool(drums) and drums.split()[0] not in ("a", "the", "percussion", "military", "Latin")


def _word(
    name: str, facts: Mapping[str, Any], names: list[str], extra: str, side: int, rng: np.random.Generator
) -> str:
    """Return the words for one slot."""
    with_article = [
        called if BY_NAME[canonical].plural else f"a {called}"
        for called, canonical in zip(names, facts["instruments"], strict=True)
    ]
    fixed = {
        "insts": [*names, re.sub(r"^(a|an|the) ", "", extra)],
        "a_insts": [*with_article, extra],
        "others": names[1:],
        "a_others": with_article[1:],
        "lead": names[:1],
        "a_lead": with_article[:1],
        "the_lead": [f"the {names[0]}"],
    }
    if name in fixed:
        return _join([word for word in fixed[name] if word])
    bank, key = {
        "mood": (BANKS["MOOD"], f"{facts['mode']} {facts['tempo_class']}"),
        "size": (BANKS["SIZE"], str(min(3, len(names)))),
        "style": (BANKS["STYLE"], facts["style"]),
        "tempo": (BANKS["TEMPO"], facts["tempo_class"]),
        "pace": (BANKS["PACE"], facts["tempo_class"]),
        "in_mode": (BANKS["MODE"], facts["mode"]),
        "metre": (BANKS["METRE"], metre_class(facts)),
        "drums": (BANKS["DRUMS"], facts["percussion"]),
        "texture": (BANKS["TEXTURE"], facts["texture"]),
        "accomp": (BANKS["ACCOMPANIMENT"], facts["accompaniment"]),
        "register": (BANKS["REGISTER"], facts["register"]),
        "artic": (BANKS["ARTICULATION"], facts["articulation"]),
    }[name]
    return _pick(bank[key], side, rng)


def _pick(pair: Pair, side: int, rng: np.random.Generator) -> str:
    return pair[side][int(rng.integers(len(pair[side])))]


def _join(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def tidy(text: str) -> str:
    """Return a caption with the right indefinite articles, single spaces and a capital where it is a sentence."""
    text = re.sub(r"\s+", " ", text).strip()
    vowel = r"(?=[aeiouAEIOU8](?!ne[ -]|ni))"  # "a one-instrument", "a unison", but "an 8-bit synth"
    text = re.sub(rf"\b([Aa]) {vowel}", r"\1n ", text)
    return text[0].upper() + text[1:] if text.endswith((".", "?")) else text
