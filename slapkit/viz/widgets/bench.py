"""The search bench: a query box over one library, or over two models' libraries side by side."""

import contextlib
import os
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import traitlets

from slapkit.audio.decode import AUDIO_SUFFIXES
from slapkit.data.scan import HEARD
from slapkit.errors import LibraryError, SlapkitError
from slapkit.models import OBJECTIVE_NAMES
from slapkit.search import Library
from slapkit.search.marks import Marks
from slapkit.search.playlists import save_tracks
from slapkit.viz.text import plain
from slapkit.viz.widgets.base import Answer, LibraryWidget, card, css, esm
from slapkit.viz.widgets.query import Query, Uploads, read_query

SUGGESTIONS = ("+ strings", "+ piano", "- drums", "- brass")
HINT = "Enter searches · ↑ ↓ move · space plays · “;” separates queries to average"
NOTHING_ASKED = "Write what the music should sound like, or drop an audio file here."
# The first filters; the others are behind a button.
FIRST_FILTERS = (
    "style", "instruments", "tempo_class", "genre", "artist", "folder", "subfolder", "year", "mode", "metre", "split",
    *(HEARD + kind for kind in ("instruments", "tempo", "voice", "sound", "genre", "mood", "key")),
)  # fmt: skip
FIRST_SHOWN = 3
MOST_VALUES = 60  # in one menu
LONGEST_HISTORY = 50


