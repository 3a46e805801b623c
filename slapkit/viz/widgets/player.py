"""A card in the notebook that plays sounds: each is read, and sent to the browser, when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import anywidget
import traitlets

from slapkit.errors import SlapkitError
from slapkit.viz.widgets.assets import css, esm, shown

Sound = tuple[bytes, str]  # the bytes of a sound file, and its media type ("audio/ogg")


@dataclass(frozen=True)
class PlayerItem:
    """One sound to choose: what it is called, lines of text about it, and how to read it.

    `load` returns the bytes of a sound file and its media type; it may raise any error of slapkit or of the disk,
    which the card then shows in words.
    """

    title: str
    lines: Sequence[str]
    load: Callable[[], Sound]


class Player(anywidget.AnyWidget):
    """Plays one of several sounds; starting it pauses every other player of the page.

    The items' texts are traits, their sounds are not: bytes travel as a binary message when one is played, so an
    executed notebook does not grow by them.
    """

    _esm = esm("player.js")
    _css = css("player.css")
    items = traitlets.List(traitlets.Dict(), help="title and lines of each sound").tag(sync=True)
    generation = traitlets.Int(0, help="grows with each `show`, so that late answers are told apart").tag(sync=True)
    empty = traitlets.Unicode("Nothing to play yet.", help="what an empty card says").tag(sync=True)

    def __init__(self, items: Sequence[PlayerItem] = (), *, empty: str = "Nothing to play yet.") -> None:
        super().__init__(empty=empty)
        self._loads: list[Callable[[], Sound]] = []
        self.on_msg(self._on_message)
        if items:
            self.show(items, autoplay=False)

    @property
    def title(self) -> str:
        """Title of the first item, empty where there is none."""
        return self.items[0]["title"] if self.items else ""

    @property
    def lines(self) -> list[str]:
        """Lines of the first item."""
        return self.items[0]["lines"] if self.items else []

    def show(self, items: Sequence[PlayerItem], *, autoplay: bool = True) -> None:
        """Show other items, and play the first one if `autoplay`. No items: the card says that it is empty."""
        self._loads = [item.load for item in items]
        with self.hold_sync():
            self.items = [
                {"title": shown(item.title, 160), "lines": [shown(line) for line in item.lines]} for item in items
            ]
            self.generation += 1
        if autoplay and items:
            self.play(0)

    def play(self, number: int) -> None:
        """Play one of the items shown, counted from 0."""
        self.send({"type": "play", "id": number, "generation": self.generation})

    def handle(self, message: dict[str, Any]) -> dict[str, Any]:
        """Answer one message of the browser; the bytes of a sound are in the answer's "buffers".

        `{"type": "sound", "id": n}` is answered by the sound of item n, or by what went wrong in words.
        """
        number, current = message.get("id"), message.get("generation", self.generation)
        reply = {"type": "error", "request": message.get("request"), "id": number}
        if message.get("type") != "sound" or type(number) is not int or not 0 <= number < len(self._loads):
            return reply | {"text": f"there is no sound {shown(number, 40)} in this player"}
        if current != self.generation:
            return reply | {"text": "the player shows something else by now"}
        try:
            data, mime = self._loads[number]()
        except (SlapkitError, OSError, ValueError) as error:
            return reply | {"text": shown(error)}
        return reply | {"type": "sound", "mime": mime, "buffers": [data]}

    def _on_message(self, _: Any, content: Any, buffers: Any) -> None:
        reply = self.handle(content if isinstance(content, dict) else {})
        self.send(reply, reply.pop("buffers", None))
