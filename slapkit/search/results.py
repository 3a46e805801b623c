"""Search results as a table, in a terminal, and filters as they are typed there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from slapkit._io import printable
from slapkit.errors import LibraryError

if TYPE_CHECKING:
    import pandas as pd

    from slapkit.search.ranking import Hits
    from slapkit.search.store import Entry

_TITLE = 60  # characters of a title that are printed


def parse_where(texts: Sequence[str]) -> dict[str, list[str]]:
    """Return filters typed as `style=jig`: values of the same fact are alternatives, different facts add up.

    Raises:
        LibraryError: a text is not FACT=VALUE.
    """
    where: dict[str, list[str]] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not (sign and name.strip() and value.strip()):
            raise LibraryError(f"--where {text!r} must be FACT=VALUE, such as style=jig")
        where.setdefault(name.strip(), []).append(value.strip())
    return where


def as_frame(
    hits: Hits, tracks: pd.DataFrame, entries: Sequence[Entry], start_s: Callable[[Entry, int], float], window_s: float
) -> pd.DataFrame:
    """Return results as `Library.search` describes them: the rows of `tracks` that were hit, with their best windows.

    Args:
        start_s: gives where a window of an entry begins, in s.
    """
    frame = tracks.iloc[hits.tracks].reset_index(drop=True)
    found = [entries[track] for track in hits.tracks]
    begins = np.array([start_s(entry, window) for entry, window in zip(found, hits.windows)], dtype=np.float64)
    lengths = np.array([min(window_s, entry.duration_s) for entry in found], dtype=np.float64)
    frame.insert(0, "rank", np.arange(1, len(frame) + 1))
    columns = {"score_percentile": hits.percentiles, "window_start_s": begins, "window_s": lengths}
    for place, (name, values) in enumerate(columns.items(), start=3):
        frame.insert(place, name, values)
    return frame


def text_lines(found: pd.DataFrame) -> Iterator[str]:
    """Yield a line for each result: rank, percentile, where its best window begins, title and file."""
    for row in found.itertuples():
        minutes, seconds = divmod(int(row.window_start_s), 60)
        title = printable(row.title)
        title = title if len(title) <= _TITLE else title[: _TITLE - 1] + "\u2026"
        share = f"top {percentile(row.score_percentile)}"
        yield f"{row.rank:>3}  {share:<11} {minutes:>2}:{seconds:02d}  {title}  ({printable(row.file)})"


def percentile(share: float) -> str:
    """Return a share as it is shown, with at least one digit that is not 0: 0.003 is "0.3 %", 0.00004 "0.004 %"."""
    percent = 100 * share
    digits = 1 if percent >= 0.05 else 1 - int(np.floor(np.log10(percent))) - 1
    return f"{percent:.{digits}f} %" if percent < 99.95 else "100 %"


def json_lines(found: pd.DataFrame) -> Iterator[str]:
    """Yield a JSON object for each result, with all columns; missing facts are null."""
    for row in found.to_dict("records"):
        yield json.dumps({name: _plain(value) for name, value in row.items()}, ensure_ascii=True)


def _plain(value: Any) -> Any:
    if isinstance(value, (list, dict, str)) or value is None:
        return value
    if isinstance(value, np.generic):
        value = value.item()
    return None if value != value else value
