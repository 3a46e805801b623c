"""Captions say only what is so, in sound English, and test captions use words and frames of their own."""

import collections
import re

import numpy as np
import pytest

from slapkit.data.scores import captions
from slapkit.data.scores.instruments import BY_NAME, INSTRUMENTS

WORDS = captions.BANKS
STYLES = sorted(WORDS["STYLE"])
BANKS = list(WORDS.values())


def some_facts(rng: np.random.Generator, split: str) -> dict:
    """Facts as the arranger may give them."""
    count = int(rng.integers(1, 4))
    drums = bool(rng.random() < 0.25)
    texture = str(rng.choice(list(WORDS["TEXTURE"])))
    return {
        "split": split,
        "style": str(rng.choice(STYLES)),
        "instruments": [str(n) for n in rng.choice([i.name for i in INSTRUMENTS], count, replace=False)],
        "tempo_class": str(rng.choice(["slow", "medium", "fast"])),
        "metre": str(rng.choice(["2/4", "3/4", "4/4", "6/8", "5/4"])),
        "mode": str(rng.choice(["major", "minor", "unclear"])),
        "drums": drums,
        "percussion": str(rng.choice(list(WORDS["DRUMS"]))) if drums else "",
        "texture": texture,
        "accompaniment": str(rng.choice(list(WORDS["ACCOMPANIMENT"]))) if count > 1 and texture == "chords" else "",
        "register": str(rng.choice(["low", "middle", "high"])),
        "articulation": str(rng.choice(["plain", "staccato", "legato"])),
    }


@pytest.fixture(scope="module")
def written():
    rng = np.random.default_rng(0)
    sizes = {"train": 1900, "validation": 200, "test": 400}
    clips = [some_facts(rng, split) for split, n in sizes.items() for _ in range(n)]
    return clips, captions.write_captions(clips, seed=0)


def test_captions_of_a_clip_differ_come_in_every_register_and_repeat_for_a_seed(written):
    clips, result = written
    for clip, columns in zip(clips, result):
        wanted = captions.PER_TRAINING_CLIP if clip["split"] == "train" else captions.PER_CLIP
        texts, used = columns["captions"], columns["caption_frames"]
        assert len({text.lower() for text in texts}) == len(texts) == len(used) == len(set(used))
        assert collections.Counter(columns["caption_registers"]) == wanted
        assert [frame.split("-")[1] for frame in used] == columns["caption_registers"]
        assert columns["caption_registers"][0] == "sentence", "the first caption is what others show"
    assert captions.write_captions(clips, seed=0) == result
    assert captions.write_captions(clips[:50], seed=1) != result[:50]


def test_frames_take_turns_and_those_of_the_test_split_are_never_seen_in_training(written):
    counts = {split: collections.Counter() for split in ("train", "validation", "test")}
    for clip, columns in zip(*written):
        counts[clip["split"]].update(columns["caption_frames"])
    for count in [*counts.values(), sum(counts.values(), collections.Counter())]:
        assert max(count.values()) / count.total() <= 0.02 and len(count) >= 100
    assert not set(counts["test"]) & set(counts["train"])
    assert set(counts["validation"]) <= set(counts["train"])
    train, test = ([text for texts in bank.values() for text in texts] for bank in (captions.TRAIN, captions.TEST))
    # Frames of a word or two ("{tempo} {style}, {insts}") differ in the order of slots, longer ones in their words.
    words = [{re.sub(r"\{[^}]*\}|[^\w ]", "", text).lower() for text in bank} for bank in (train, test)]
    assert not {text for text in words[0] & words[1] if len(text.split()) > 2}
    assert len(set(train + test)) == len(train) + len(test), "no frame is in both, none twice"
    assert min(len(bank[register]) for bank in (captions.TRAIN, captions.TEST) for register in captions.PER_CLIP) > 12


def test_words_of_the_test_split_are_never_seen_in_training():
    assert len(BANKS) == 15
    for bank in BANKS:
        train = {phrase for pair in bank.values() for phrase in pair[0]}
        test = {phrase for pair in bank.values() for phrase in pair[1]}
        assert train and test and not train & test
    names = [name for i in INSTRUMENTS for name in {i.name, i.train, i.test}]
    assert len(names) == len(set(names)) and all(i.test not in (i.name, i.train) for i in INSTRUMENTS)


def test_the_english_is_sound(written):
    for text in (text for columns in written[1] for text in columns["captions"]):
        assert not re.search(r"\b(\w+) \1\b", text.lower()), text
        assert not re.search(r"\b[Aa] [aeiou](?!ne[ -]|ni)", text), text
        assert not re.search(r"\b[Aa]n [^aeiouAEIOU8]", text), text
        assert not re.search(r"[{}_]|  | [,.;]|\.\.", text), text
        assert text == text.strip() and len(text) < 240
        if text.endswith("."):
            assert text[0].isupper() or text[0].isdigit(), text


