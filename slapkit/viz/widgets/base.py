"""What widgets over a library share: messages answered by name, sounds and pictures of tracks, errors as words."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import anywidget

from slapkit.errors import LibraryError, SlapkitError
from slapkit.viz.widgets.assets import shown

if TYPE_CHECKING:
    from slapkit.search import Library

log = logging.getLogger(__name__)
Answer = Callable[[dict[str, Any], Sequence[bytes]], dict[str, Any]]


class LibraryWidget(anywidget.AnyWidget):
    """A widget whose browser side asks in small messages `{"type": ..., "request": ...}` and gets one answer to each.

    A class that inherits from it sets `libraries` before its `__init__`, and adds to `answers`.
    """

    libraries: dict[str, Library]

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self.on_msg(self._on_message)

    def answers(self) -> Mapping[str, Answer]:
        """Return what answers which type of message."""
        return {"sound": self._sound, "picture": self._picture}

    def handle(self, message: dict[str, Any], buffers: Sequence[bytes] = ()) -> dict[str, Any]:
        """Answer one message of the browser; binary parts of the answer are in its "buffers".

        An answer of type "error" says in words what went wrong; nothing is raised.
        """
        kind = message.get("type")
        try:
            answer = self.answers().get(kind if isinstance(kind, str) else "")
            if answer is None:
                raise LibraryError(f"the widget does not know {shown(kind, 40)!r}")
            reply = answer(message, buffers)
        except (SlapkitError, OSError) as error:
            reply = {"type": "error", "text": shown(error)}
        except Exception as error:
            # A callback has nobody above it to tell: the reader gets the words, the log the rest.
            log.exception("%s: %s failed", type(self).__name__, kind)
            reply = {"type": "error", "text": shown(f"this should not happen: {type(error).__name__}: {error}")}
        return reply | {"request": message.get("request")}

    def _on_message(self, _: Any, content: Any, buffers: Any) -> None:
        reply = self.handle(content if isinstance(content, dict) else {}, buffers or ())
        self.send(reply, reply.pop("buffers", None))

    def library(self, message: Mapping[str, Any]) -> Library:
        """Return the library that a message names.

        Raises:
            LibraryError: there is none of that name.
        """
        name = message.get("model")
        if not isinstance(name, str) or name not in self.libraries:
            raise LibraryError(f"no model {shown(name, 40)!r} here: there is {', '.join(self.libraries)}")
        return self.libraries[name]

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
    """Return the id of a track in a message; whether there is such a track, the library says.

    Raises:
        LibraryError: it is no text.
    """
    id = message.get("id")
    if not isinstance(id, str):
        raise LibraryError(f"{shown(id, 40)!r} is no id of a track")
    return id


def seconds(message: Mapping[str, Any]) -> float | None:
    """Return the place in a track, in s, that a message names; None where it names none that is a number >= 0."""
    value = message.get("start_s")
    good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e7
    return float(value) if good else None
