from __future__ import annotations

import collections
import re

import numpy as np
import pytest

from slapkit.data.scores import captions, frames, phrases
from slapkit.data.scores.instruments import BY_NAME, INSTRUMENTS

STYLES = sorted(phrases.STYLE)


def some_facts(rng: np.random.Generator, split: str) -> dict:
    """Facts as the arranger may give them."""
    count = int(rng.integers(1, 4))
    drums = bool(rng.random() < 0.25)
    texture = str(rng.choice(list(phrases.TEXTURE)))
    return {
        "split": split,
        "style": str(rng.choice(STYLES)),
        "instruments": [str(n) for n in rng.choice([i.name for i in INSTRUMENTS], count, replace=False)],
        "tempo_class": str(rng.choice(["slow", "medium", "fast"])),
        "metre": str(rng.choice(["2/4", "3/4", "4/4", "6/8", "5/4"])),
        "mode": str(rng.choice(["major", "minor", "unclear"])),
        "drums": drums,
        "percussion": str(rng.choice(list(phrases.DRUMS))) if drums else "",
        "texture": texture,
        "accompaniment": str(rng.choice(list(phrases.ACCOMPANIMENT))) if count > 1 and texture == "chords" else "",
        "register": str(rng.choice(["low", "middle", "high"])),
        "articulation": str(rng.choice(["plain", "staccato", "legato"])),
    }


@pytest.fixture(scope="module")
def written():
    rng = np.random.default_rng(0)
    clips = [
        some_facts(rng, split) for split, n in (("train", 1900), ("validation", 200), ("test", 400)) for _ in range(n)
    ]
    return clips, captions.write_captions(clips, seed=0)


def test_every_clip_has_at_least_five_distinct_captions_in_distinct_frames(written):
    for _, (texts, used) in zip(*written):
        assert len(texts) >= 5
        assert len({text.lower() for text in texts}) == len(texts) == len(used) == len(set(used))


def test_no_frame_covers_more_than_a_twentieth_of_the_captions_of_any_split(written):
    clips, result = written
    for split in ("train", "validation", "test", None):
        count = collections.Counter(
            f for c, (_, used) in zip(clips, result) if split in (c["split"], None) for f in used
        )
        assert max(count.values()) / count.total() <= 0.05
        assert len(count) >= 30


def test_frames_of_the_test_split_are_never_seen_in_training(written):
    clips, result = written
    used = {
        split: {f for c, (_, u) in zip(clips, result) if c["split"] == split for f in u}
        for split in ("train", "validation", "test")
    }
    assert not used["test"] & (used["train"] | used["validation"])
    assert used["validation"] <= used["train"]
    # Frames of a word or two ("{tempo} {style}, {insts}") differ in the order of slots, longer ones in their words.
    words = [{re.sub(r"\{[^}]*\}|[^\w ]", "", text).lower() for text in bank} for bank in (frames.TRAIN, frames.TEST)]
    assert not {text for text in words[0] & words[1] if len(text.split()) > 2}
    assert not set(frames.TRAIN) & set(frames.TEST)
    assert len(set(frames.TRAIN)) == len(frames.TRAIN) > 40 and len(set(frames.TEST)) == len(frames.TEST) > 30


def test_words_of_the_test_split_are_never_seen_in_training():
    banks = [
        phrases.STYLE,
        phrases.TEMPO,
        phrases.PACE,
        phrases.MOOD,
        phrases.MODE,
        phrases.METRE,
        phrases.DRUMS,
        phrases.TEXTURE,
        phrases.ACCOMPANIMENT,
        phrases.REGISTER,
        phrases.ARTICULATION,
        phrases.SIZE,
    ]
    for bank in banks:
        train = {phrase for pair in bank.values() for phrase in pair[0]}
        test = {phrase for pair in bank.values() for phrase in pair[1]}
        assert train and test and not train & test
    for instrument in INSTRUMENTS:
        assert not set(instrument.train) & set(instrument.test)
        assert instrument.test and instrument.name not in instrument.test


def test_the_english_is_sound(written):
    for text in (text for texts, _ in written[1] for text in texts):
        assert not re.search(r"\b(\w+) \1\b", text.lower()), text
        assert not re.search(r"\b[Aa] [aeiou](?!ne[ -]|ni)", text), text
        assert not re.search(r"\b[Aa]n [^aeiouAEIOU8]", text), text
        assert not re.search(r"[{}_]|  | [,.;]|\.\.", text), text
        assert text == text.strip() and len(text) < 240
        if text.endswith("."):
            assert text[0].isupper() or text[0].isdigit(), text


def test_captions_name_the_instruments_nearly_always(written):
    named = total = 0
    for facts, (texts, _) in zip(*written):
        known = [name for i in facts["instruments"] for name in (i, *BY_NAME[i].train, *BY_NAME[i].test)]
        for text in texts:
            total += 1
            named += any(name.lower() in text.lower() for name in known)
    assert named / total > 0.95


def test_captions_say_only_what_is_so(written):
    for facts, (texts, _) in zip(*written):
        told = " ".join(texts).lower().replace("neither fast nor slow", "")
        if not facts["drums"]:
            assert not any(
                p.lower() in told
                for k in ("drum kit", "hand drums")
                for side in phrases.DRUMS[k]
                for p in side
                if p != "drums"
            )
        for mode in {"major", "minor"} - {facts["mode"]}:
            assert f"{mode} key" not in told and f"in {mode}" not in told
        for other in set(phrases.TEMPO) - {facts["tempo_class"]}:
            assert not any(f" {word} " in told for word in phrases.TEMPO[other][0] + phrases.TEMPO[other][1])


def test_captions_repeat_for_a_seed_and_change_with_it(written):
    clips, result = written
    assert captions.write_captions(clips, seed=0) == result
    assert captions.write_captions(clips[:50], seed=1) != result[:50]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a oboe plays.", "An oboe plays."),
        ("A upright bass", "An upright bass"),
        ("a one-player performance", "a one-player performance"),
        ("a 8-bit game synth", "an 8-bit game synth"),
        ("a  flute, slow", "a flute, slow"),
    ],
)
def test_articles_are_put_right(text, expected):
    assert captions.tidy(text) == expected