def test_captions_say_only_what_is_so(written):
    named = total = 0
    for facts, columns in zip(*written):
        texts = columns["captions"]
        words = " ".join(texts).lower().replace("neither fast nor slow", "")
        if not facts["drums"]:
            beaten = [p.lower() for kind in ("drum kit", "hand drums") for side in WORDS["DRUMS"][kind] for p in side]
            assert not any(phrase in words for phrase in beaten if phrase != "drums")
        for mode in {"major", "minor"} - {facts["mode"]}:
            assert f"{mode} key" not in words and f"in {mode}" not in words
        for other in {"slow", "medium", "fast"} - {facts["tempo_class"]}:
            assert not any(f" {word} " in words for word in WORDS["TEMPO"][other][0] + WORDS["TEMPO"][other][1])
        known = [name.lower() for i in facts["instruments"] for name in (i, BY_NAME[i].train, BY_NAME[i].test)]
        full = [text for text, kind in zip(texts, columns["caption_registers"]) if kind != "partial"]
        total += len(full)
        named += sum(any(name in text.lower() for name in known) for text in full)
    assert named / total > 0.95, "nearly all full descriptions name an instrument"


def alone(facts: dict) -> bool:
    return len(facts["instruments"]) == 1 and not facts["drums"]


WIRED = re.compile("synth|electric|Hammond|jazz guitar|distorted")
MADE = re.compile("synth")  # the drum machine too


def sounds(facts: dict, key: str) -> bool:
    """Acoustic: nothing has a wire. Electronic: more than half of what sounds is synthesised."""
    names = facts["instruments"] + ["synthetic drums"] * (facts["percussion"] == "drum machine")
    made = sum(bool(MADE.search(name)) for name in names)
    return not any(map(WIRED.search, names)) if key == "acoustic" else made > len(names) / 2


# What the words of a section mean, as a question about the facts of a clip.
MEANING = {
    "STYLE": lambda f, key: f["style"] == key,
    "TEMPO": lambda f, key: f["tempo_class"] == key,
    "PACE": lambda f, key: f["tempo_class"] == key,
    "MOOD": lambda f, key: f"{f['mode']} {f['tempo_class']}" == key,
    "MODE": lambda f, key: f["mode"] == key,
    "KEY": lambda f, key: f["mode"] == key,
    "METRE": lambda f, key: f["metre"][0] == {"duple": "2", "quadruple": "4", "triple": "3", "compound": "6"}[key],
    "DRUMS": lambda f, key: f["percussion"] == key,
    "BEAT": lambda f, key: f["drums"],
    "TEXTURE": lambda f, key: f["texture"] == key and not (key == "single line" and f["drums"]),
    "ACCOMPANIMENT": lambda f, key: f["accompaniment"] == key,
    "REGISTER": lambda f, key: f["register"] == key,
    "ARTICULATION": lambda f, key: f["articulation"] == key,
    "SOUND": sounds,
    "SIZE": lambda f, key: len(f["instruments"]) == ["solo", "duet", "trio"].index(key) + 1 and not f["drums"],
}
VOICES = [instrument for instrument in INSTRUMENTS if instrument.family == "voice"]
ABSENT = {
    "no drums|without drums|minus drums|drumless|free of percussion": lambda f: not f["drums"],
    "solo|solo instrument|alone|only|unaccompanied|nobody else playing|just one player": alone,
    "instrumental|no voice|voiceless|nobody sings|non-vocal": lambda f: all(
        BY_NAME[i] not in VOICES for i in f["instruments"]
    ),
}


def test_tags_queries_and_partial_captions_are_true_word_by_word_and_say_which_facts_they_name(written):
    """An oracle that reads captions: the longest known phrases first, each of which must hold for the clip."""
    means = collections.defaultdict(list)
    for section, bank in WORDS.items():
        for key, sides in bank.items():
            for phrase in {re.sub("^(a|an|the) ", "", p) for side in sides for p in side}:
                means[phrase.lower()].append(lambda f, section=section, key=key: MEANING[section](f, key))
    for i in INSTRUMENTS:
        for name in {i.name, i.train, i.test}:
            means[name.lower()].append(lambda f, name=i.name: name in f["instruments"])
    for phrase, holds in ((phrase, holds) for listed, holds in ABSENT.items() for phrase in listed.split("|")):
        means[phrase].append(holds)
    known = re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, sorted(means, key=len, reverse=True)))})(?![\w-])")
    named = collections.Counter()
    for facts, columns in zip(*written):
        for text, kind, said in zip(*(columns[n] for n in ("captions", "caption_registers", "caption_facts"))):
            assert said and set(said.split("; ")) <= captions.statements(facts), text
            if kind in ("tags", "query", "partial"):
                found = known.findall(text.lower())
                assert found and all(any(holds(facts) for holds in means[phrase]) for phrase in found), (text, facts)
            if kind == "partial":
                named.update({statement.split("=")[0] for statement in said.split("; ")})
    assert len(named) == 14 and min(named.values()) > 60, "every kind of fact is asked for"


def test_plain_words_are_in_training(written):
    """A text tower cannot know what it never read."""
    kinds = collections.defaultdict(set)
    for clip, columns in zip(*written):
        for text, kind in zip(columns["captions"], columns["caption_registers"]):
            for words in ("with drums", "in minor", "in major", "slow", "fast", "solo", "counterpoint", "no drums"):
                if clip["split"] == "train" and re.search(rf"\b{words}\b", text.lower()):
                    kinds[words].add(kind)
    assert len(kinds) == 8 and all({"partial", "query"} <= found and len(found) >= 3 for found in kinds.values())
