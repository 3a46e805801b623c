"""Captions from facts: balanced frames in several registers, filled with words for what is in the audio.

Words and frames are those of `captions.txt`; training never shows those of the test split. Captions of one corpus are
written together, in the order of the clips, so that frames can take turns: each caption takes the frame that its split
has used least among those of its register that fit the clip.
"""

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import numpy as np

from slapkit.data.scores.instruments import BY_NAME

Pair = tuple[tuple[str, ...], tuple[str, ...]]  # phrases of (training, test)


def _sections() -> dict[str, list[str]]:
    """Return the lines of each section, comments left out."""
    text = (files("slapkit.data.scores") / "captions.txt").read_text(encoding="utf-8")
    parts = re.split(r"(?m)^\[([\w ]+)\].*\n", text)[1:]
    kept = ([line for line in part.splitlines() if line and line[0] != "#"] for part in parts[1::2])
    return dict(zip(parts[::2], kept, strict=True))


def _bank(lines: list[str]) -> dict[str, Pair]:
    """Return the phrases of each fact; a line that begins with "|" continues the one before."""
    bank = {}
    for line in "\n".join(lines).replace("\n|", " |").splitlines():
        fact, phrases = line.split(":")
        train, test = (tuple(part.strip() for part in side.split(";")) for side in phrases.split("|"))
        bank[fact] = train, test
    return bank


REGISTERS = ("sentence", "terse", "tags", "query", "partial")
_SECTIONS = _sections()
# register -> frames
TRAIN, TEST = ({name: tuple(_SECTIONS.pop(f"{side} {name}")) for name in REGISTERS} for side in ("TRAIN", "TEST"))
BANKS = {name: _bank(lines) for name, lines in _SECTIONS.items()}  # "STYLE" -> fact -> phrases
# Captions of each register: of a clip that is asked for, and of one to train on, where variety teaches single facts.
PER_CLIP = dict(zip(REGISTERS, (3, 2, 1, 2, 2), strict=True))
PER_TRAINING_CLIP = dict(zip(REGISTERS, (4, 3, 2, 3, 6), strict=True))
_SLOT = re.compile(r"\{(\w+)(?::(\w+))?\}")
# Metre is audible in dances and songs; old polyphony hides it, unless drums beat it.
_METRE_HIDDEN = {"hymn", "Renaissance", "classical", "ambient"}
_FRAMES = {
    side: {f"{side}-{register}-{i:02d}": text for register in REGISTERS for i, text in enumerate(frames[register])}
    for side, frames in (("train", TRAIN), ("test", TEST))
}
# How often an instrument goes by another name in training and in test captions. In test captions every word for tempo,
# mood and style is new already; more new names of instruments would ask for what no training could teach.
_OTHER_NAME = (0.4, 0.25)
# Slots filled from a section of `captions.txt`, by a fact.
_BANKED = {
    "style": ("STYLE", "style"), "tempo": ("TEMPO", "tempo_class"), "pace": ("PACE", "tempo_class"),
    "mood": ("MOOD", "mood"), "in_mode": ("MODE", "mode"), "key": ("KEY", "mode"), "metre": ("METRE", "metre"),
    "drums": ("DRUMS", "percussion"), "beat": ("BEAT", "beat"), "texture": ("TEXTURE", "texture"),
    "accomp": ("ACCOMPANIMENT", "accompaniment"), "register": ("REGISTER", "register"),
    "artic": ("ARTICULATION", "articulation"), "size": ("SIZE", "ensemble"), "sound": ("SOUND", "sound"),
}  # fmt: skip
# Slots without words, which say that something is absent, or nothing.
_CONDITIONS = {
    "no_drums": "drums=False", "no_voice": "voice=False", "solo": "ensemble=solo", "solo_singular": "ensemble=solo",
    "accomp_others": "", "accomp_plural": "",
}  # fmt: skip
_NAMED = {"insts", "a_insts", "bare", "tags", "lead", "a_lead", "the_lead", "one", "a_one"}  # instruments, always known


