import numpy as np
import pytest

from slapkit.search.filters import Filters, words

FACTS = [{"bpm": 90}, {"bpm": "120.0"}, {"bpm": [140, 70.5]}, {"bpm": "fast"}, {"bpm": True}, {}, {"bpm": "1..2"}]


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        ("100..140", [1, 2]),
        (" 120..120 ", [1]),
        ("..90", [0, 2]),
        ("91..", [1, 2]),
        ("70.5..89.9", [2]),
        (["..80", "119..121"], [1, 2]),
        ("140..100", []),
        ("1..2", [6]),  # written so in the table
        ("..", []),
        ("1...2", []),
    ],
)
def test_a_range_is_every_number_in_it(value, fits):
    filters = Filters(FACTS)
    assert np.flatnonzero(filters.mask({"bpm": value})).tolist() == fits
    if fits and isinstance(value, str):
        assert filters.unmet({"bpm": value}) is None
    elif isinstance(value, str):
        assert value in filters.unmet({"bpm": value})
    # an engine filters by words
    (alternatives,) = filters.terms({"bpm": value})
    assert [i for i, facts in enumerate(FACTS) if set(words(facts)) & set(alternatives)] == fits


@pytest.mark.parametrize("number", [5099902894225, 123456789012345678])
def test_long_numbers_are_told_apart(number):
    filters = Filters([{"ean": number}, {"ean": str(number + 1)}])
    for value in (number, str(number)):
        assert np.flatnonzero(filters.mask({"ean": value})).tolist() == [0]


@pytest.mark.parametrize(
    ("value", "fits"),
    [("0,5", [0]), ("0,4..0,8", [0, 1]), ("..-0,5", [2]), ("2,0", [3]), ("1,5", [4]), ("1.5", []), ("0,6", [])],
)
def test_a_number_may_be_typed_with_a_decimal_comma(value, fits):
    filters = Filters([{"x": 0.5}, {"x": 0.75}, {"x": -0.5}, {"x": 2}, {"x": "1,5"}])
    assert np.flatnonzero(filters.mask({"x": value})).tolist() == fits
    assert (filters.unmet({"x": value}) is None) == bool(fits)
