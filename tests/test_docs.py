"""Documentation: every name that it mentions exists."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(path for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")])
NAME = re.compile(r"\bslapkit(?:\.[A-Za-z_]\w*)+")
LINK = re.compile(r"\]\((?!https?:)([^)#]+)\)")


def resolve(name: str) -> object:
    """Import the longest module of a dotted name and look up the rest."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = getattr(found, part)
        return found
    raise ModuleNotFoundError(name)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_and_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for name in sorted(set(NAME.findall(text))):
        resolve(name)
    for link in LINK.findall(text):
        assert (page.parent / link).exists(), link


def test_a_name_that_is_gone_is_found():
    with pytest.raises(AttributeError):
        resolve("slapkit.models.losses.gone")
