"""The layout of a map: square panels without ticks, the models' names, one legend for all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from slapkit.viz import theme
from slapkit.viz.text import label

if TYPE_CHECKING:
    import plotly.graph_objects as go

ENTRIES = len(theme.CATEGORIES) + 1  # of the legend beside the modalities: the nine largest groups and the rest
_MARGIN = 0.06  # of a panel's width, left free around its points
_HEAD = 26  # px above the panels, for their names
_ROW = 24  # px of a row of the legend
_ENTRY_PX, _LETTER_PX, _NARROW_PX = 48, 7, 800  # an entry, one of its letters, the page they are counted on
_EDGE = 14  # px around the figure: as far in as its title
_BARE = {"showticklabels": False, "ticks": "", "zeroline": False, "showline": True, "title": {"text": ""}}
_FLAT = _BARE | {"showgrid": False, "automargin": False, "mirror": True}
_GRID = "#B4B4B4"  # seen on light and on dark pages
_SOLID = _BARE | {"gridcolor": _GRID, "linecolor": _GRID, "showbackground": False, "showspikes": False}


def square(coordinates: np.ndarray) -> list[list[float]]:
    """Return the ranges of the axes of `coordinates [N, d]`: all of one length, the points in their middle."""
    low, high = np.nanmin(coordinates, axis=0), np.nanmax(coordinates, axis=0)
    half = float((high - low).max()) * (0.5 + _MARGIN) or 1.0
    return [[float(middle - half), float(middle + half)] for middle in (low + high) / 2]


def frame(figure: go.Figure, panels: Sequence[Any], colors: Any, words: Sequence[str]) -> go.Figure:
    """Give the panels square axes without ticks, and their names followed by `words`."""
    for number, panel in enumerate(panels):
        suffix, ranges = str(number + 1) if number else "", square(panel.coordinates)
        if panel.dimensions == 3:
            axes = {f"{axis}axis": {"range": limits, **_SOLID} for axis, limits in zip("xyz", ranges)}
            scene = figure.layout[f"scene{suffix}"]
            scene.update(aspectmode="cube", camera={"eye": {"x": 1.25, "y": 1.25, "z": 0.9}}, dragmode="orbit", **axes)
            left = scene.domain.x[0]
        else:
            # One unit is as long in both directions.
            tied = {"scaleanchor": f"x{suffix}", "scaleratio": 1}
            x, y = figure.layout[f"xaxis{suffix}"], figure.layout[f"yaxis{suffix}"]
            x.update(range=ranges[0], constrain="domain", constraintoward="left", **_FLAT)
            y.update(range=ranges[1], constrain="domain", constraintoward="top", **tied, **_FLAT)
            left = x.domain[0]
        place = {"x": left, "y": 1.0, "xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "bottom"}
        look = {"yshift": 4, "showarrow": False, "align": "left"}
        look["font"] = {"size": 14, "color": theme.objective_color(panel.objective)}
        figure.add_annotation(text=f"<b>{label(panel.name)}</b>  {words[number]}", **place, **look)
    figure.update_layout(
        meta={"wide": True, "top": figure.layout.margin.t + _HEAD - 4, "height": figure.layout.height},
        legend={"itemsizing": "constant", "itemwidth": 30, "font": {"size": 13}},
        hovermode="closest",
        hoverdistance=12,
        dragmode="pan" if panels[0].dimensions == 2 else "orbit",
        uirevision="map",
        hoverlabel=scheme(False)["hoverlabel"],
    )
    make_room(figure, colors)
    return figure


def scheme(dark: bool) -> dict[str, Any]:
    """Return the part of a map's layout that is not the same on light and on dark pages."""
    colors = theme.DARK if dark else theme.LIGHT
    card = {"bgcolor": colors["paper"], "bordercolor": colors["line"], "font": {"color": colors["text"]}}
    return {"template": theme.template("slapkit dark" if dark else "slapkit"), "hoverlabel": card}


def make_room(figure: go.Figure, colors: Any) -> None:
    """Give the legend as many rows as its entries take on a narrow page: the figure grows, its panels do not."""
    names = [entry["name"] for entry in legend_entries(colors) if entry["showlegend"]]
    rows = -(-sum(_ENTRY_PX + _LETTER_PX * len(name) for name in names) // _NARROW_PX)
    more = _ROW * (rows - 1)
    top, height = figure.layout.meta["top"] + more, figure.layout.meta["height"] + more
    plot = height - top - _EDGE
    margin = {"l": _EDGE, "r": _EDGE, "b": _EDGE, "t": top}
    figure.update_layout(margin=margin, height=height, legend_y=1 + _HEAD / plot)


def add_legend(figure: go.Figure, colors: Any, dimensions: int) -> None:
    """Add a fixed number of entries to the legend, whatever the colouring, so that it can be changed."""
    add, axes = (figure.add_scatter3d, "xyz") if dimensions == 3 else (figure.add_scatter, "xy")
    fixed = {"mode": "markers", "hoverinfo": "skip", "meta": {"role": "legend"}, **{axis: [None] for axis in axes}}
    for entry in legend_entries(colors):
        add(row=1, col=1, **fixed, **entry)


def legend_entries(colors: Any) -> list[dict[str, Any]]:
    """Return the entries of the legend: the shapes of the modalities, then the colours of the groups."""
    by_modality = colors.column == "modality"
    entries = []
    for what, words in (("audio", "clips (audio)"), ("text", "captions (text)")):
        color = theme.MODALITY[what] if by_modality else theme.NEUTRAL
        marker = {"symbol": theme.SYMBOL[what], "size": 9, "color": color}
        entries.append({"name": words, "legendgroup": what, "showlegend": True, "marker": marker})
    groups = [] if by_modality else list(zip(colors.names, colors.colors))
    for number in range(ENTRIES):
        shown = number < len(groups)
        name, color = groups[number] if shown else ("", theme.OTHER)
        look = {"showlegend": shown, "marker": {"symbol": "square", "size": 9, "color": color}}
        entries.append({"name": label(name, 28), "legendgroup": f"group {number}"} | look)
    return entries
