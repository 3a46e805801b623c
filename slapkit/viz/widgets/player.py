"""Players: a card that fetches its clips on demand, and a static table of clips."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import traitlets

from slapkit._io import as_file, size_and_time
from slapkit.audio.decode import MEDIA_TYPES
from slapkit.errors import AudioError, LibraryError
from slapkit.search.listen import EXCERPT_S, excerpt
from slapkit.viz.text import plain
from slapkit.viz.widgets.base import Answer, Widget, css, esm

if TYPE_CHECKING:
    from IPython.display import HTML

_TABLE_CSS = (
    ".slap-clips td {vertical-align: top; text-align: left !important; padding: 6px 12px; white-space: normal}"
    ".slap-clips ul {margin: 2px 0; padding-left: 18px} .slap-clips audio {width: 260px; height: 36px}"
)


@dataclass(frozen=True)
class PlayerItem:
    """One clip to play: its title, lines of text, and `load`, which returns its bytes and media type ("audio/ogg")."""

    title: str
    lines: Sequence[str]
    load: Callable[[], tuple[bytes, str]]


class Player(Widget):
    """Plays one of several clips; starting it pauses every other player of the page.

    Audio is sent as a binary message when a clip is played, and is not kept in the executed notebook.
    """

    _esm = esm("player.js")
    _css = css("player.css")
    items = traitlets.List(traitlets.Dict(), help="title and lines of each clip").tag(sync=True)
    generation = traitlets.Int(0, help="grows with each `show`: late answers are recognised").tag(sync=True)
    empty = traitlets.Unicode("Nothing to play yet.", help="text of an empty card").tag(sync=True)

    def __init__(self, items: Sequence[PlayerItem] = (), *, empty: str = "Nothing to play yet.") -> None:
        super().__init__(empty=empty)
        self._loads: list[Callable[[], tuple[bytes, str]]] = []
        if items:
            self.show(items, autoplay=False)

    def show(self, items: Sequence[PlayerItem], *, autoplay: bool = True) -> None:
        """Show other items, and play the first one if `autoplay`."""
        self._loads = [item.load for item in items]
        with self.hold_sync():
            self.items = [{"title": plain(i.title, 160), "lines": [plain(line) for line in i.lines]} for i in items]
            self.generation += 1
        if autoplay and items:
            self.send({"type": "play", "id": 0, "generation": self.generation})

    def answers(self) -> Mapping[str, Answer]:
        return {"sound": self._sound}

    def _sound(self, message: dict[str, Any], _: Sequence[bytes]) -> dict[str, Any]:
        index = message.get("id")
        if type(index) is not int or not 0 <= index < len(self._loads):
            raise LibraryError(f"there is no clip {plain(index, 40)} in this player")
        if message.get("generation", self.generation) != self.generation:
            raise LibraryError("the player shows other clips by now")
        data, mime = self._loads[index]()
        return {"type": "sound", "mime": mime, "buffers": [data]}


def players(clips: Sequence[tuple[str | Path, str, Sequence[str]]], *, max_bytes: int = 400_000) -> HTML:
    """Show clips as a table of audio players, each with a title and lines of text.

    Files are stored in the notebook as they are, or the first 30 s as Ogg where browsers do not play the format. A file
    above `max_bytes`, or one that cannot be read, is named with the reason.
    """
    from IPython.display import HTML

    rows = "".join(_row(Path(path), title, lines, max_bytes) for path, title, lines in clips)
    # Captions with two dollar signs are no formulas.
    return HTML(f'<style>{_TABLE_CSS}</style><table class="slap-clips mathjax_ignore">{rows}</table>')


def _row(path: Path, title: str, lines: Sequence[str], max_bytes: int) -> str:
    label, kind = html.escape(title, quote=True), MEDIA_TYPES.get(path.suffix.lower())
    try:
        data = None if kind else excerpt(path, seconds=EXCERPT_S)
        size = len(data) if data else size_and_time(path)[0]
        if size > max_bytes:
            raise AudioError(f"{path.name} ({size / 1e6:.1f} MB: too large to keep in a notebook)")
        with as_file(path) as file:
            coded = base64.b64encode(data or Path(file).read_bytes()).decode()
        source = f"data:{kind or 'audio/ogg'};base64,{coded}"
        audio = f'<audio controls preload="none" aria-label="{label}" src="{source}"></audio>'
    except (AudioError, OSError) as error:
        audio = html.escape(str(error))
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f"<tr><td>{audio}</td><td><b>{label}</b><ul>{items}</ul></td></tr>"
