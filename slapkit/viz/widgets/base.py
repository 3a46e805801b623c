"""Shared by all widgets: browser code, messages answered by name, the theme of the page, cards of tracks.

Texts are set with `textContent`: nothing from data becomes markup.
"""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import anywidget
import traitlets

from slapkit.errors import LibraryError, SlapkitError
from slapkit.search import Library
from slapkit.search.marks import Marks
from slapkit.search.results import percentile
from slapkit.viz import theme
from slapkit.viz.text import facts, items, plain, title_of

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
    """An invisible widget: `dark` follows JupyterLab's theme, or the reader's setting outside of JupyterLab. A click in
    a plot beside it comes as the message `{"trace": ..., "point": ...}`, their numbers."""

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
        """Answer one message of the browser: binary parts are "buffers", an error is of type "error" and has "text"."""
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
    """A widget over `libraries`, set before its `__init__`, that sends excerpts and pictures of their tracks."""

    libraries: dict[str, Library]
    marks: Marks | None = None

    def answers(self) -> Mapping[str, Answer]:
        return {"sound": self._sound, "picture": self._picture}

    def _track(self, message: Mapping[str, Any]) -> tuple[Library, str, float | None]:
        """Return library, id and place in s that a message names; the library checks whether there is such a track."""
        name, id, start = (message.get(key) for key in ("model", "id", "start_s"))
        if not isinstance(name, str) or name not in self.libraries or not isinstance(id, str):
            there = ", ".join(self.libraries)
            raise LibraryError(f"no track {plain(id, 40)!r} of {plain(name, 40)!r} here: the models are {there}")
        good = type(start) in (int, float) and 0 <= start < 1e7
        return self.libraries[name], id, float(start) if good else None

    def set_mark(self, query: str, message: Mapping[str, Any]) -> dict[str, Any]:
        """Mark a track as relevant to a query, or take the mark away."""
        if self.marks is None:
            raise LibraryError("nowhere to keep marks: give the widget `marks`")
        (library, id, _), on = self._track(message), bool(message.get("on"))
        library.path(id)
        (self.marks.add if on else self.marks.remove)(query, id)
        return {"type": "mark", "id": id, "on": on}

    def _sound(self, message: dict[str, Any], _: Sequence[bytes]) -> dict[str, Any]:
        library, id, start = self._track(message)
        data, mime = library.sound(id, start_s=start)
        return {"type": "sound", "mime": mime, "start_s": library.span(id, start)[0], "buffers": [data]}

    def _picture(self, message: dict[str, Any], _: Sequence[bytes]) -> dict[str, Any]:
        library, id, start = self._track(message)
        picture = library.log_mel(id, start_s=start)
        rows, columns = picture.pixels.shape
        shape = {"rows": rows, "columns": columns, "start_s": picture.start_s, "seconds": picture.duration_s}
        return {"type": "picture", **shape, "buffers": [picture.pixels.tobytes()]}


def card(row: dict[str, Any], marked: Sequence[str] = ()) -> dict[str, Any]:
    """Return the card of a row of `Library.search`, ready for JSON; `marked` are the ids of marked tracks."""
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
        "span": _span(start, length, duration),
        "length": "" if duration is None else _clock(duration),
        "marked": row["id"] in marked,
    }


def _span(start: float | None, window: float | None, duration: float | None) -> str:
    """Return where the best window lies in a track longer than it ("0:40–0:50"), else the duration ("0:10")."""
    if duration is None:
        return ""
    if start is None or not window or window >= duration:
        return _clock(duration)
    return f"{_clock(start)}–{_clock(min(start + window, duration))}"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _number(value: Any) -> float | None:
    """Return a number as JSON knows it, None for what is missing or infinite."""
    good = isinstance(value, int | float) or hasattr(value, "item")
    number = float(value) if good else math.nan
    return number if math.isfinite(number) else None
