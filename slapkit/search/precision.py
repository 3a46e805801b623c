"""Precision of searches by label: ask a library for its own facts by name, and count the results that have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from slapkit.config import nearest
from slapkit.errors import LibraryError, short
from slapkit.search.filters import Filters

if TYPE_CHECKING:
    import pandas as pd

    from slapkit.search import Library

_COLUMNS = ("instruments", "style", "genre", "tempo_class")  # facts that people ask for, in the order of preference
_MOST_VALUES = 200  # more are names rather than kinds
_LARGEST_SHARE = 0.8  # a value that most tracks have is found by anybody
_ASKED = 12  # values, the most frequent first


def column_to_ask(library: Library) -> str | None:
    """Return the first column worth asking for that has values of its own; None where the library has no such fact."""
    facets = library.facets(_MOST_VALUES)
    return next((column for column in _COLUMNS if column in facets), None)


def precision_by_label(
    library: Library, column: str, *, k: int = 10, where: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """Search for each frequent value of a column by its name, and count the results that have it.

    Args:
        column: a fact of the tracks; a list of values counts each. Values of fewer than `k` tracks are left out.
        k: results looked at.
        where: search among these tracks alone, as `Library.search` takes it, such as `{"split": "test"}`.

    Returns:
        value, share of the first `k` that have it, chance (the share of all tracks that do), tracks: shares in [0, 1].
    """
    import pandas as pd

    tracks, rows = library.tracks, []
    if column not in tracks:
        raise LibraryError(f"the library has no fact {short(column)} to ask for: {nearest(column, tracks.columns)}")
    if (fits := Filters(tracks.to_dict("records")).mask(where or {})) is not None:
        tracks = tracks[fits]
    counts = tracks[column].explode().groupby(level=0).unique().explode().value_counts()
    usual = counts[(counts >= k) & (counts <= _LARGEST_SHARE * len(tracks))]
    for value, count in usual.head(_ASKED).items():
        found = library.search(str(value), k=k, where=where, literal=True)
        share = float(_have(found[column], value).mean())
        rows.append({"value": value, "share": share, "chance": count / len(tracks), "tracks": int(count)})
    return pd.DataFrame(rows, columns=["value", "share", "chance", "tracks"])


def _have(cells: pd.Series, value: Any) -> pd.Series:
    """Return which cells are the value, or lists that have it."""
    return cells.explode().eq(value).groupby(level=0).any()
