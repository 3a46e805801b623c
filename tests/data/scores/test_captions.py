"""Captions say only what is so, in sound English, and test captions use words and frames of their own."""

import collections
import re

import numpy as np
import pytest

from slapkit.data.scores import captions, phrases
from slapkit.data.scores.instruments import BY_NAME, INSTRUMENTS

WORDS = phrases.BANKS
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


def test_captions_of_a_clip_differ_and_repeat_for_a_seed(written):
    clips, result = written
    for texts, used in result:
        assert len(texts) >= 5
        assert len({text.lower() for text in texts}) == len(texts) == len(used) == len(set(used))
    assert captions.write_captions(clips, seed=0) == result
    assert captions.write_captions(clips[:50], seed=1) != result[:50]


def test_frames_take_turns_and_those_of_the_test_split_are_never_seen_in_training(written):
    counts = {split: collections.Counter() for split in ("train", "validation", "test")}
    for clip, (_, used) in zip(*written):
        counts[clip["split"]].update(used)
    for count in [*counts.values(), sum(counts.values(), collections.Counter())]:
        assert max(count.values()) / count.total() <= 0.05 and len(count) >= 30
    assert not set(counts["test"]) & set(counts["train"])
    assert set(counts["validation"]) <= set(counts["train"])
    # Frames of a word or two ("{tempo} {style}, {insts}") differ in the order of slots, longer ones in their words.
    words = [{re.sub(r"\{[^}]*\}|[^\w ]", "", text).lower() for text in bank} for bank in (phrases.TRAIN, phrases.TEST)]
    assert not {text for text in words[0] & words[1] if len(text.split()) > 2}
    assert not set(phrases.TRAIN) & set(phrases.TEST)
    assert len(set(phrases.TRAIN)) == len(phrases.TRAIN) > 40 and len(set(phrases.TEST)) == len(phrases.TEST) > 30


def test_words_of_the_test_split_are_never_seen_in_training():
    assert len(BANKS) == 12
    for bank in BANKS:
        train = {phrase for pair in bank.values() for phrase in pair[0]}
        test = {phrase for pair in bank.values() for phrase in pair[1]}
        assert train and test and not train & test
    names = [name for i in INSTRUMENTS for name in {i.name, i.train, i.test}]
    assert len(names) == len(set(names)) and all(i.test not in (i.name, i.train) for i in INSTRUMENTS)


def test_the_english_is_sound(written):
    for text in (text for texts, _ in written[1] for text in texts):
        assert not re.search(r"\b(\w+) \1\b", text.lower()), text
        assert not re.search(r"\b[Aa] [aeiou](?!ne[ -]|ni)", text), text
        assert not re.search(r"\b[Aa]n [^aeiouAEIOU8]", text), text
        assert not re.search(r"[{}_]|  | [,.;]|\.\.", text), text
        assert text == text.strip() and len(text) < 240
        if text.endswith("."):
            assert text[0].isupper() or text[0].isdigit(), text


def test_captions_say_only_what_is_so(written):
    named = total = 0
    for facts, (texts, _) in zip(*written):
        words = " ".join(texts).lower().replace("neither fast nor slow", "")
        if not facts["drums"]:
            beaten = [p.lower() for kind in ("drum kit", "hand drums") for side in WORDS["DRUMS"][kind] for p in side]
            assert not any(phrase in words for phrase in beaten if phrase != "drums")
        for mode in {"major", "minor"} - {facts["mode"]}:
            assert f"{mode} key" not in words and f"in {mode}" not in words
        for other in {"slow", "medium", "fast"} - {facts["tempo_class"]}:
            assert not any(f" {word} " in words for word in WORDS["TEMPO"][other][0] + WORDS["TEMPO"][other][1])
        known = [name.lower() for i in facts["instruments"] for name in (i, BY_NAME[i].train, BY_NAME[i].test)]
        total += len(texts)
        named += sum(any(name in text.lower() for name in known) for text in texts)
    assert named / total > 0.95, "nearly all name an instrument"
