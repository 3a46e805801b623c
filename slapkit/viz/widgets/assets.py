"""What the browser side of a widget is made of, and how text from data is prepared for it."""

from __future__ import annotations

import unicodedata
from functools import cache
from importlib.resources import files
from typing import Any

from slapkit.viz import theme

LONGEST = 400  # characters of one text that a widget shows


@cache
def esm(*names: str) -> str:
    """Return one JavaScript module: the helpers that all widgets share, then the files `names` in order."""
    return "\n".join(_read(name) for name in ("common.js", *names))


@cache
def css(*names: str) -> str:
    """Return one style sheet: the project's colours as variables, the shared rules, then the files `names`.

    Inside JupyterLab the page's own `--jp-*` variables win; elsewhere the reader's light or dark setting decides.
    """
    light = _variables({**theme.LIGHT, **theme.OBJECTIVE})
    dark = _variables({**theme.DARK, **theme.DARK_OBJECTIVE})
    return "\n".join(
        [
            f".slap {{ color-scheme: light; --slap-font: {theme.FONT}; {light} }}",
            f'@media (prefers-color-scheme: dark) {{ :root:not(:has([data-jp-theme-light="true"])) .slap '
            f"{{ color-scheme: dark; {dark} }} }}",
            f'[data-jp-theme-light="false"] .slap {{ color-scheme: dark; {dark} }}',
            *(_read(name) for name in ("common.css", *names)),
        ]
    )


def shown(value: Any, limit: int = LONGEST) -> str:
    """Return a value from data as text to show: no control characters or broken surrogates, cut at `limit` characters.

    Markup stays as it is: the browser side sets it as text.
    """
    text = "".join(" " if c.isspace() else c for c in str(value) if c.isspace() or _visible(c))
    text = " ".join(text.split())
    return text if len(text) <= limit else f"{text[: limit - 1].rstrip()}…"


def _visible(character: str) -> bool:
    return unicodedata.category(character) not in ("Cc", "Cs")


def _variables(colors: dict[str, str]) -> str:
    meanings = {"audio": theme.AUDIO, "text-modality": theme.TEXT, "neutral": theme.NEUTRAL, "warning": theme.WARNING}
    named = {**colors, **meanings}
    return " ".join(f"--slap-{key}: {value};" for key, value in named.items())


def _read(name: str) -> str:
    return (files("slapkit.viz.widgets") / name).read_text(encoding="utf-8")
