"""Rows of a search as the cards that the browser draws."""

import math
from collections.abc import Sequence
from typing import Any

from slapkit.search.results import percentile
from slapkit.viz.text import facts, items, plain, title_of

MOST_CAPTIONS = 3


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