def write_captions(clips: Sequence[Mapping[str, Any]], seed: int) -> list[dict[str, list[str]]]:
    """Return the columns that captions have in the table, for each clip: `PER_CLIP` captions of each register, and
    `PER_TRAINING_CLIP` in the split "train".

    `captions` are distinct and in distinct frames, whose ids are `caption_frames`; beside them `caption_registers`, and
    `caption_facts`, what each says as "tempo_class=slow; instruments=flute" (see `statements`). The facts of each clip
    have its `split` among them.
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
        rows: list[tuple[str, str, str, str]] = []
        per_clip = PER_TRAINING_CLIP if facts["split"] == "train" else PER_CLIP
        for register, wanted in per_clip.items():
            for frame in (f for f in fitting if f.split("-")[1] == register):
                if sum(row[1] == register for row in rows) == wanted:
                    break
                caption, said = fill(bank[frame], facts, rng, articles=register not in ("tags", "query"))
                if caption.lower() not in {row[0].lower() for row in rows}:
                    rows.append((caption, register, frame, "; ".join(sorted(said))))
                    counts[frame] += 1
        names = ("captions", "caption_registers", "caption_frames", "caption_facts")
        result.append({name: list(column) for name, column in zip(names, zip(*rows), strict=True)})
    return result


def slots(frame: str) -> set[str]:
    """Return the facts a frame needs, verbs left out."""
    return {name for name, verb in _SLOT.findall(frame) if not verb}


def facets_of(facts: Mapping[str, Any]) -> set[str]:
    """Return the slots that the facts of a clip can fill."""
    audible, said = _audible(facts), statements(facts)
    several = len(facts["instruments"]) > 1
    conditions = {
        "others": several,
        "a_others": several,
        "solo_singular": "ensemble=solo" in said and not BY_NAME[facts["instruments"][0]].plural,
        "accomp_others": facts["accompaniment"] and len(facts["instruments"]) == 2,
        "accomp_plural": facts["accompaniment"] in ("chords", "arpeggios"),
    }
    conditions |= {name: fact in said for name, fact in _CONDITIONS.items() if name not in conditions}
    filled = {slot for slot, (_, fact) in _BANKED.items() if audible[fact]}
    return _NAMED | filled | {name for name, holds in conditions.items() if holds}


def statements(facts: Mapping[str, Any]) -> set[str]:
    """Return what captions may say of a clip, each as "fact=value": style, instruments, ensemble, metre and so on."""
    said = {f"{fact}={value}" for fact, value in _audible(facts).items() if value and fact not in ("mood", "beat")}
    said |= {f"instruments={name}" for name in facts["instruments"]} | {f"drums={facts['drums']}"}
    return said | {f"voice={any(BY_NAME[name].family == 'voice' for name in facts['instruments'])}"}


def _audible(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts that words are chosen by; nothing where a listener would not notice it."""
    plain = ("style", "tempo_class", "percussion", "accompaniment")
    ensemble = ("solo", "duet", "trio")[min(3, len(facts["instruments"])) - 1]
    bare_line = facts["texture"] == "single line" and facts["drums"]  # "unaccompanied" would be wrong
    beats = "" if facts["style"] in _METRE_HIDDEN and not facts["drums"] else facts["metre"].split("/")[0]
    return {name: facts[name] for name in plain} | {
        "mood": f"{facts['mode']} {facts['tempo_class']}",
        "mode": facts["mode"].replace("unclear", ""),
        "beat": facts["drums"] and ("tambourine" if facts["percussion"] == "tambourine" else "drums"),
        "metre": {"2": "duple", "4": "quadruple", "3": "triple", "6": "compound"}.get(beats, ""),
        "texture": "" if bare_line else facts["texture"],
        "register": facts["register"].replace("middle", ""),
        "articulation": facts["articulation"].replace("plain", ""),
        "ensemble": "" if facts["drums"] else ensemble,
        "sound": _sound(facts),
    }


def _sound(facts: Mapping[str, Any]) -> str:
    """Return "acoustic" where nothing needs electricity, "electronic" where most are synthesised, else nothing."""
    found = [BY_NAME[name].sound for name in facts["instruments"]]
    found += ["electronic"] * (facts["percussion"] == "drum machine")
    if set(found) == {"acoustic"}:
        return "" if facts["style"] == "electronic dance" else "acoustic"
    return "electronic" if 2 * found.count("electronic") > len(found) else ""


