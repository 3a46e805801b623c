"""The checkpoint doctor: is a model whole, does it behave, do its embeddings use their space?

examine(path) -> Examination, a page of checks, each with a verdict, a figure, its limit and what to do
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slapkit.hub.doctor.examination import Examination, examine

__all__ = ["Examination", "examine"]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: the command line names this package without needing torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from slapkit.hub.doctor import examination

    return getattr(examination, name)
