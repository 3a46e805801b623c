"""What stands around the points of a map: square panels without ticks, the models' names, one legend for all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from slapkit.viz import theme
from slapkit.viz.figures.cards import BREAK, label
from slapkit.viz.figures.style import finish, wrapped

if TYPE_CHECKING:
    import plotly.graph_objects as go

ENTRIES = len(theme.CATEGORIES) + 1  # of the legend beside the modalities: the nine largest groups and the rest
_MARGIN = 0.06  # of a panel's width, left free around its points
_HEAD = 26  # px above the panels, for their names
_ROW = 24  # px of a row of the legend
_ENTRY_PX, _LETTER_PX, _NARROW_PX = 48, 7, 800  # an entry, one of its letters, the page they are counted on
_WIDE = 84  # characters of a line of the title
_EDGE = 14  # px around the figure, as far in as its title


def wide_finish(figure: go.Figure, title: str, *, height: int) -> go.Figure:
    """Give a figure that is as wide as the page its title, in longer lines, and the house style."""
    finish(figure, title, height=height)
    before = figure.layout.title.text.count(BREAK)
    text = wrapped(title, _WIDE)
    # Room for fewer lines than `finish` counted.
    top = figure.layout.margin.t - 22 * (before - text.count(BREAK))
    return figure.update_layout(title_text=text, margin_t=top, meta={"wide": True})


def square(coordinates: np.ndarray) -> list[list[float]]:
    """Return the ranges of the axes of `coordinates [N, d]`: all of one length, the points in their middle."""
    low, high = np.nanmin(coordinates, axis=0), np.nanmax(coordinates, axis=0)
    half = float((high - low).max()) * (0.5 + _MARGIN) or 1.0
    return [[float(middle - half), float(middle + half)] for middle in (low + high) / 2]


def frame(figure: go.Figure, panels: Sequence[Any], colors: Any, words: Sequence[str]) -> go.Figure:
    """Give the panels square axes without ticks and their names; `words` says what stands beside each name."""
    for number, panel in enumerate(panels):
        ranges = square(panel.coordinates)
        if panel.dimensions == 3:
            _scene(figure, number, ranges)
        else:
            _axes(figure, number, ranges)
        domain = _domain(figure, number, panel.dimensions)
        figure.add_annotation(
            text=f"<b>{label(panel.name)}</b>  {words[number]}",
            x=domain[0],
            y=1.0,
            xref="paper",
            yref="paper",
            xanchor="left",
            yanchor="bottom",
            yshift=4,
            showarrow=False,
            align="left",
            font={"size": 14, "color": theme.OBJECTIVE.get(panel.objective, theme.NEUTRAL)},
        )
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
    figure.update_layout(
        margin={"l": _EDGE, "r": _EDGE, "b": _EDGE, "t": top}, height=height, legend_y=1 + _HEAD / plot
    )


def _domain(figure: go.Figure, number: int, dimensions: int) -> tuple[float, float]:
    suffix = "" if number == 0 else str(number + 1)
    layout = figure.layout
    return tuple(layout[f"scene{suffix}"].domain.x if dimensions == 3 else layout[f"xaxis{suffix}"].domain)


def _axes(figure: go.Figure, number: int, ranges: list[list[float]]) -> None:
    """Square axes: one unit is as long in both directions, and the frame keeps the shape of the data."""
    suffix = "" if number == 0 else str(number + 1)
    bare = {
        "showticklabels": False,
        "ticks": "",
        "showgrid": False,
        "zeroline": False,
        "automargin": False,
        "showline": True,
        "mirror": True,
        "title": {"text": ""},
    }
    figure.layout[f"xaxis{suffix}"].update(range=ranges[0], constrain="domain", constraintoward="left", **bare)
    figure.layout[f"yaxis{suffix}"].update(
        range=ranges[1], scaleanchor=f"x{suffix}", scaleratio=1, constrain="domain", constraintoward="top", **bare
    )


def _scene(figure: go.Figure, number: int, ranges: list[list[float]]) -> None:
    suffix = "" if number == 0 else str(number + 1)
    bare = {
        "showticklabels": False,
        "ticks": "",
        "showgrid": True,
        "gridcolor": "#B4B4B4",
        "showline": True,
        "linecolor": "#B4B4B4",
        "zeroline": False,
        "showbackground": False,
        "showspikes": False,
        "title": {"text": ""},
    }
    axes = {f"{axis}axis": {"range": limits, **bare} for axis, limits in zip("xyz", ranges)}
    camera = {"eye": {"x": 1.25, "y": 1.25, "z": 0.9}}
    figure.layout[f"scene{suffix}"].update(aspectmode="cube", camera=camera, dragmode="orbit", **axes)


def legend_traces(colors: Any, dimensions: int) -> list[go.Scatter]:
    """Return a fixed number of entries, whatever is coloured: two for the modalities, then those of the groups."""
    import plotly.graph_objects as go

    kind, nothing = (go.Scatter3d, {"z": [None]}) if dimensions == 3 else (go.Scatter, {})
    return [kind(x=[None], y=[None], mode="markers", **nothing, **entry) for entry in legend_entries(colors)]


def legend_entries(colors: Any) -> list[dict[str, Any]]:
    """Return what the entries of the legend show: the shapes of the modalities, the colours of the groups."""
    by_modality = colors.column == "modality"
    entries = [
        {
            "name": words,
            "legendgroup": what,
            "showlegend": True,
            "hoverinfo": "skip",
            "meta": {"role": "legend"},
            "marker": {
                "symbol": theme.SYMBOL[what],
                "size": 9,
                "color": theme.MODALITY[what] if by_modality else theme.NEUTRAL,
            },
        }
        for what, words in (("audio", "clips (audio)"), ("text", "captions (text)"))
    ]
    groups = [] if by_modality else list(zip(colors.names, colors.colors))
    for number in range(ENTRIES):
        name, color = groups[number] if number < len(groups) else ("", theme.OTHER)
        entries.append(
            {
                "name": label(name, 28),
                "legendgroup": f"group {number}",
                "showlegend": number < len(groups),
                "hoverinfo": "skip",
                "meta": {"role": "legend"},
                "marker": {"symbol": "square", "size": 9, "color": color},
            }
        )
    return entries
