"""A query: words with "+ strings" and "- drums", and how several vectors make one.

    slow flute + strings - drums    ->  slow flute (+1), strings (+1), drums (-1/2)

Terms are separated by a sign with white space around it, so that "hip-hop" and "4-on-the-floor" stay whole.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from slapkit.errors import LibraryError

# All captions share a direction ("this is a caption"). Subtracted in full, a term would cancel it; half of it does not.
MINUS = 0.5
LONGEST = 10_000  # characters that are read: text encoders read a few hundred
_SIGN = re.compile(r"(?:(?<=\s)|^)([+\-\u2212])(?=\s|$)")  # a sign with space, or the query's end, on both sides


@dataclass(frozen=True)
class Term:
    """A part of a query: text, sound, track or vector, and its weight."""

    value: Any
    weight: float


def parse(text: str) -> list[Term]:
    """Return the terms of a query; a sign without a term behind it, as while typing, is left out.

    Raises:
        LibraryError: nothing is asked for.
    """
    pieces = _SIGN.split(text[:LONGEST].replace("\x00", " "))
    signs = ["+", *pieces[1::2]]
    terms = [
        Term(" ".join(words.split()), 1.0 if sign == "+" else -MINUS)
        for sign, words in zip(signs, pieces[::2], strict=True)
        if words.strip()
    ]
    if not terms:
        raise LibraryError("the query is empty: describe the music that you look for")
    return terms


def check_weights(weights: Sequence[float]) -> None:
    """Raise `LibraryError` unless at least one weight is positive."""
    if not any(weight > 0 for weight in weights):
        raise LibraryError('the query only subtracts: it needs something to subtract from, as in "flute - drums"')


def combine(vectors: np.ndarray, weights: Sequence[float]) -> np.ndarray:
    """Return the weighted sum, of unit norm, float32 `[D]`, of vectors `[T, D]`, each brought to unit norm first.

    Raises:
        LibraryError: no weight is positive, or the terms cancel each other out.
    """
    check_weights(weights)
    vectors = np.asarray(vectors, dtype=np.float64)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not (np.isfinite(norms).all() and (norms > 0).all()):
        raise LibraryError("a query vector is zero or not finite: it has no direction to search in")
    total = np.asarray(weights, dtype=np.float64) @ (vectors / norms)
    length = np.linalg.norm(total)
    if length < 1e-6:
        raise LibraryError("the terms of the query cancel each other out: nothing is left to search for")
    return (total / length).astype(np.float32)
