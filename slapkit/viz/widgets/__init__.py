"""Widgets for notebooks: players, live training curves, the search bench, the errors view, the map."""

from slapkit._lazy import imported_from

_HOMES = {
    "ErrorsView": "errors_view", "LiveCurves": "live", "MapView": "map", "Player": "player", "PlayerItem": "player",
    "SearchBench": "bench", "players": "player",
}  # fmt: skip
__all__ = list(_HOMES)  # noqa: PLE0604
__getattr__ = imported_from(__name__, _HOMES)
