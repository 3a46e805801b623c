"""What all figures share: a title that is the answer, the house style, the line where chance stands."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from slapkit.models import OBJECTIVE_NAMES
from slapkit.viz import theme

if TYPE_CHECKING:
    import plotly.graph_objects as go

DIRECTIONS = {"text_to_audio": "text to audio", "audio_to_text": "audio to text"}


def wrapped(title: str, width: int = 62) -> str:
    """Return a title broken into lines that fit a figure."""
    # A number stays on one line with its percent sign, and with its interval.
    whole = title.replace(" %", "\u00a0%").replace(" ± ", "\u00a0±\u00a0")
    return "<br>".join(textwrap.wrap(whole, width))


def finish(figure: go.Figure, title: str, *, height: int = 380) -> go.Figure:
    """Give a figure its title and the house style."""
    theme.register()
    text = wrapped(title)
    # Room for the lines of the title and, below them, the legend.
    top = 74 + 22 * (text.count("<br>") + 1)
    return figure.update_layout(template="slapkit", title_text=text, height=height, margin_t=top, margin_b=62)


def name_of(objective: str) -> str:
    """Return how an objective is written."""
    return OBJECTIVE_NAMES.get(objective, objective)


def joined(parts: Sequence[str]) -> str:
    """Return parts as "a, b and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def chance_line(figure: go.Figure, percent: float) -> go.Figure:
    """Draw where a model that knows nothing stands."""
    return figure.add_hline(
        y=percent,
        line={"color": theme.NEUTRAL, "dash": "dot", "width": 1},
        annotation_text=f"chance {percent:.1f} %",
        annotation_position="top right",
        annotation_font_color=theme.NEUTRAL,
    )
