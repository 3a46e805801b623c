"""From what is asked for to one vector: words, lists, audio files, tracks and vectors, added and subtracted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from slapkit.errors import LibraryError
from slapkit.models.inference import Model
from slapkit.search.query import LONGEST, MINUS, Term, check_weights, combine, parse

_TEXTS = 256  # embeddings of texts that are kept: a query typed letter by letter comes back often


@dataclass(frozen=True)
class Track:
    """A track, or its window that begins at `start_s` s, to search by; made by `Library.like`.

    `space` names the model and embedding that its vector belongs to.
    """

    id: str
    vector: np.ndarray
    space: str
    start_s: float | None = None


class QueryEncoder:
    """Turns queries into vectors.

    Args:
        model: loads the model when it is needed.
        embedding: "q" or "z".
        dim, space: width of the vectors, and what names their space.
    """

    def __init__(self, model: Callable[[], Model], embedding: Literal["q", "z"], dim: int, space: str) -> None:
        self._model, self.embedding, self.dim, self.space = model, embedding, dim, space
        self.embed_text = lru_cache(_TEXTS)(self._embed_text)

    def terms(self, query: Any, plus: Sequence[Any], minus: Sequence[Any], literal: bool) -> list[Term]:
        """Return all terms of a search with their weights; see `Library.search`.

        Raises:
            LibraryError: nothing is asked for, or terms are only subtracted.
        """
        terms = []
        if not (len(plus) and (query is None or (isinstance(query, str) and not query.strip()))):
            listed = list(query) if isinstance(query, (list, tuple)) else [query]
            if not listed:
                raise LibraryError("the query is an empty list: give at least one text, file or track")
            for item in listed:
                parsed = _parsed(item, literal)
                check_weights([term.weight for term in parsed] + [1.0] * len(plus))
                terms += [Term(term.value, term.weight / len(listed)) for term in parsed]
        for sign, items in ((1.0, plus), (-MINUS, minus)):
            for item in [items] if isinstance(items, (str, Path, Track, np.ndarray)) else items:
                terms += [Term(term.value, sign) for term in _parsed(item, True)]
        return terms

    def vector(self, terms: Sequence[Term]) -> np.ndarray:
        """Return one unit vector `[D]` for all terms."""
        return combine(np.stack([self._embed(term.value) for term in terms]), [term.weight for term in terms])

    def _embed(self, value: Any) -> np.ndarray:
        if isinstance(value, str):
            return self.embed_text(value)
        if isinstance(value, Path):
            return self._model().embed_audio([value], embedding=self.embedding)[0]
        if isinstance(value, Track):
            if value.space != self.space:
                raise LibraryError(
                    f"the track {value.id!r} comes from a library of another model or embedding: take it from this "
                    "one by like(id)"
                )
            value = value.vector
        if isinstance(value, np.ndarray) and value.shape == (self.dim,):
            return value
        found = f"an array of shape {list(value.shape)}" if isinstance(value, np.ndarray) else repr(value)[:80]
        words = f"words, a Path, library.like(id) or a vector [{self.dim}]"
        raise LibraryError(f"{found} cannot be searched by: take {words}")

    def _embed_text(self, text: str) -> np.ndarray:
        return self._model().embed_text([text], embedding=self.embedding)[0]

    def warn(self, query: Any) -> str | None:
        """Return what of a query the model leaves out; None where it reads all."""
        encoder = self._model().joint.text.encoder
        for text in query if isinstance(query, (list, tuple)) else [query]:
            if not isinstance(text, str) or not text.strip():
                continue
            if len(text) > LONGEST:
                return f"the query has {len(text):,} characters: only the first {LONGEST:,} are read"
            for term in parse(text):
                tokens = len(encoder.tokenizer(term.value, truncation=False, verbose=False)["input_ids"])
                if tokens > encoder.max_tokens:
                    return f"the query has {tokens} tokens: the text encoder reads only the first {encoder.max_tokens}"
        return None


def _parsed(item: Any, literal: bool) -> list[Term]:
    if not isinstance(item, str):
        return [Term(item, 1.0)]
    if literal and item.strip():
        return [Term(item[:LONGEST], 1.0)]
    return parse(item)
