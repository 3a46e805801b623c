"""Messages of the search bench, checked: a search, and audio files that the reader hands over."""

import json
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import pandas as pd

from slapkit.audio.decode import AUDIO_SUFFIXES
from slapkit.errors import LibraryError
from slapkit.search import Library
from slapkit.viz.text import plain

MOST_RESULTS = 100  # cards that a browser lays out at once
LONGEST_QUERY = 10_000  # characters; text models read a few hundred
LARGEST = 200_000_000  # bytes of a file: an hour of CD audio as FLAC


class Term(NamedTuple):
    """An audio part of a query: a track of the library by its id, or a file of the reader by its key."""

    sign: str  # "+" or "-"
    kind: str  # "track" or "sound"
    key: str


@dataclass(frozen=True)
class Query:
    """One search: texts to average, tracks and files to add or subtract, filters, number of results, models."""

    texts: tuple[str, ...]
    terms: tuple[Term, ...]
    k: int
    where: dict[str, Any]
    models: tuple[str, ...]

    @property
    def label(self) -> str:
        """The texts as one line, by which marks and history name the query."""
        return "; ".join(self.texts)

    @property
    def name(self) -> str:
        """The texts and the tracks to add, by which a file of the results is called."""
        tracks = [PurePosixPath(term.key).stem for term in self.terms if term.sign == "+" and term.kind == "track"]
        return " ".join([*self.texts, *(["like"] if tracks else []), *tracks])

    def _call(self, texts: Sequence[Any], value: Callable[[Term], Any]) -> tuple[Any, dict[str, list[Any]]]:
        """Return the first argument of `search`, and `plus` and `minus` where there are any."""
        plus, minus = ([value(term) for term in self.terms if term.sign == sign] for sign in "+-")
        if not texts and not plus:
            raise LibraryError("only tracks to subtract: write a query, or choose “more like this”")
        first = list(texts) if len(texts) > 1 else texts[0] if texts else plus.pop(0)
        return first, {name: values for name, values in (("plus", plus), ("minus", minus)) if values}

    def run(self, library: Library, files: Mapping[str, Path]) -> pd.DataFrame:
        """Search one library."""
        if any(term.kind == "sound" and term.key not in files for term in self.terms):
            raise LibraryError("the audio file of this search is gone: choose it again")
        first, more = self._call(self.texts, lambda t: library.like(t.key) if t.kind == "track" else files[t.key])
        return library.search(first, k=self.k, where=self.where or None, **more)

    def code(self) -> str:
        """Return the search as a line of Python, empty where it cannot be run."""
        texts = [json.dumps(plain(text, 120), ensure_ascii=False) for text in self.texts]
        written = {"track": "library.like({!r})", "sound": "Path('your-file')"}
        try:
            first, more = self._call(texts, lambda term: written[term.kind].format(term.key))
        except LibraryError:
            return ""
        parts = [f"[{', '.join(first)}]" if isinstance(first, list) else first, f"k={self.k}"]
        parts += [f"where={self.where!r}"] if self.where else []
        parts += [f"{name}=[{', '.join(values)}]" for name, values in more.items()]
        return f"library.search({', '.join(parts)})"


def read_query(message: Mapping[str, Any], models: Sequence[str]) -> Query:
    """Return the search of a message of the browser; raise `LibraryError` where it is not what the widget sends."""
    text, k, where = message.get("query", ""), message.get("k", 10), message.get("where") or {}
    if not isinstance(text, str) or len(text) > LONGEST_QUERY:
        raise LibraryError(f"the query has {len(str(text)):,} characters: {LONGEST_QUERY:,} are the most")
    if type(k) is not int or not 1 <= k <= MOST_RESULTS or not isinstance(where, dict):
        raise LibraryError(f"k = {plain(k, 20)}, filters {plain(where, 40)}: up to {MOST_RESULTS}, {{column: value}}")
    chosen = tuple(message.get("models") or models[:1])
    if unknown := [name for name in chosen if name not in models]:
        raise LibraryError(f"no model {plain(unknown[0], 40)!r} here: there is {', '.join(models)}")
    terms = tuple(_term(item) for item in message.get("terms") or [])
    text = text.encode("utf-8", "replace").decode()  # JavaScript can hold half a character
    texts = tuple(part.strip() for part in re.split(r"[;\n]", text) if part.strip())
    return Query(texts, terms, k, where, chosen)


def _term(item: Any) -> Term:
    sign, kind, key = (item.get(name) if isinstance(item, dict) else None for name in Term._fields)
    if sign not in ("+", "-") or kind not in ("track", "sound") or not isinstance(key, str):
        raise LibraryError(f"a term of the search is malformed: {plain(item, 80)}")
    return Term(sign, kind, key)


class Uploads:
    """Audio files of the reader, received in parts into a temporary folder under names of our own; `files` by key."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="slapkit-audio-")
        self._open: dict[str, Path] = {}
        self.files: dict[str, Path] = {}

    def receive(self, message: dict[str, Any], part: bytes) -> dict[str, Any]:
        """Take in one part of a file: `{"upload": key, "name": ..., "offset": ..., "size": ...}` and its bytes."""
        key, name, offset, size = (message.get(field) for field in ("upload", "name", "offset", "size"))
        if not isinstance(key, str) or not isinstance(name, str) or type(offset) is not int or type(size) is not int:
            raise LibraryError("a part of an audio file is malformed: choose the file again")
        shown = plain(name, 80)
        if offset == 0:
            suffix = PurePosixPath(name.replace("\\", "/")).suffix.lower()
            if suffix not in AUDIO_SUFFIXES or not 0 < size <= LARGEST:
                most = f"{', '.join(sorted(AUDIO_SUFFIXES))} of up to {LARGEST // 10**6} MB are taken"
                raise LibraryError(f"{shown}, {size:,} bytes, is no audio file by its name or too large: {most}")
            path = Path(self._folder.name) / f"{len(self._open) + len(self.files)}{suffix}"
            path.write_bytes(b"")
            self._open[key] = path
        path = self._open.get(key)
        if path is None or offset != path.stat().st_size or offset + len(part) > size:
            raise LibraryError(f"{shown} came in disorder: choose the file again")
        with path.open("ab") as file:
            file.write(part)
        done = offset + len(part) == size
        if done:
            self.files[key] = self._open.pop(key)
        return {"type": "upload", "done": done, "name": shown, "key": key}
