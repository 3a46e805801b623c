"""Rows of a search as the cards that the browser draws: plain values, texts made fit to show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from slapkit.viz.widgets.assets import shown

if TYPE_CHECKING:
    import pandas as pd

# Facts worth a place on a card, in this order; columns beyond them are shown while there is room.
FIRST_FACTS = ("instruments", "style", "genre", "tempo_class", "mode", "metre", "artist", "album", "year", "tempo_bpm")
_NOT_FACTS = {
    "rank", "id", "title", "score_percentile", "window_start_s", "window_s", "duration_s", "captions", "file", "split",
    "group", "work", "caption_frames", "collection", "sha256", "bytes", "peak_db", "rms_db", "transposition", "key",
    "families", "roles", "accompaniment", "percussion", "register", "articulation", "texture", "voices", "drums",
    "bass",
}  # fmt: skip
_SAYS_NOTHING = {"", "unclear", "unknown", "none"}
MOST_FACTS, MOST_CAPTIONS = 6, 3


def cards(results: pd.DataFrame, marked: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return one dict a row of `results`, ready for JSON."""
    return [_card(row, row["id"] in set(marked)) for row in results.to_dict("records")]


def _card(row: dict[str, Any], marked: bool) -> dict[str, Any]:
    captions = [shown(text) for text in _items(row.get("captions"))]
    start, length, duration = (_number(row.get(key)) for key in ("window_start_s", "window_s", "duration_s"))
    return {
        "id": str(row["id"]),
        "rank": int(row["rank"]),
        "title": shown(_words(row.get("title")) or str(row.get("file") or row["id"]).rsplit("/", 1)[-1], 200),
        "score": percentile(float(row["score_percentile"])),
        "captions": captions[:MOST_CAPTIONS],
        "more_captions": max(0, len(captions) - MOST_CAPTIONS),
        "facts": facts(row),
        "file": shown(row.get("file") or row["id"], 200),
        "window_start_s": start,
        "window_s": length,
        "duration_s": duration,
        "span": span(start, length, duration),
        "length": "" if duration is None else _clock(duration),
        "marked": marked,
    }


def percentile(share: float) -> str:
    """Return the share of the library that scores at least as high, in words ("top 0.3 %")."""
    percent = 100 * min(max(share, 0.0), 1.0)
    digits = 0 if percent >= 10 else 1 if percent >= 0.1 else 2 if percent >= 0.01 else 4
    return f"top {percent:.{digits}f} %"


def span(start_s: float | None, window_s: float | None, duration_s: float | None) -> str:
    """Return where the best window lies in a track longer than it ("0:40–0:50"), else the duration ("0:10")."""
    if duration_s is None:
        return ""
    if start_s is None or not window_s or window_s >= duration_s:
        return _clock(duration_s)
    return f"{_clock(start_s)}–{_clock(min(start_s + window_s, duration_s))}"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def facts(row: dict[str, Any]) -> list[str]:
    """Return up to six facts of a row as short words, those that tell most first."""
    names = [name for name in FIRST_FACTS if name in row]
    names += [name for name in row if name not in names and name not in _NOT_FACTS]
    words = [shown(_words(row[name], name), 60) for name in names]
    return list(dict.fromkeys(word for word in words if word not in _SAYS_NOTHING))[:MOST_FACTS]


def _words(value: Any, name: str = "") -> str:
    """Return a fact in words; nothing for what is missing or says nothing by itself."""
    items = [str(item) for item in _items(value) if not isinstance(item, bool)]
    if name == "tempo_bpm" and items:
        return f"{items[0]} bpm"
    if name and name not in FIRST_FACTS and not all(isinstance(item, str) for item in _items(value)):
        return ""  # a bare number without its name tells nobody anything
    return ", ".join(items)


def _items(value: Any) -> list[Any]:
    """Return a fact as a list: its items, the value itself, or nothing where it is missing."""
    if isinstance(value, list | tuple):
        return list(value)
    if hasattr(value, "tolist"):
        return _items(value.tolist())
    missing = value is None or value == "" or (isinstance(value, float) and math.isnan(value)) or value != value
    return [] if missing else [value]


def _number(value: Any) -> float | None:
    good = isinstance(value, int | float) or hasattr(value, "item")
    number = float(value) if good else math.nan
    return number if math.isfinite(number) else None
