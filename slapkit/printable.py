"""Text from data as a terminal may show it."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return text without what a terminal would obey: control characters, and marks that reorder a line."""
    return "".join(c if c.isprintable() else "\ufffd" for c in str(text))
