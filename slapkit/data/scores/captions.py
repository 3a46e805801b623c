"""Captions from facts: balanced sentence frames filled with words for what is heard.

Captions of one corpus are written together, in the order of the clips, so that frames can take turns: each caption
takes the frame that its split has used least among those that fit the clip.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from slapkit.data.scores import phrases
from slapkit.data.scores.frames import TEST, TRAIN
from slapkit.data.scores.instruments import BY_NAME

PER_CLIP = 6
_SLOT = re.compile(r"\{(\w+)(?::(\w+))?\}")
# Metre is heard in dances and songs; old polyphony hides it, unless drums beat it.
_METRE_HIDDEN = {"mass", "motet", "madrigal", "medieval", "chorale", "classical", "baroque", "romantic"}
_FRAMES = {
    "train": {f"train-{i:02d}": text for i, text in enumerate(TRAIN)},
    "test": {f"test-{i:02d}": text for i, text in enumerate(TEST)},
}
# How often an instrument goes by another name. In test captions every word for tempo, mood and style is new already; if
# instruments often had unheard names too, the captions would ask for what no training could teach.
_OTHER_NAME = (0.4, 0.25)
_CONDITIONS = ("no_drums", "solo", "solo_singular", "accomp_others", "accomp_plural")


def vocabulary_of(split: str) -> str:
    """Return which words and frames a split uses: "test" or "train" (training and validation)."""
    return "test" if split == "test" else "train"


def write_captions(clips: Sequence[Mapping[str, Any]], seed: int) -> list[tuple[list[str], list[str]]]:
    """Return (captions, frame ids) for each clip: `PER_CLIP` distinct captions in distinct frames.

    Args:
        clips: facts of each clip, `split` among them.
        seed: seed of the words and of ties between frames.
    """
    used: dict[str, dict[str, int]] = {}
    result = []
    for number, facts in enumerate(clips):
        split = str(facts["split"])
        bank = _FRAMES[vocabulary_of(split)]
        counts = used.setdefault(split, dict.fromkeys(bank, 0))
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
    found = {"insts", "a_insts", "lead", "a_lead", "the_lead", "style", "tempo", "pace", "mood", "texture", "size"}
    several = len(facts["instruments"]) > 1
    found |= {"others", "a_others"} if several else set()
    found |= {"drums"} if facts["drums"] else {"no_drums"}
    found |= {"in_mode"} if facts["mode"] != "unclear" else set()
    found |= {"metre"} if metre_class(facts) else set()
    found |= {"register"} if facts["register"] != "middle" else set()
    found |= {"artic"} if facts["articulation"] != "plain" else set()
    found |= {"accomp"} if facts["accompaniment"] else set()
    found |= {"accomp_others"} if facts["accompaniment"] and len(facts["instruments"]) == 2 else set()
    found |= {"accomp_plural"} if facts["accompaniment"] in ("chords", "arpeggios") else set()
    if not several and not facts["drums"]:
        found |= {"solo"} if BY_NAME[facts["instruments"][0]].plural else {"solo", "solo_singular"}
    return found


def metre_class(facts: Mapping[str, Any]) -> str:
    """Return duple, quadruple, triple or compound; "" where a listener would not hear it."""
    if facts["style"] in _METRE_HIDDEN and not facts["drums"]:
        return ""
    beats = int(str(facts["metre"]).split("/")[0])
    return {2: "duple", 4: "quadruple", 3: "triple", 6: "compound"}.get(beats, "")


def fill(frame: str, facts: Mapping[str, Any], rng: np.random.Generator) -> str:
    """Return the caption of a frame for these facts, with articles, agreement and capitals put right."""
    side = 1 if vocabulary_of(str(facts["split"])) == "test" else 0
    names = _names(facts, side, rng)
    extra = ""
    if facts["drums"] and "{drums}" not in frame and "{size}" not in frame and rng.random() < 0.5:
        extra = _pick(phrases.DRUMS[facts["percussion"]], side, rng)
    plural = {
        "s": len(names) > 1 or bool(extra) or BY_NAME[facts["instruments"][0]].plural,
        "l": BY_NAME[facts["instruments"][0]].plural,
        "o": len(names) > 2 or (len(names) == 2 and BY_NAME[facts["instruments"][1]].plural),
    }

    def word(match: re.Match[str]) -> str:
        name, verb = match.groups()
        if name in _CONDITIONS:
            return ""
        if name == "d":
            return verb + ("" if _last_drums(text_so_far) else "s")
        if verb == "be":
            return "are" if plural[name] else "is"
        if verb:
            return verb if plural[name] else phrases.VERBS[verb]
        chosen = _word(name, facts, names, extra, side, rng)
        text_so_far.append(chosen)
        return chosen

    text_so_far: list[str] = []
    return tidy(_SLOT.sub(word, frame))


def _last_drums(words: list[str]) -> bool:
    """Whether the drum phrase filled last is plural ("drums keep", "a drum kit keeps")."""
    return (
        bool(words)
        and not words[-1].startswith(("a ", "the "))
        and words[-1].split()[0] not in ("percussion", "military", "Latin")
    )


def _names(facts: Mapping[str, Any], side: int, rng: np.random.Generator) -> list[str]:
    """Return what this caption calls each instrument."""
    names = []
    for canonical in facts["instruments"]:
        others = (BY_NAME[canonical].train, BY_NAME[canonical].test)[side]
        names.append(
            others[int(rng.integers(len(others)))] if others and rng.random() < _OTHER_NAME[side] else canonical
        )
    return names


def _word(
    name: str, facts: Mapping[str, Any], names: list[str], extra: str, side: int, rng: np.random.Generator
) -> str:
    plural = [BY_NAME[canonical].plural for canonical in facts["instruments"]]
    with_article = [n if p else f"a {n}" for n, p in zip(names, plural, strict=True)]
    more = [extra] if extra else []
    if name == "insts":
        return _join([*names, *(_bare(e) for e in more)])
    if name == "a_insts":
        return _join([*with_article, *more])
    if name in ("others", "a_others"):
        return _join((names if name == "others" else with_article)[1:])
    if name in ("lead", "a_lead", "the_lead"):
        return {"lead": names[0], "a_lead": with_article[0], "the_lead": f"the {names[0]}"}[name]
    if name == "mood":
        return _pick(phrases.MOOD[facts["mode"], facts["tempo_class"]], side, rng)
    if name == "size":
        return _pick(phrases.SIZE[min(3, len(names))], side, rng)
    bank, key = {
        "style": (phrases.STYLE, facts["style"]),
        "tempo": (phrases.TEMPO, facts["tempo_class"]),
        "pace": (phrases.PACE, facts["tempo_class"]),
        "in_mode": (phrases.MODE, facts["mode"]),
        "metre": (phrases.METRE, metre_class(facts)),
        "drums": (phrases.DRUMS, facts["percussion"]),
        "texture": (phrases.TEXTURE, facts["texture"]),
        "accomp": (phrases.ACCOMPANIMENT, facts["accompaniment"]),
        "register": (phrases.REGISTER, facts["register"]),
        "artic": (phrases.ARTICULATION, facts["articulation"]),
    }[name]
    return _pick(bank[key], side, rng)


def _pick(pair: phrases.Pair, side: int, rng: np.random.Generator) -> str:
    return pair[side][int(rng.integers(len(pair[side])))]


def _bare(phrase: str) -> str:
    return re.sub(r"^(a|an|the) ", "", phrase)


def _join(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def tidy(text: str) -> str:
    """Return a caption with the right indefinite articles, single spaces and a capital where it is a sentence."""
    text = re.sub(r"\s+", " ", text).strip()
    vowel = r"(?=[aeiouAEIOU8](?!ne[ -]|ni))"  # "a one-instrument", "a unison", but "an 8-bit synth"
    text = re.sub(rf"\b([Aa]) {vowel}", r"\1n ", text)
    sentence = text.endswith((".", "?"))
    return text[0].upper() + text[1:] if sentence else text