def fill(
    frame: str, facts: Mapping[str, Any], rng: np.random.Generator, *, articles: bool = True
) -> tuple[str, set[str]]:
    """Return the caption of a frame for these facts and the statements that it makes.

    Articles, agreement and capitals are put right; without `articles`, words from the banks have none.
    """
    side = int(facts["split"] == "test")
    instruments = [BY_NAME[name] for name in facts["instruments"]]
    names = []
    for instrument in instruments:
        other = rng.random() < _OTHER_NAME[side] and (instrument.train, instrument.test)[side]
        names.append(other or instrument.name)
    extra, audible, said = "", _audible(facts), set()
    listed = slots(frame) & {"insts", "a_insts", "bare", "tags"} and not slots(frame) & {"drums", "beat"}
    if facts["drums"] and listed and rng.random() < 0.5:
        extra = _pick(BANKS["DRUMS"][facts["percussion"]], side, rng)
        said.add(f"percussion={facts['percussion']}")
    phrases = _instrument_phrases(names, facts["instruments"], extra, int(rng.integers(len(names))))
    plural = {
        "s": len(names) > 1 or bool(extra) or instruments[0].plural,
        "l": instruments[0].plural,
        "o": len(names) > 2 or (len(names) == 2 and instruments[1].plural),
    }
    chosen = ""  # the phrase filled last

    def word(match: re.Match[str]) -> str:
        nonlocal chosen
        name, verb = match.groups()
        if verb:
            many = _is_plural(chosen) if name == "d" else plural[name]
            if verb == "be":
                return "are" if many else "is"
            return verb if many else {"carry": "carries"}.get(verb, f"{verb}s")
        if name in _CONDITIONS:
            said.add(_CONDITIONS[name])
            return ""
        if name in phrases:
            chosen, named = phrases[name]
            said.update(f"instruments={canonical}" for canonical in named)
            return chosen
        section, fact = _BANKED[name]
        chosen = _pick(BANKS[section][audible[fact]], side, rng)
        facts_said = {"mood": ("mode", "tempo_class")}.get(fact, (fact,))
        said.update({f"{f}={audible[f]}" for f in facts_said if audible[f]} if name != "beat" else {"drums=True"})
        return chosen if articles else _without_article(chosen)

    return tidy(_SLOT.sub(word, frame)), said - {""}


def _is_plural(drums: str) -> bool:
    """Whether a phrase for drums is plural ("drums keep", "a drum kit keeps")."""
    return bool(drums) and drums.split()[0] not in ("a", "the", "percussion", "Latin")


def _instrument_phrases(
    names: Sequence[str], canonical: Sequence[str], extra: str, one: int
) -> dict[str, tuple[str, Sequence[str]]]:
    """Return for each slot that names instruments its words, and which it names; `extra` are drums, if not empty."""
    articled = [called if BY_NAME[name].plural else f"a {called}" for called, name in zip(names, canonical)]
    bare = [*names, *([_without_article(extra)] if extra else [])]
    return {
        "insts": (_join(bare), canonical),
        "a_insts": (_join([*articled, *([extra] if extra else [])]), canonical),
        "bare": (" and ".join(bare), canonical),
        "tags": (", ".join(bare), canonical),
        "others": (_join(names[1:]), canonical[1:]),
        "a_others": (_join(articled[1:]), canonical[1:]),
        "lead": (names[0], canonical[:1]),
        "a_lead": (articled[0], canonical[:1]),
        "the_lead": (f"the {names[0]}", canonical[:1]),
        "one": (names[one], canonical[one : one + 1]),
        "a_one": (articled[one], canonical[one : one + 1]),
    }


def _without_article(phrase: str) -> str:
    return re.sub(r"^(a|an|the) ", "", phrase)


def _pick(pair: Pair, side: int, rng: np.random.Generator) -> str:
    return pair[side][int(rng.integers(len(pair[side])))]


def _join(names: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def tidy(text: str) -> str:
    """Return a caption with the right indefinite articles, single spaces, and a capital where it is a sentence."""
    text = re.sub(r"\s+", " ", text).strip()
    text = re.sub(r"\b(\w+) \1\b", r"\1", text)  # "warm warm cello" of two slots
    vowel = r"(?=[aeiouAEIOU8](?!ne[ -]|ni))"  # "a one-instrument", "a unison", but "an 8-bit synth"
    text = re.sub(rf"\b([Aa]) {vowel}", r"\1n ", text)
    return text[0].upper() + text[1:] if text.endswith((".", "?")) else text
