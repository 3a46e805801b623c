"""Texts from data on a figure: shown as text, of a size that fits, whatever stands in them.

plotly reads a little HTML in labels (`<b>`, `<a>`, `<span>`), entities, and TeX between dollar signs. Names and
captions are to stand as they are, so all of it is escaped, characters that cannot be seen or that turn the reading
direction are taken out, and what is very long is cut.
"""

from __future__ import annotations

import html
import math
import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

WIDTH = 60  # characters of one line of a card
MOST_LINES = 6
BREAK = "<br>"
LONGEST = 2000  # characters looked at: beyond this nothing would be shown anyway

# Of the invisible characters these two are kept: they join emoji and letters.
_JOINERS = ("\u200c", "\u200d")


def plain(value: Any, limit: int = LONGEST) -> str:
    """Return `value` as one line of visible text: no control, surrogate or direction characters, at most `limit`."""
    kept = []
    for character in str(value)[:LONGEST]:
        if character.isspace():
            kept.append(" ")
        elif unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn") or character in _JOINERS:
            kept.append(character)
    text = " ".join("".join(kept).split())
    return text if len(text) <= limit else f"{text[: limit - 1].rstrip()}…"


def escaped(text: str) -> str:
    """Return visible text as plotly must get it: no tag, no entity of its own, no TeX."""
    # plotly decodes numbers and few names: &quot; would stand as it is.
    return html.escape(text, quote=False).replace('"', "&#34;").replace("'", "&#39;").replace("$", "&#36;")


def label(value: Any, limit: int = 40) -> str:
    """Return a value from data as a legend entry or a title."""
    return escaped(plain(value, limit))


def lines(text: Any, *, width: int = WIDTH, most: int = 3) -> list[str]:
    """Return text in at most `most` escaped lines of `width` characters; an ellipsis ends what is cut."""
    if most == 1:  # one line is cut anywhere, not before its last word
        return [escaped(plain(text, width))]
    parts = textwrap.wrap(plain(text), width, break_long_words=True, max_lines=most, placeholder=" …")
    return [escaped(part) for part in parts] or [""]


def card(title: Any, body: Sequence[tuple[Any, int]]) -> str:
    """Return a hover card of at most six lines: a bold title, then each text of `body` in at most its own number."""
    rows = [f"<b>{line}</b>" for line in lines(title, most=1)]
    for text, most in body:
        if len(rows) < MOST_LINES and text not in ("", None):
            rows += lines(text, most=min(most, MOST_LINES - len(rows)))
    return BREAK.join(rows)


def fact(value: Any) -> str:
    """Return one fact in words: lists joined, whole numbers without decimals, nothing for what is unknown."""
    if isinstance(value, list | tuple | set):
        return ", ".join(filter(None, (fact(v) for v in value)))
    if value is None or isinstance(value, Mapping) or (isinstance(value, Real) and not math.isfinite(float(value))):
        return ""
    if isinstance(value, Real) and not isinstance(value, Integral | bool):
        return f"{float(value):g}"
    return plain(value, 80)
