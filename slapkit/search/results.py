"""Search results in words: what tells tracks of one title apart, lines of a terminal, filters as they are typed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from slapkit._io import printable
from slapkit.errors import LibraryError, short

if TYPE_CHECKING:
    import pandas as pd

    from slapkit.search.store import Entry

_TITLE = 60  # characters of a title that are printed


def parse_where(texts: Sequence[str]) -> dict[str, list[str]]:
    """Return filters typed as `style=jig`: values of the same fact are alternatives, different facts add up. Raise
    `LibraryError` where a text is not FACT=VALUE."""
    where: dict[str, list[str]] = {}
    for text in texts:
        name, value = (part.strip() for part in text.partition("=")[::2])
        if not (name and value):
            raise LibraryError(f"--where {short(text)} must be FACT=VALUE, such as style=jig")
        where.setdefault(name, []).append(value)
    return where


def beside(entries: Sequence[Entry]) -> list[str]:
    """Return what tells each track from others of its title: the artist, or else the file; "" where none has it."""
    artists = [artist if isinstance(artist := entry.facts.get("artist"), str) else "" for entry in entries]
    names = [(entry.title.casefold(), artist.casefold()) for entry, artist in zip(entries, artists)]
    shared, known = Counter(title for title, _ in names), Counter(names)
    return [
        "" if shared[name[0]] == 1 else artist if artist and known[name] == 1 else entry.file
        for entry, artist, name in zip(entries, artists, names)
    ]


def text_lines(found: pd.DataFrame) -> Iterator[str]:
    """Yield a line for each result: rank, percentile, where its best window begins, title (and artist) and file."""
    for row in found.itertuples():
        minutes, seconds = divmod(int(row.window_start_s), 60)
        title = printable(row.title)
        title = title if len(title) <= _TITLE else title[: _TITLE - 1] + "\u2026"
        title += f" · {printable(row.beside)}" if row.beside not in ("", row.file) else ""
        share = f"top {percentile(row.score_percentile)}"
        yield f"{row.rank:>3}  {share:<11} {minutes:>2}:{seconds:02d}  {title}  ({printable(row.file)})"


def percentile(share: float) -> str:
    """Return a share with at least one digit that is not 0: 0.003 is "0.3 %", 0.00004 "0.004 %", NaN "?"."""
    if np.isnan(share):
        return "?"
    percent = 100 * share
    digits = 1 if percent >= 0.05 else -int(np.floor(np.log10(percent)))
    return f"{percent:.{digits}f} %" if percent < 99.95 else "100 %"
