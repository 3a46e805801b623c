"""Query arithmetic: what is a sign and what is a word, and what the sum of vectors is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slapkit.errors import LibraryError
from slapkit.search.query import MINUS, combine, parse


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        (" slow \t flute + strings - drums", [("slow flute", 1), ("strings", 1), ("drums", -MINUS)]),
        ("hip-hop + lo-fi -ish", [("hip-hop", 1), ("lo-fi -ish", 1)]),
        ("4-on-the-floor+bass", [("4-on-the-floor+bass", 1)]),
        ("- drums + flute", [("drums", -MINUS), ("flute", 1)]),
        ("flute \u2212 drums \u2013 an air", [("flute", 1), ("drums \u2013 an air", -MINUS)]),
        ("flute - - drums +", [("flute", 1), ("drums", -MINUS)]),
        ("a\x00b", [("a b", 1)]),
    ],
)
def test_parse(text, terms):
    assert parse(text) == terms


@given(st.text() | st.sampled_from(["", "\n\t", "+", " + - ", "\x00"]))
def test_parse_fails_for_nothing_else_than_signs_and_keeps_all_words(text):
    words = [word for word in text.replace("\x00", " ").split() if word not in ("+", "-", "\u2212")]
    if words:
        assert " ".join(term.value for term in parse(text)).split() == words
    else:
        with pytest.raises(LibraryError, match="empty"):
            parse(text)


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(1, 5))
def test_combine_is_the_weighted_sum_of_unit_vectors(seed, count):
    rng = np.random.default_rng(seed)
    vectors, weights = rng.standard_normal((count, 6)), rng.uniform(0.1, 1, count)
    total = sum(weight * vector / np.linalg.norm(vector) for vector, weight in zip(vectors, weights))
    result = combine(7 * vectors, weights)
    assert result.dtype == np.float32 and abs(np.linalg.norm(result) - 1) < 1e-6
    np.testing.assert_allclose(result, total / np.linalg.norm(total), atol=1e-6)
