"""Published collections of music as they are published, each read into an `AudioTextDataset` with its official splits.

    from slapkit.data import collections
    dataset = collections.read("gtzan", "music/gtzan")     # or "auto", which says what it saw
    dataset.split("test").to_frame()

Labels are facts: `genre` (GTZAN), `tags` (MagnaTagATune, MusicCaps), `instruments` and `instruments_known` (OpenMIC).
Every clip has a group (artist, track or video), so that bootstraps draw what belongs together. Nothing is fetched,
nothing is executed, and no name in a table leads out of its folder.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {"LAYOUTS": "reading", "detect": "reading", "extract": "archives", "read": "reading"}
__all__ = ["LAYOUTS", "detect", "extract", "read"]


def __getattr__(name: str) -> Any:
    """Import what is asked for: the command line names this package, and must not wait for it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