class SearchBench(LibraryWidget):
    """Search libraries by text, by audio and by earlier results; play, compare, mark.

    `libraries` is one, or several by the name to show, with `compare` the first two side by side. `query`, `k` and
    `where` (`{"style": "jig"}`) are the first search, `suggestions` terms to add by one press. Without `marks` nothing
    can be marked "also relevant". `tables` are what the last search returned by model, `history` the queries so far. No
    library is a `LibraryError`.
    """

    _esm = esm("picture.js", "card.js", "terms.js", "keys.js", "bench.js")
    _css = css("bench.css")
    options = traitlets.Dict(help="models, filters, suggestions and where to begin").tag(sync=True)

    def __init__(
        self, libraries: Library | Mapping[str, Library], *, query: str = "", k: int = 10,
        where: Mapping[str, Any] | None = None, compare: bool = False, suggestions: Sequence[str] = SUGGESTIONS,
        marks: Marks | None = None,
    ) -> None:  # fmt: skip
        named = dict(libraries) if isinstance(libraries, Mapping) else {libraries.model_name: libraries}
        if not named:
            raise LibraryError("no library to search: give one, or {name: library}")
        self.libraries: dict[str, Library] = named
        self.marks, self.uploads = marks, Uploads()
        self.tables: dict[str, pd.DataFrame] = {}
        self.history: list[str] = []
        self._name = ""  # of a playlist of the last results
        self._live = False  # the newest entry of the history is being typed, and may grow
        start = {"query": query, "k": k, "where": dict(where or {}), "compare": compare and len(named) > 1}
        for library in named.values():  # while the page opens
            threading.Thread(target=_warm, args=[library], daemon=True).start()
        first = self.handle({"type": "search", **start, "models": list(named)[: 2 if start["compare"] else 1]})
        first = first if first["type"] == "results" else None
        super().__init__(options=self._options(start, suggestions) | {"first": first})

    @property
    def results(self) -> pd.DataFrame | None:
        """What the last search returned from the first library searched, None before any."""
        return next(iter(self.tables.values()), None)

    def answers(self) -> Mapping[str, Answer]:
        own = {"search": self._search, "mark": self._mark, "save": self._save}
        own["upload"] = lambda message, parts: self.uploads.receive(message, b"".join(bytes(part) for part in parts))
        return {**super().answers(), **own}

    def _search(self, message: dict[str, Any], _: Sequence[bytes]) -> dict[str, Any]:
        query = read_query(message, list(self.libraries))
        if not query.texts and not query.terms:
            return {"type": "nothing", "text": NOTHING_ASKED, "history": self.history}
        tables, columns = zip(*(self._column(name, query) for name in query.models))
        taken_ms = 1000 * sum(column.pop("seconds") for column in columns)
        found = {name: table for name, table in zip(query.models, tables) if table is not None}
        if found:
            self.tables, self._name = found, query.name
            self._remember(query.label, live=bool(message.get("live")))
        warnings = [self.libraries[name].warn(text) for name in found for text in query.texts]
        tracks = len(self.libraries[query.models[0]])
        return {
            "type": "results",
            "columns": columns,
            "notice": plain(next(filter(None, warnings), "")),
            "status": f"{taken_ms:,.0f} ms over {tracks:,} {'clip' if tracks == 1 else 'clips'}",
            "code": query.code(),
            "history": self.history,
        }

    def _column(self, name: str, query: Query) -> tuple[pd.DataFrame | None, dict[str, Any]]:
        """Search one library; an error is the text of its column."""
        library = self.libraries[name]
        column = {"model": name, "cards": [], "text": "", "seconds": 0.0}
        if not len(library):
            return None, column | {"text": f"{library.name} holds no track yet: add audio files and update it"}
        try:
            library.warm()  # is not part of the search time
            begin = time.perf_counter()
            table = query.run(library, self.uploads.files)
            column["seconds"] = time.perf_counter() - begin
        except (SlapkitError, OSError) as error:
            return None, column | {"text": plain(error), "error": True}
        if table.empty:
            return table, column | {"text": "no track passes the filters: loosen one"}
        marked = self.marks.of(query.label) if self.marks is not None else ()
        return table, column | {"cards": [card(row, marked) for row in table.to_dict("records")]}

    def _remember(self, label: str, *, live: bool) -> None:
        """Keep a query; typing makes one entry, not one per letter."""
        if label and self.history and (self._live or self.history[-1] == label):
            self.history.pop()
        if label:
            self.history = [*self.history, label][-LONGEST_HISTORY:]
        self._live = live and bool(label)

    def _mark(self, message: dict[str, Any], _: Sequence[bytes]) -> dict[str, Any]:
        query = read_query(message, list(self.libraries))
        if not query.texts:
            raise LibraryError("a mark belongs to a query in words: write one")
        return self.set_mark(query.label, message)

    def _save(self, *_: Any) -> dict[str, Any]:
        """Write what is shown, of each model, as a playlist and a table in the project's folder."""
        several, saved = len(self.tables) > 1, []
        for name, table in self.tables.items():
            called = f"{self._name} {name}" if several else self._name
            saved.append(save_tracks(table, self.libraries[name].folder, called))
        if not saved:
            raise LibraryError("nothing was found yet: search first")
        return {"type": "saved", "text": f"saved {', '.join(map(os.path.relpath, saved))}, and beside it as .csv"}

    def _options(self, start: dict[str, Any], suggestions: Sequence[str]) -> dict[str, Any]:
        names, known = list(self.libraries), OBJECTIVE_NAMES.items()
        notes = dict.fromkeys(plain(library.note) for library in self.libraries.values() if library.note)
        colors = [next((key for key, word in known if word.lower() in name.lower()), "") for name in names]
        return {
            "models": [{"name": name, "color": color} for name, color in zip(names, colors)],
            "filters": _filters(self.libraries[names[0]]),
            "first_filters": FIRST_SHOWN,
            "audio": ["audio/*", *AUDIO_SUFFIXES],
            "suggestions": [plain(term, 40) for term in suggestions],
            "marks": self.marks is not None,
            "hint": " · ".join([*notes, HINT]),
            "start": start,
        }


def _filters(library: Library) -> list[dict[str, Any]]:
    """Return the filter menus, `FIRST_FILTERS` first, each with its values and how many tracks have them."""
    found = library.facets(MOST_VALUES) if len(library) else {}
    # Fractions are measurements: nobody filters by exactly -20.0 dB.
    found = {name: values for name, values in found.items() if not any(isinstance(v, float) for v, _ in values)}
    menus = []
    for name in dict.fromkeys([*(name for name in FIRST_FILTERS if name in found), *found]):
        values = [
            {"value": v.item() if hasattr(v, "item") else v, "label": plain(v, 40), "count": int(count)}
            for v, count in found[name]
        ]
        label = plain(name.removesuffix("_class").replace("_", " "), 24)
        menus.append({"column": name, "label": label, "values": values})
    return menus


def _warm(library: Library) -> None:
    with contextlib.suppress(SlapkitError, OSError):  # which a search will show
        library.warm()
