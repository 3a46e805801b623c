"""What the search bench asks a library: one message of the browser, checked, and the call of `search` it stands for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slapkit.errors import LibraryError
from slapkit.viz.widgets.assets import shown

if TYPE_CHECKING:
    import pandas as pd

    from slapkit.search import Library

MOST_RESULTS = 100  # cards that a browser lays out at once
LONGEST_QUERY = 10_000  # characters; text models read a few hundred


@dataclass(frozen=True)
class Term:
    """A sound as a part of a query: a track of the library ("track"), or a file of the reader ("sound")."""

    sign: str  # "+" or "-"
    kind: str  # "track" or "sound"
    key: str  # the track's id, or the number of the file received

    def value(self, library: Library, sounds: Mapping[str, Path]) -> Any:
        """Return what `search` takes for it.

        Raises:
            LibraryError: no such track, or no such file was received.
        """
        if self.kind == "track":
            return library.like(self.key)
        if self.key not in sounds:
            raise LibraryError("the sound file of this search is not here any more: choose it again")
        return sounds[self.key]

    def code(self, sounds: Mapping[str, Path]) -> str:
        """Return the term as it is written in Python."""
        return f"library.like({self.key!r})" if self.kind == "track" else "Path('your-file')"


@dataclass(frozen=True)
class Query:
    """One search: texts to average, sounds added and taken away, filters, how many results, which models."""

    texts: tuple[str, ...]
    terms: tuple[Term, ...]
    k: int
    where: dict[str, Any] = field(default_factory=dict)
    models: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether nothing is asked for."""
        return not self.texts and not self.terms

    @property
    def label(self) -> str:
        """The texts as one line, as marks and the history name the query."""
        return "; ".join(self.texts)

    def run(self, library: Library, sounds: Mapping[str, Path]) -> pd.DataFrame:
        """Search one library.

        Raises:
            LibraryError: the query, a filter or a term cannot be used.
        """
        if not self.texts and not any(t.sign == "+" for t in self.terms):
            raise LibraryError("only sounds to take away: write what to search for, or choose “more like this”")
        plus = [t.value(library, sounds) for t in self.terms if t.sign == "+"]
        minus = [t.value(library, sounds) for t in self.terms if t.sign == "-"]
        first: Any = list(self.texts) if len(self.texts) > 1 else self.texts[0] if self.texts else plus.pop(0)
        extra = {key: value for key, value in {"plus": plus, "minus": minus}.items() if value}
        return library.search(first, k=self.k, where=self.where or None, **extra)

    def code(self, sounds: Mapping[str, Path]) -> str:
        """Return the same search as a line of Python."""
        plus = [t.code(sounds) for t in self.terms if t.sign == "+"]
        minus = [t.code(sounds) for t in self.terms if t.sign == "-"]
        texts = [_quoted(shown(text, 120)) for text in self.texts]
        first = f"[{', '.join(texts)}]" if len(texts) > 1 else texts[0] if texts else plus.pop(0) if plus else '""'
        parts = [first, f"k={self.k}"]
        parts += [f"where={self.where!r}"] if self.where else []
        parts += [f"{name}=[{', '.join(terms)}]" for name, terms in (("plus", plus), ("minus", minus)) if terms]
        return f"library.search({', '.join(parts)})"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def read_query(message: Mapping[str, Any], models: Sequence[str]) -> Query:
    """Check a message of the browser.

    Raises:
        LibraryError: a part of it is not what the widget sends.
    """
    text = message.get("query", "")
    if not isinstance(text, str) or len(text) > LONGEST_QUERY:
        raise LibraryError(f"the query has {len(str(text)):,} characters: {LONGEST_QUERY:,} are the most")
    chosen = tuple(message.get("models") or models[:1])
    if unknown := [name for name in chosen if name not in models]:
        raise LibraryError(f"no model {shown(unknown[0], 40)!r} here: there is {', '.join(models)}")
    where = message.get("where") or {}
    if not isinstance(where, dict):
        raise LibraryError("filters come as {column: value}")
    terms = tuple(_term(item) for item in message.get("terms") or [])
    text = text.encode("utf-8", "replace").decode()  # half a character, as JavaScript can hold, is none
    texts = tuple(part.strip() for part in re.split(r"[;\n]", text) if part.strip())
    return Query(texts, terms, _number(message.get("k", 10)), where, chosen)


def _number(k: Any) -> int:
    if type(k) is not int or not 1 <= k <= MOST_RESULTS:
        raise LibraryError(f"k = {shown(k, 20)}: ask for 1 to {MOST_RESULTS} results")
    return k


def _term(item: Any) -> Term:
    values = [item.get(name) if isinstance(item, dict) else None for name in ("sign", "kind", "key")]
    if values[0] not in ("+", "-") or values[1] not in ("track", "sound") or not isinstance(values[2], str):
        raise LibraryError(f"a term of the search is malformed: {shown(item, 80)}")
    return Term(*values)
