"""The checkpoint doctor: is a model whole, does it behave, do its embeddings use their space?

examine(path) -> Examination, a page of checks, each with a verdict, a figure, its limit and what to do
"""

from typing import Any


def __getattr__(name: str) -> Any:
    """Import `examine` when it is asked for: the command line names this package, and must not wait for torch."""
    if name not in ("Examination", "examine"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from slapkit.hub.doctor import examination

    return getattr(examination, name)
