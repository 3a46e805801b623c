"""Widgets for notebooks: players, live training curves, the search bench, the errors view, the map."""

import importlib
from typing import Any

_HOMES = {
    "ErrorsView": "errors_view",
    "LiveCurves": "live",
    "MapView": "map",
    "Player": "player",
    "PlayerItem": "player",
    "SearchBench": "bench",
    "players": "player",
}
__all__ = list(_HOMES)  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    """Import a widget on first use: ipywidgets and plotly take a second to load."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"slapkit.viz.widgets.{_HOMES[name]}"), name)
