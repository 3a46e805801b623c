"""From what is asked for to one vector: words, lists, sound files, tracks and vectors, added and taken away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slapkit.errors import LibraryError
from slapkit.search.query import LONGEST, MINUS, Term, check_weights, combine, parse

if TYPE_CHECKING:
    from slapkit.search.library import Library

_TEXTS = 256  # embeddings of texts that are kept: a query typed letter by letter comes back often


@dataclass(frozen=True)
class Track:
    """A track, or its window that begins at `start_s` s, as something to search by; made by `Library.like`.

    `space` names the model and embedding that its vector belongs to.
    """

    id: str
    vector: np.ndarray
    space: str
    start_s: float | None = None


class Asking:
    """What turns queries to a library into vectors, by the library's model."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self._texts: dict[str, np.ndarray] = {}

    def terms(self, query: Any, plus: Sequence[Any], minus: Sequence[Any], literal: bool) -> list[Term]:
        """Return all terms of a search with their weights; see `Library.search`.

        Raises:
            LibraryError: nothing is asked for, or things are only taken away.
        """
        terms = []
        if not (len(plus) and (query is None or (isinstance(query, str) and not query.strip()))):
            listed = list(query) if isinstance(query, (list, tuple)) else [query]
            if not listed:
                raise LibraryError("the query is an empty list: give at least one text, sound or track")
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
        library = self.library
        dim = library.dim
        if isinstance(value, str):
            return self.embed_text(value)
        if isinstance(value, Path):
            return library.model.embed_audio([value], embedding=library.embedding)[0]
        if isinstance(value, Track):
            if value.space != library.space:
                raise LibraryError(
                    f"the track {value.id!r} comes from a library of another model or embedding, whose vectors mean "
                    "something else: take it from this one by like(id)"
                )
            value = value.vector
        if isinstance(value, np.ndarray) and value.shape == (dim,):
            return value
        found = f"an array of shape {list(value.shape)}" if isinstance(value, np.ndarray) else repr(value)[:80]
        raise LibraryError(f"{found} is nothing to search by: take words, a Path, library.like(id) or a vector [{dim}]")

    def embed_text(self, text: str) -> np.ndarray:
        """Return the embedding of a text as it stands, float32 `[D]`; the last ones are kept."""
        if text not in self._texts:
            vector = self.library.model.embed_text([text], embedding=self.library.embedding)[0]
            if len(self._texts) >= _TEXTS:
                self._texts.pop(next(iter(self._texts)))
            self._texts[text] = vector
        return self._texts[text]

    def warn(self, query: Any) -> str | None:
        """Say what about a query the model does not take in; None where it takes all."""
        encoder = self.library.model.joint.text.encoder
        for text in [query] if isinstance(query, str) else query if isinstance(query, (list, tuple)) else []:
            if not isinstance(text, str) or not text.strip():
                continue
            if len(text) > LONGEST:
                return f"the query has {len(text):,} characters: only the first {LONGEST:,} are looked at"
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
