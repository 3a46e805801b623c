"""A query: from words with "+ strings" and "- drums", files, tracks and vectors to one vector.

    slow flute + strings - drums    ->  slow flute (+1), strings (+1), drums (-1/2)

Terms are separated by a sign with white space around it, so that "hip-hop" and "4-on-the-floor" stay whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from slapkit.data.dataset import WORD
from slapkit.errors import LibraryError, short

if TYPE_CHECKING:
    from slapkit.models.inference import Model

# All captions share a direction ("this is a caption"). Subtracted in full, a term would cancel it; half of it does not.
MINUS = 0.5
_LONGEST = 10_000  # characters that are read: text encoders read a few hundred
_SIGN = re.compile(r"(?:(?<=\s)|^)([+\-\u2212])(?=\s|$)")  # a sign with space, or the query's end, on both sides
_TEXTS = 256  # embeddings of texts that are kept: a query typed letter by letter comes back often

# Of these a query's meaning does not depend.
_PLAIN = frozenset(
    "about above all and any are but can for from has have his her how into its just like made make more most much "
    "music not off one out over piece play played playing plays recording she some something song sound sounds than "
    "that the their them then there this through too track tune two under very was what when where which who will "
    "with without you".split()
)  # fmt: skip


class Term(NamedTuple):
    """A part of a query (text, file, track or vector) and its weight."""

    value: Any
    weight: float


@dataclass(frozen=True)
class Track:
    """A track to search by, made by `Library.like`; `space` names the model and embedding of its vector."""

    id: str
    vector: np.ndarray
    space: str


def parse(text: str) -> list[Term]:
    """Return the terms of a query; signs without a term behind them are left out, and no term is a `LibraryError`."""
    pieces = _SIGN.split(text[:_LONGEST].replace("\x00", " "))
    signs = ["+", *pieces[1::2]]
    words = [" ".join(piece.split()) for piece in pieces[::2]]
    terms = [Term(word, 1.0 if sign == "+" else -MINUS) for sign, word in zip(signs, words, strict=True) if word]
    if not terms:
        raise LibraryError("the query is empty: describe the music that you look for")
    return terms


def all_terms(query: Any, plus: Sequence[Any] = (), minus: Sequence[Any] = (), literal: bool = False) -> list[Term]:
    """Return all terms of a search with their weights, see `Library.search`; none is a `LibraryError`."""
    listed = list(query) if isinstance(query, (list, tuple)) else [query]
    if len(plus) and (query is None or (isinstance(query, str) and not query.strip())):
        listed = []
    elif not listed:
        raise LibraryError("the query is an empty list: give at least one text, file or track")
    terms = [Term(value, weight / len(listed)) for item in listed for value, weight in _parsed(item, literal)]
    for sign, items in ((1.0, plus), (-MINUS, minus)):
        for item in [items] if isinstance(items, (str, Path, Track, np.ndarray)) else items:
            terms += [Term(term.value, sign) for term in _parsed(item, literal=True)]
    return terms


def _parsed(item: Any, literal: bool) -> list[Term]:
    if isinstance(item, str):
        return [Term(item[:_LONGEST], 1.0)] if literal and item.strip() else parse(item)
    return [Term(item, 1.0)]


def unit(queries: np.ndarray) -> np.ndarray:
    """Return queries `[Q, D]` of unit norm, or raise `LibraryError` where one is zero or not finite."""
    norms = np.linalg.norm(queries, axis=1, keepdims=True)
    if not (np.isfinite(norms) & (norms > 0)).all():
        raise LibraryError("a query vector is zero or not finite: it has no direction to search in")
    return queries / norms


def check_k(k: int) -> int:
    """Return `k`, or raise `LibraryError` unless it is a whole number of at least 1."""
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise LibraryError(f"k={short(k)} must be a whole number of results, at least 1")
    return int(k)


def combine(vectors: np.ndarray, weights: Sequence[float]) -> np.ndarray:
    """Return the weighted sum, of unit norm, float32 `[D]`, of vectors `[T, D]`, each brought to unit norm first; raise
    `LibraryError` where no weight is positive, or the terms cancel each other out."""
    if max(weights) <= 0:
        raise LibraryError('the query only subtracts: it needs something to subtract from, as in "flute - drums"')
    total = np.asarray(weights, dtype=np.float64) @ unit(np.asarray(vectors, dtype=np.float64))
    length = np.linalg.norm(total)
    if length < 1e-6:
        raise LibraryError("the terms of the query cancel each other out: nothing is left to search for")
    return (total / length).astype(np.float32)


def unknown_words(query: str, vocabulary: frozenset[str]) -> list[str]:
    """Return the words of a query that no caption says, in either number, in their order; none without a vocabulary."""
    if not vocabulary:
        return []
    asked = dict.fromkeys(WORD.findall(query.lower()))
    return [word for word in asked if word not in _PLAIN and vocabulary.isdisjoint(_numbers(word))]


def _numbers(word: str) -> set[str]:
    """Return a word as it may stand in singular and plural."""
    return {word, f"{word}s", f"{word}es", word.removesuffix("s"), word.removesuffix("es")}


class TextTower(Protocol):
    """Embeds words; `vocabulary` are the words of the captions that it was trained on, `note` what is to be said of
    them."""

    max_tokens: int
    vocabulary: frozenset[str]
    note: str

    def embed(self, text: str) -> np.ndarray:
        """Return the embedding of a text, float32 `[D]`, of unit norm."""

    def tokens(self, text: str) -> int:
        """Return how many tokens a text has."""


class ModelTower:
    """The text tower of a model that was loaded."""

    def __init__(self, model: Model, embedding: str) -> None:
        self._model, self._embedding, joint = model, embedding, model.joint
        self.max_tokens, self.vocabulary, self.note = joint.text.encoder.max_tokens, joint.vocabulary, joint.note

    def embed(self, text: str) -> np.ndarray:
        """Return the embedding of a text, float32 `[D]`, of unit norm."""
        return self._model.embed_text([text], embedding=self._embedding)[0]

    def tokens(self, text: str) -> int:
        """Return how many tokens a text has."""
        return len(self._model.joint.text.encoder.tokenizer(text, truncation=False, verbose=False)["input_ids"])


class QueryEncoder:
    """Turns terms into a vector of width `dim` in `space`.

    `tower` gives what embeds words, and `sound` embeds an audio file; both are called when they are needed.
    """

    def __init__(
        self, tower: Callable[[], TextTower], sound: Callable[[Path], np.ndarray], dim: int, space: str
    ) -> None:  # fmt: skip
        self._tower, self._sound, self.dim, self.space = tower, sound, dim, space
        self.embed_text = lru_cache(_TEXTS)(lambda text: tower().embed(text))

    def vector(self, terms: Sequence[Term]) -> np.ndarray:
        """Return one unit vector `[D]` for all terms."""
        return combine(np.stack([self._embed(value) for value, _ in terms]), [weight for _, weight in terms])

    def _embed(self, value: Any) -> np.ndarray:
        if isinstance(value, str):
            return self.embed_text(value)
        if isinstance(value, Path):
            return self._sound(value)
        if isinstance(value, Track):
            if value.space != self.space:
                words = "comes from a library of another model or embedding: take it from this one by like(id)"
                raise LibraryError(f"the track {value.id!r} {words}")
            return value.vector
        if isinstance(value, np.ndarray) and value.shape == (self.dim,):
            return value
        raise LibraryError(
            f"no search by {short(value)}: take words, a Path, library.like(id) or a vector [{self.dim}]"
        )

    def warn(self, query: Any) -> str | None:
        """Return what of a query the model leaves out or never met; None where it knows all."""
        if not isinstance(query, str) or not query.strip():
            return None
        if len(query) > _LONGEST:
            return f"the query has {len(query):,} characters: only the first {_LONGEST:,} are read"
        tower = self._tower()
        if (most := max(tower.tokens(text) for text, _ in parse(query))) > tower.max_tokens:
            return f"the query has {most} tokens: the text encoder reads only the first {tower.max_tokens}"
        if unknown := unknown_words(query, tower.vocabulary):
            words = ", ".join(f"“{word}”" for word in unknown[:5]) + (" ..." if len(unknown) > 5 else "")
            return f"the model's captions never say {words}: what it finds for that is a guess"
        return None
