"""Widgets for notebooks: a player, the search bench, listening to errors.

Each is an anywidget: the Python side answers messages and is tested without a browser, the browser side draws with
`createElement` and `textContent` alone, so that no text from data can become markup. Sound travels when asked for.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "ErrorsView": "slapkit.viz.widgets.errors_view",
    "MapView": "slapkit.viz.widgets.map",
    "Player": "slapkit.viz.widgets.player",
    "PlayerItem": "slapkit.viz.widgets.player",
    "SearchBench": "slapkit.viz.widgets.bench",
}
__all__ = list(_HOMES)  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    """Import a widget where it is used: ipywidgets and plotly take a second to load."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
