"""Query arithmetic: what is a sign and what is a word, and what the sum of vectors is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slapkit.errors import LibraryError
from slapkit.search.query import MINUS, combine, parse


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("slow flute", [("slow flute", 1)]),
        ("slow flute + strings - drums", [("slow flute", 1), ("strings", 1), ("drums", -MINUS)]),
        ("  slow \t flute +   strings ", [("slow flute", 1), ("strings", 1)]),
        ("hip-hop", [("hip-hop", 1)]),
        ("hip-hop + lo-fi -ish", [("hip-hop", 1), ("lo-fi -ish", 1)]),
        ("4-on-the-floor+bass", [("4-on-the-floor+bass", 1)]),
        ("+ strings", [("strings", 1)]),
        ("- drums + flute", [("drums", -MINUS), ("flute", 1)]),
        ("flute \u2212 drums", [("flute", 1), ("drums", -MINUS)]),
        ("flute \u2013 an air", [("flute \u2013 an air", 1)]),
        ("flute +", [("flute", 1)]),
        ("flute -", [("flute", 1)]),
        ("flute - - drums", [("flute", 1), ("drums", -MINUS)]),
        ("- drums", [("drums", -MINUS)]),
        ("a\x00b", [("a b", 1)]),
    ],
)
def test_parse(text, terms):
    assert [(term.value, term.weight) for term in parse(text)] == terms


@pytest.mark.parametrize("text", ["", "  ", "\n\t", "+", "-", " + - ", "\x00"])
def test_nothing_asked_for(text):
    with pytest.raises(LibraryError, match="query is empty"):
        parse(text)


@given(st.text())
def test_parse_never_fails_otherwise_and_keeps_all_words(text):
    try:
        terms = parse(text)
    except LibraryError:
        assert not set(text.replace("\x00", " ").split()) - {"+", "-", "\u2212"}
        return
    words = [word for word in text.replace("\x00", " ").split() if word not in ("+", "-", "\u2212")]
    assert " ".join(term.value for term in terms).split() == words


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(1, 5))
def test_combine_is_the_weighted_sum_of_unit_vectors(seed, count):
    rng = np.random.default_rng(seed)
    vectors, weights = rng.standard_normal((count, 6)), rng.uniform(0.1, 1, count)
    total = [0.0] * 6
    for vector, weight in zip(vectors, weights):
        length = sum(x * x for x in vector) ** 0.5
        total = [t + weight * x / length for t, x in zip(total, vector)]
    length = sum(t * t for t in total) ** 0.5
    result = combine(vectors, weights)
    assert result.dtype == np.float32 and abs(np.linalg.norm(result) - 1) < 1e-6
    np.testing.assert_allclose(result, [t / length for t in total], atol=1e-6)
    np.testing.assert_allclose(combine(7 * vectors, 3 * weights), result, atol=1e-6)


def test_taking_away_moves_away_and_one_term_is_itself():
    flute, drums = np.eye(2)
    np.testing.assert_allclose(combine(np.array([flute]), [1]), flute)
    both = combine(np.stack([flute, drums]), [1, -MINUS])
    assert both @ drums < 0 < both @ flute


def test_what_cannot_be_combined():
    with pytest.raises(LibraryError, match="something to subtract from"):
        combine(np.eye(2), [-1, -1])
    with pytest.raises(LibraryError, match="cancel each other out"):
        combine(np.array([[1.0, 0], [1.0, 0]]), [1, -1])
    for bad in (0.0, np.nan, np.inf):
        with pytest.raises(LibraryError, match="no direction"):
            combine(np.array([[bad, 0.0]]), [1])
