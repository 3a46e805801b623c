"""Shared by all widgets: browser code, messages answered by name, and which theme the page has.

The browser side asks in small messages; `handle` answers each with a dict, so widgets are used and tested in plain
Python. Texts are set with `textContent`: nothing from data becomes markup.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from slapkit.errors import LibraryError, SlapkitError
from slapkit.search.results import percentile
from slapkit.viz import theme
from slapkit.viz.text import facts, items, plain, title_of

if TYPE_CHECKING:
    from slapkit.search import Library
    from slapkit.search.marks import Marks

log = logging.getLogger(__name__)
MOST_CAPTIONS = 3  # of a card
Answer = Callable[[dict[str, Any], Sequence[bytes]], dict[str, Any]]


@cache
def esm(*names: str) -> str:
    """Return one JavaScript module: the helpers of all widgets, then the files `names` in order."""
    return "\n".join(_read(name) for name in ("common.js", *names))


@cache
def css(*names: str) -> str:
    """Return one style sheet: the theme's colours as variables, the shared rules, then the files `names`."""
    return theme.css_variables(widget=True) + "\n".join(_read(name) for name in ("common.css", *names))


def _read(name: str) -> str:
    return (files("slapkit.viz.widgets") / name).read_text(encoding="utf-8")


class Scheme(anywidget.AnyWidget):
    """An invisible widget: `dark` follows JupyterLab's theme, or the reader's setting outside of JupyterLab."""

    _esm = esm("scheme.js")
    dark = traitlets.Bool(False, help="the page is dark").tag(sync=True)


class Widget(anywidget.AnyWidget):
    """A widget whose browser side sends `{"type": ..., "request": ...}` and gets one answer to each message."""

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self.on_msg(self._on_message)

    def answers(self) -> Mapping[str, Answer]:
        """Return the handlers by type of message."""
        return {}

    def handle(self, message: dict[str, Any], buffers: Sequence[bytes] = ()) -> dict[str, Any]:
        """Answer one message of the browser; binary parts of the answer are in its "buffers".

        Nothing is raised: an answer of type "error" has the error's words as "text".
        """
        kind = message.get("type")
        try:
            answer = self.answers().get(kind if isinstance(kind, str) else "")
            if answer is None:
                raise LibraryError(f"the widget does not know {plain(kind, 40)!r}")
            reply = answer(message, buffers)
        except (SlapkitError, OSError) as error:
            reply = {"type": "error", "text": plain(error)}
        except Exception as error:  # nobody catches what a callback raises
            log.exception("%s: %s failed", type(self).__name__, kind)
            reply = {"type": "error", "text": plain(f"unexpected {type(error).__name__}: {error}")}
        return reply | {"request": message.get("request")}

    def _on_message(self, _: Any, content: Any, buffers: Any) -> None:
        reply = self.handle(content if isinstance(content, dict) else {}, buffers or ())
        self.send(reply, reply.pop("buffers", None))


class LibraryWidget(Widget):
    """A widget over libraries that sends excerpts and pictures of their tracks.

    A class that inherits from it sets `libraries` before its `__init__`, and adds to `answers`.
    """

    libraries: dict[str, Library]
    marks: Marks | None = None

    def answers(self) -> Mapping[str, Answer]:
        return {"sound": self._sound, "picture": self._picture}

    def library(self, message: Mapping[str, Any]) -> Library:
        """Return the library that a message names."""
        name = message.get("model")
        if not isinstance(name, str) or name not in self.libraries:
            raise LibraryError(f"no model {plain(name, 40)!r} here: there is {', '.join(self.libraries)}")
        return self.libraries[name]

    def set_mark(self, query: str, message: Mapping[str, Any]) -> dict[str, Any]:
        """Mark a track as relevant to a query, or take the mark away."""
        if self.marks is None:
            raise LibraryError("nowhere to keep marks: give the widget `marks`")
        id, on = track_id(message), bool(message.get("on"))
        self.library(message).path(id)
        (self.marks.add if on else self.marks.remove)(query, id)
        return {"type": "mark", "id": id, "on": on}

    def _sound(self, message: dict[str, Any], _: Sequence[bytes]) -> dict[str, Any]:
        library, id, start = self.library(message), track_id(message), seconds(message)
        data, mime = library.sound(id, start_s=start)
        return {"type": "sound", "mime": mime, "start_s": library.span(id, start)[0], "buffers": [data]}

    def _picture(self, message: dict[str, Any], _: Sequence[bytes]) -> dict[str, Any]:
        picture = self.library(message).log_mel(track_id(message), start_s=seconds(message))
        rows, columns = picture.pixels.shape
        shape = {"rows": rows, "columns": columns, "start_s": picture.start_s, "seconds": picture.duration_s}
        return {"type": "picture", **shape, "buffers": [picture.pixels.tobytes()]}


def track_id(message: Mapping[str, Any]) -> str:
    """Return the id of a track in a message; the library checks whether there is such a track."""
    id = message.get("id")
    if not isinstance(id, str):
        raise LibraryError(f"{plain(id, 40)!r} is no id of a track")
    return id


def seconds(message: Mapping[str, Any]) -> float | None:
    """Return the place in a track, in s, that a message names; None where it is no number >= 0."""
    value = message.get("start_s")
    good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e7
    return float(value) if good else None


def cards(rows: Sequence[dict[str, Any]], marked: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return one card per row of `Library.search`, ready for JSON."""
    return [_card(row, row["id"] in set(marked)) for row in rows]


def _card(row: dict[str, Any], marked: bool) -> dict[str, Any]:
    captions = [plain(text) for text in items(row.get("captions"))]
    start, length, duration = (_number(row.get(key)) for key in ("window_start_s", "window_s", "duration_s"))
    return {
        "id": str(row["id"]),
        "rank": int(row["rank"]),
        "title": plain(title_of(row), 200),
        "score": f"top {percentile(float(row['score_percentile']))}",
        "captions": captions[:MOST_CAPTIONS],
        "more_captions": max(0, len(captions) - MOST_CAPTIONS),
        "facts": facts(row),
        "file": plain(row.get("file") or row["id"], 200),
        "window_start_s": start,
        "window_s": length,
        "duration_s": duration,
        "span": span(start, length, duration),
        "length": "" if duration is None else _clock(duration),
        "marked": marked,
    }


def span(start_s: float | None, window_s: float | None, duration_s: float | None) -> str:
    """Return where the best window lies in a track longer than it ("0:40–0:50"), else the duration ("0:10")."""
    if duration_s is None:
        return ""
    if start_s is None or not window_s or window_s >= duration_s:
        return _clock(duration_s)
    return f"{_clock(start_s)}–{_clock(min(start_s + window_s, duration_s))}"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _number(value: Any) -> float | None:
    """Return a number as JSON knows it, None for what is missing or infinite."""
    good = isinstance(value, int | float) or hasattr(value, "item")
    number = float(value) if good else math.nan
    return number if math.isfinite(number) else None
