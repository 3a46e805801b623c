"""What searches find, as one HTML file without Python or network: a list for each model, and every result plays."""

import base64
import contextlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from slapkit._io import atomic_write_text
from slapkit.errors import AudioError, LibraryError
from slapkit.search import Library
from slapkit.search.listen import excerpt
from slapkit.viz import theme
from slapkit.viz.maps.export import EXCERPT_FORM
from slapkit.viz.text import facts, json_for_script, plain


def save_searches(
    libraries: Mapping[str, Library], queries: Sequence[str], path: str | Path, *, k: int = 3, seconds: float = 8.0
) -> Path:
    """Write what `queries` find in `libraries` by name as one HTML file, and return its path.

    Each of the first `k` results plays `seconds` of its best window; a file that cannot be decoded stands without.
    Raises as `Library.search`.
    """
    import jinja2

    sounds: dict[str, str] = {}
    asked = []
    for query in queries:
        columns = []
        for name, library in libraries.items():
            rows = library.search(query, k=k).to_dict("records")
            results = [_result(library, row, seconds, sounds) for row in rows]
            columns.append({"name": plain(name, 40), "objective": name.lower(), "results": results})
        asked.append({"query": plain(query, 200), "columns": columns})
    template = (files("slapkit.viz") / "searches.html").read_text(encoding="utf-8")
    page = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(template)
    return atomic_write_text(path, page.render(asked=asked, css=theme.css_variables(), sounds=json_for_script(sounds)))


def _result(library: Library, row: Mapping[str, Any], seconds: float, sounds: dict[str, str]) -> dict[str, str]:
    """Return what is shown of a result, and keep its sound under the key that it names, "" where there is none."""
    key = f"{row['id']} {row['window_start_s']:.1f}"
    with contextlib.suppress(AudioError, LibraryError):
        if key not in sounds:
            data = excerpt(library.path(row["id"]), start_s=row["window_start_s"], seconds=seconds, **EXCERPT_FORM)
            sounds[key] = base64.b64encode(data).decode()
    shown = {"title": plain(row["title"], 120), "facts": plain(" · ".join(facts(row)), 200)}
    return shown | {"sound": key if key in sounds else ""}
