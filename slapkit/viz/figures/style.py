"""Shared by all figures: the title, the house style, bars and lines of an objective, chance."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from slapkit.models import OBJECTIVE_NAMES
from slapkit.viz import theme

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from matplotlib.figure import Figure

PERCENT = {"range": [0, 112], "tickvals": [0, 25, 50, 75, 100]}  # of an axis; room for the numbers above full bars


def finish(
    figure: go.Figure, title: str, *, height: int = 380, wide: bool = False, column_titles: bool = False
) -> go.Figure:
    """Give a figure its title and the house style; a `wide` one has longer lines, `column_titles` need room."""
    theme.register()
    # A number stays on one line with its percent sign and its interval.
    whole = title.replace(" %", "\u00a0%").replace(" ± ", "\u00a0±\u00a0")
    rows = textwrap.wrap(whole, 84 if wide else 62)
    extra = 24 if column_titles else 0
    margins = {"t": 74 + 22 * len(rows) + extra, "b": 62}
    figure.update_layout(template="slapkit", title_text="<br>".join(rows), height=height, margin=margins)
    if wide:
        figure.update_layout(meta={"wide": True})
    if column_titles:
        figure.update_layout(legend_y=1 + 26 / (height - margins["t"] - margins["b"]))
    return figure


def name_of(objective: str) -> str:
    """Return how an objective is written."""
    return OBJECTIVE_NAMES.get(objective, objective)


def joined(parts: Sequence[str]) -> str:
    """Return parts as "a, b and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def grid(**panels: Any) -> go.Figure:
    """Return an empty figure; `panels` are those of plotly's `make_subplots`."""
    from plotly import graph_objects, subplots

    return subplots.make_subplots(**panels) if panels else graph_objects.Figure()


def add_bar(
    figure: go.Figure, objective: str, x: Sequence, y: Sequence[float], *, numbers: str = ".1f", **options: Any
) -> None:
    """Add the bars of one objective in its colour and hatching; `numbers` formats those above the bars."""
    marker = {"color": theme.objective_color(objective), "pattern_shape": theme.HATCH.get(objective, "/")}
    above = {"text": [format(value, numbers) for value in y] if numbers else None, "textposition": "outside"}
    named = {"name": name_of(objective), "hovertemplate": "%{x}: %{y:.1f} %", "cliponaxis": False}
    figure.add_bar(**{"x": x, "y": y, "marker": marker} | above | named | options)


def add_chance(figure: go.Figure, x: Sequence, percent: Sequence[float], *, size: int = 46) -> None:
    """Add a mark across each bar where chance is."""
    marker = {"symbol": "line-ew", "size": size, "line": {"width": 2, "color": theme.NEUTRAL}}
    hover = "chance %{x}: %{y:.1f} %<extra></extra>"
    figure.add_scatter(x=x, y=percent, mode="markers", name="chance", marker=marker, hovertemplate=hover)


def mark_line(figure: go.Figure, y: float, words: str = "", color: str = theme.NEUTRAL, **place: Any) -> None:
    """Draw a dotted horizontal line with words above its right end; `place` is a panel's `row` and `col`."""
    look = {"annotation_position": "top right", "annotation_font_color": color}
    note = {"annotation_text": words} | look if words else {}
    figure.add_hline(y=y, line={"color": color, "dash": "dot", "width": 1}, **note, **place)


def figure_bundle(figure: go.Figure, plotly_js: str | None) -> dict[str, Any]:
    """Return a figure as plotly's own type for JupyterLab, and as HTML that loads `plotly_js`, if any, for pages."""
    config = {"displaylogo": False, "displayModeBar": "hover"}
    page = figure.to_html(full_html=False, include_plotlyjs=plotly_js or False, config=config)
    return {"application/vnd.plotly.v1+json": figure.to_plotly_json() | {"config": {}}, "text/html": page}


def to_svg(figure: Figure) -> bytes:
    """Return a matplotlib figure as SVG with real text; the same figure gives the same bytes."""
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "slapkit"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, facecolor="white")
    return buffer.getvalue()
