"""Texts from data, made fit to show, and the words about a clip that maps, cards and pages share."""

import html
import json
import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from slapkit.data.dataset import MACHINES
from slapkit.data.scan import HEARD, RESERVED

WIDTH = 60  # characters of one line of a hover card
MOST_LINES = 6
BREAK = "<br>"
LONGEST = 2000  # characters looked at; nothing beyond them would be shown

# Facts worth a place on a card, in this order. Other columns follow while there is room.
FIRST_FACTS = ("instruments", "style", "genre", "tempo_class", "mode", "metre", "artist", "album", "year", "tempo_bpm")
NOT_FACTS = RESERVED | {
    "title", "path", "split", "group", "work", "caption_registers", "caption_frames", "caption_facts", "caption_words",
    "collection", "sha256", "bytes", "peak_db", "rms_db", "transposition", "key", "families", "roles", "accompaniment",
    "percussion", "register", "articulation", "texture", "voices", "drums", "bass", "soundfont", "room",
}  # fmt: skip
_EMPTY_WORDS = {"", "unclear", "unknown", "none"}
_JOINERS = ("\u200c", "\u200d")  # invisible, but they join emoji and letters


def plain(value: Any, limit: int = 400) -> str:
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
    """Return text that plotly, which reads some HTML and TeX, shows as it is."""
    # plotly decodes numeric entities, but not &quot;.
    return html.escape(text, quote=False).replace('"', "&#34;").replace("'", "&#39;").replace("$", "&#36;")


def label(value: Any, limit: int = 40) -> str:
    """Return a value from data as plotly shows it in a legend, a title or an axis."""
    return escaped(plain(value, limit))


def lines(text: Any, *, most: int = 3) -> list[str]:
    """Return text in at most `most` escaped lines; an ellipsis ends what is cut."""
    if most == 1:  # one line may be cut within a word
        return [label(text, WIDTH)]
    parts = textwrap.wrap(plain(text), WIDTH, break_long_words=True, max_lines=most, placeholder=" …")
    return [escaped(part) for part in parts] or [""]


def card(head: Any, body: Sequence[tuple[Any, int]], *, most: int = 1) -> str:
    """Return a hover card of at most six lines: a bold head of `most` lines, then texts with the most of each."""
    rows = [f"<b>{line}</b>" for line in lines(head, most=most)]
    for text, limit in body:
        if text and len(rows) < MOST_LINES:
            rows += lines(text, most=min(limit, MOST_LINES - len(rows)))
    return BREAK.join(rows)


def title_of(row: Mapping[str, Any]) -> str:
    """Return the title of a clip, or the name of its file where it has none, and what tells it from its namesakes."""
    title = row.get("title")
    if not (isinstance(title, str) and title.strip()):
        title = PurePosixPath(str(row.get("file") or row["id"])).name
    return f"{title} · {row['beside']}" if row.get("beside") else title


def facts(row: Mapping[str, Any], most: int = 6) -> list[str]:
    """Return up to `most` facts of a clip in words: those of `FIRST_FACTS`, what a model heard, then other texts."""
    others = [name for name in row if name not in NOT_FACTS and all(isinstance(item, str) for item in items(row[name]))]
    words = [_words(row, name) for name in FIRST_FACTS if name in row] + [_heard(row)]
    for name in others:
        if name == "source" and str(row[name]) in MACHINES:
            words.append(f"captions by a model ({row[name]})")
        elif name not in FIRST_FACTS and not name.startswith(HEARD):
            words.append(_words(row, name))
    return [word for word in dict.fromkeys(words) if word not in _EMPTY_WORDS][:most]


def _words(row: Mapping[str, Any], name: str) -> str:
    known = (f"{item:g}" if isinstance(item, float) else str(item) for item in items(row[name]))
    text = plain(", ".join(known), WIDTH)
    return f"{text} bpm" if name == "tempo_bpm" and text else text


def _heard(row: Mapping[str, Any]) -> str:
    """Return what a model heard in a clip, and that it did; numbers, and that there is no voice, need a word more."""
    said = [(name.removeprefix(HEARD), item) for name in row if name.startswith(HEARD) for item in items(row[name])]
    words = (
        f"no {name}" if item == "none" else item if isinstance(item, str) else f"{item} {name}" for name, item in said
    )
    text = ", ".join(words)
    return plain(f"heard: {text}", WIDTH) if said else ""


def items(value: Any) -> list[Any]:
    """Return a fact as a list: its items, the value itself, or nothing where it is missing or a flag."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple | set):
        return [item for part in value for item in items(part)]
    return [] if value is None or isinstance(value, bool | Mapping) or value != value or value == "" else [value]


def rank_words(rank: float, candidates: int) -> str:
    """Return "rank 12 of 400 (3.0 %)"; an expected rank among ties keeps its half."""
    return f"rank {rank:g} of {candidates:,} ({100 * rank / candidates:.1f} %)"


def json_for_script(value: Any) -> str:
    """Return JSON for the inside of a script element: no text in it can end the element or open a comment."""
    text = value if isinstance(value, str) else json.dumps(value)
    for character in "<>\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
