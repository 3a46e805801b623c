"""The search bench: a query box over one library, or over two models' libraries side by side.

The browser sends small messages, `SearchBench.handle` answers each with a dict; everything the widget does is
therefore a plain call in Python. What goes wrong comes back as words.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import traitlets

from slapkit.errors import LibraryError, SlapkitError
from slapkit.models import OBJECTIVE_NAMES
from slapkit.viz.widgets.assets import css, esm, shown
from slapkit.viz.widgets.base import Answer, LibraryWidget, track_id
from slapkit.viz.widgets.cards import cards
from slapkit.viz.widgets.query import Query, read_query
from slapkit.viz.widgets.uploads import Uploads

if TYPE_CHECKING:
    import pandas as pd

    from slapkit.search import Library
    from slapkit.search.marks import Marks

SUGGESTIONS = ("+ strings", "+ piano", "- drums", "- brass")
HINT = "Enter searches · ↑ ↓ move · space plays · “;” separates queries to average"
NOTHING_ASKED = "Write what the music should sound like, or drop a sound file here."
# Filters that people reach for first; the others wait behind a button.
FIRST_FILTERS = ("style", "instruments", "tempo_class", "genre", "artist", "year", "mode", "metre", "split")
FIRST_SHOWN = 3
MOST_VALUES = 60  # in one menu
LONGEST_HISTORY = 50


class SearchBench(LibraryWidget):
    """Search libraries by words, by sounds and by what was found; listen, compare, mark.

    Args:
        libraries: one library, or several by the name to show; two of them can stand side by side.
        query: what to search for when the widget opens.
        k: how many results.
        where: filters to begin with, `{"style": "jig"}`.
        compare: begin with the first two libraries side by side.
        suggestions: terms to add by one press, each with its sign.
        marks: where "also relevant" is kept; without it the button is not there.

    Attributes:
        results: what the last search returned, exactly as `library.search` returns it.
        tables: the same for every library that was searched, by name.
        history: queries so far, the last one at the end.

    Raises:
        LibraryError: no library is given.
    """

    _esm = esm("picture.js", "card.js", "terms.js", "keys.js", "bench.js")
    _css = css("bench.css")
    options = traitlets.Dict(help="models, filters, suggestions and where to begin").tag(sync=True)

    def __init__(
        self,
        libraries: Library | Mapping[str, Library],
        *,
        query: str = "",
        k: int = 10,
        where: Mapping[str, Any] | None = None,
        compare: bool = False,
        suggestions: Sequence[str] = SUGGESTIONS,
        marks: Marks | None = None,
    ) -> None:
        named = dict(libraries) if isinstance(libraries, Mapping) else {libraries.model_name: libraries}
        if not named:
            raise LibraryError("no library to search: give one, or {name: library}")
        self.libraries: dict[str, Library] = named
        self.marks, self.uploads = marks, Uploads()
        self.tables: dict[str, pd.DataFrame] = {}
        self.history: list[str] = []
        self._live = False  # whether the newest entry of the history was typed only, and may grow into the next
        start = {"query": query, "k": k, "where": dict(where or {}), "compare": compare and len(named) > 1}
        super().__init__()
        first = self.handle({"type": "search", **start, "models": list(named)[: 2 if start["compare"] else 1]})
        first = first if first["type"] == "results" else None
        self.options = self._options(start, suggestions) | {"first": first}

    @property
    def results(self) -> pd.DataFrame | None:
        """What the last search returned from the first library searched; None before any."""
        return next(iter(self.tables.values()), None)

    def answers(self) -> Mapping[str, Answer]:
        """Return what answers which type of message: search, mark, upload, sound, picture."""
        own = {"search": self._search, "mark": self._mark, "upload": self._upload}
        return {**super().answers(), **own}

    def _upload(self, message: dict[str, Any], buffers: Sequence[bytes]) -> dict[str, Any]:
        return self.uploads.receive(message, b"".join(bytes(part) for part in buffers))

    def _search(self, message: dict[str, Any], _: Sequence[bytes]) -> dict[str, Any]:
        query = read_query(message, list(self.libraries))
        if query.empty:
            return {"type": "nothing", "text": NOTHING_ASKED, "history": self.history}
        tables, columns = {}, []
        for name in query.models:
            tables[name], column = self._column(name, query)
            columns.append(column)
        taken_ms = 1000 * sum(column.pop("seconds") for column in columns)
        found = {name: table for name, table in tables.items() if table is not None}
        if found:
            self.tables = found
            self._remember(query.label, live=bool(message.get("live")))
        tracks = len(self.libraries[query.models[0]])
        return {
            "type": "results",
            "columns": columns,
            "notice": self._notice(query, found),
            "status": f"{taken_ms:,.0f} ms over {tracks:,} {'clip' if tracks == 1 else 'clips'}",
            "code": query.code(self.uploads.files),
            "history": self.history,
        }

    def _column(self, name: str, query: Query) -> tuple[pd.DataFrame | None, dict[str, Any]]:
        """Search one library; what goes wrong there leaves the other column standing."""
        library = self.libraries[name]
        column = {"model": name, "cards": [], "text": "", "seconds": 0.0}
        if not len(library):
            return None, column | {"text": f"{library.name} holds no track yet: add sound files and update it"}
        try:
            _ = library.model  # loaded when first needed: no part of the time that a search takes
            begin = time.perf_counter()
            table = query.run(library, self.uploads.files)
            column["seconds"] = time.perf_counter() - begin
        except (SlapkitError, OSError) as error:
            return None, column | {"text": shown(error), "error": True}
        if table.empty:
            return table, column | {"text": "no track passes the filters: loosen one"}
        marked = self.marks.of(query.label) if self.marks is not None else ()
        return table, column | {"cards": cards(table, marked)}

    def _notice(self, query: Query, found: Mapping[str, pd.DataFrame]) -> str:
        """Return what the reader should know about a search that went well, as that the query's end is not read."""
        searched = [self.libraries[name] for name in found]
        warnings = [library.warn(text) for library in searched for text in query.texts]
        return shown(next((w for w in warnings if w), ""))

    def _remember(self, label: str, *, live: bool) -> None:
        """Keep a query; what is typed grows into one entry rather than one for every letter."""
        if self.history and (self._live or self.history[-1] == label):
            self.history.pop()
        if label:
            self.history = [*self.history, label][-LONGEST_HISTORY:]
        self._live = live and bool(label)

    def _mark(self, message: dict[str, Any], _: Sequence[bytes]) -> dict[str, Any]:
        if self.marks is None:
            raise LibraryError("nowhere to keep marks: give the bench `marks`")
        query = read_query(message, list(self.libraries))
        if not query.texts:
            raise LibraryError("a mark belongs to a query in words: write one")
        id, on = track_id(message), bool(message.get("on"))
        self.library(message).path(id)
        (self.marks.add if on else self.marks.remove)(query.label, id)
        return {"type": "mark", "id": id, "on": on}

    def _options(self, start: dict[str, Any], suggestions: Sequence[str]) -> dict[str, Any]:
        """Return what the browser needs before the first search."""
        names = list(self.libraries)
        filters = _filters(self.libraries[names[0]])
        return {
            "models": [{"name": name, "color": _color(name)} for name in names],
            "filters": filters,
            "first_filters": FIRST_SHOWN,
            "suggestions": [shown(term, 40) for term in suggestions],
            "marks": self.marks is not None,
            "hint": HINT,
            "start": start,
        }


def _color(name: str) -> str:
    """Return the objective whose colour marks a model's column, empty for a name that is none."""
    return next((key for key, label in OBJECTIVE_NAMES.items() if label.lower() in name.lower()), "")


def _filters(library: Library) -> list[dict[str, Any]]:
    """Return the filter menus: the columns people reach for first, each with its values and how many tracks have it."""
    found = library.facets(MOST_VALUES) if len(library) else {}
    # Fractions are measurements: nobody looks for the tracks of exactly -20.0 dB.
    found = {name: values for name, values in found.items() if not any(isinstance(v, float) for v, _ in values)}
    order = [name for name in FIRST_FILTERS if name in found] + [name for name in found if name not in FIRST_FILTERS]
    return [
        {
            "column": name,
            "label": shown(name.removesuffix("_class").replace("_", " "), 24),
            "values": [{"value": _plain(v), "label": shown(v, 40), "count": int(n)} for v, n in found[name]],
        }
        for name in order
    ]


def _plain(value: Any) -> Any:
    """Return a value of a column as JSON knows it."""
    return value.item() if hasattr(value, "item") else value
