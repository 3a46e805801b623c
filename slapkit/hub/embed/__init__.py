"""Embedding a whole collection into one Parquet file, on one device or many, stopped and continued at will.

    slapkit embed runs/02_train/slap-... music --out music.parquet
    torchrun --nproc-per-node 8 -m slapkit embed runs/02_train/slap-... music --out music.parquet

`processes` says which share of the work is this process's, `plan` cuts the collection into chunks, `parts` keeps each
finished chunk and joins them, `embed` does the work between. Processes never talk to each other: they share a folder.
"""

from __future__ import annotations

from typing import Any

__all__ = ["Outcome", "embed_collection"]


def __getattr__(name: str) -> Any:
    """Import what is asked for: the command line names this package, and must not wait for torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from slapkit.hub.embed import embed

    return getattr(embed, name)
