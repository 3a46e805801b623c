"""Documentation: every name that it mentions exists, and every link leads somewhere."""

import pkgutil
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(path for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")])
NAME = re.compile(r"\bslapkit(?:\.[A-Za-z_]\w*)+")
LINK = re.compile(r"\]\((?!https?:)([^)#]+)\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_and_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for name in sorted(set(NAME.findall(text))):
        pkgutil.resolve_name(name)
    for link in LINK.findall(text):
        assert (page.parent / link).exists(), link
