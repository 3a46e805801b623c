"""Choosing tracks by their facts, and the values that a menu can offer."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from slapkit.config import nearest
from slapkit.errors import LibraryError, short

_LONGEST_VALUE = 60  # characters: longer texts are no categories
_RANGE = re.compile(r"(-?\d+(?:\.\d+)?)?\.\.(-?\d+(?:\.\d+)?)?")


class Filters:
    """The facts of all tracks, column by column: which tracks have which value.

    A column of lists holds all its items. Values are compared as a person reads them: "Jig" is "jig", "true" is True
    and "120" is 120, so that what is typed in a shell means what is meant in Python. "100..140" is every number from
    100 to 140, "100.." every one from 100 on.
    """

    def __init__(self, facts: Sequence[Mapping[str, Any]]) -> None:
        self.columns = list(dict.fromkeys(name for row in facts for name in row))
        self._facts = facts
        self._tracks: dict[str, dict[str, tuple[Any, np.ndarray]]] = {}

    def mask(self, where: Mapping[str, Any]) -> np.ndarray | None:
        """Return which tracks fit, bool `[N]`: one of the values of every column named; None where all do.

        A column whose value is None or an empty list does not restrict. A column that no track has is a `LibraryError`,
        which names the nearest.
        """
        chosen = None
        for column, values in self._wanted(where):
            fits = np.zeros(len(self._facts), dtype=bool)
            for value in values:
                fits[self._of(column).get(_key(value), (None, []))[1]] = True
            chosen = fits if chosen is None else chosen & fits
        return chosen

    def unmet(self, where: Mapping[str, Any]) -> str | None:
        """Return which value no track has, and what there is in its place; None where there are tracks for each."""
        for column, values in self._wanted(where):
            known = self._of(column)
            for value in values:
                if _key(value) not in known:
                    there = nearest(str(value), (str(written) for written, _ in known.values()))
                    return f"no track has {short(f'{column}={value}')}: {there}"
        return None

    def terms(self, where: Mapping[str, Any]) -> list[list[str]]:
        """Return the words, as `words` makes them, of which a track has one of each list; raises as `mask` does."""
        return [[_word(column, value) for value in values] for column, values in self._wanted(where)]

    def _wanted(self, where: Mapping[str, Any]) -> Iterator[tuple[str, Sequence[Any]]]:
        if not isinstance(where, Mapping):
            raise LibraryError(f'where={short(where)}: take a mapping, such as {{"style": "jig"}}')
        for column, wanted in where.items():
            if column not in self.columns:
                hint = nearest(str(column), self.columns)
                raise LibraryError(f"the library has no column {short(column)} to filter by: {hint}")
            values = wanted if isinstance(wanted, (list, tuple, set, frozenset, np.ndarray)) else [wanted]
            if wanted is not None and len(values):
                yield column, [one for value in values for one in self._within(column, value)]

    def _within(self, column: str, value: Any) -> list[Any]:
        """Return the values of a column that lie in a range; any other value, and a range that has none, as it is.

        A comma is a decimal point, unless the column has a value that is written with it.
        """
        if not isinstance(value, str) or _key(value) in self._of(column):
            return [value]
        pointed = value.strip().replace(",", ".")
        bounds = _RANGE.fullmatch(pointed)
        if bounds is None or not any(bounds.groups()):
            return [pointed if _key(pointed) in self._of(column) else value]
        low, high = (float(bound or end) for bound, end in zip(bounds.groups(), ("-inf", "inf")))
        numbers = ((_number(key), written) for key, (written, _) in self._of(column).items())
        return [written for number, written in numbers if number is not None and low <= number <= high] or [value]

    def facets(self, max_values: int) -> dict[str, list[tuple[Any, int]]]:
        """Return columns of 2 to `max_values` values, each with the number of its tracks, most frequent first."""
        found = {}
        for column in self.columns:
            values = self._of(column)
            texts = [value for value, _ in values.values() if isinstance(value, str)]
            if 2 <= len(values) <= max_values and all(len(text) <= _LONGEST_VALUE for text in texts):
                counted = [(value, len(tracks)) for value, tracks in values.values()]
                found[column] = sorted(counted, key=lambda pair: (-pair[1], _key(pair[0])))
        return found

    def _of(self, column: str) -> dict[str, tuple[Any, np.ndarray]]:
        """Return for each value of a column how it is written and the indices of its tracks."""
        if column not in self._tracks:
            found: dict[str, tuple[Any, list[int]]] = {}
            for track, row in enumerate(self._facts):
                for value in _values(row.get(column)):
                    found.setdefault(_key(value), (value, []))[1].append(track)
            self._tracks[column] = {key: (value, np.unique(tracks)) for key, (value, tracks) in found.items()}
        return self._tracks[column]


def words(facts: Mapping[str, Any]) -> list[str]:
    """Return a word for each fact of a track, of 32 safe letters: what an engine filters by."""
    return sorted({_word(column, value) for column, cell in facts.items() for value in _values(cell)})


def _word(column: str, value: Any) -> str:
    return hashlib.sha256(f"{column}\0{_key(value)}".encode()).hexdigest()[:32]


def _values(cell: Any) -> list[Any]:
    values = cell if isinstance(cell, list) else [cell]
    return [value for value in values if isinstance(value, (str, bool, int, float)) and value != ""]


def _key(value: Any) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    text = str(value).strip().casefold()
    number = _number(text)
    exact = number is not None and abs(number) < 1e15  # of longer ones, such as a serial number, a float knows a part
    return f"{number:.15g}" if exact else text  # "120" and 120, "120.0" from a table


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
