"""Maps that ask one more thing: which captions are furthest from their clips, and where a new sentence stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from slapkit.viz import theme
from slapkit.viz.figures.cards import label
from slapkit.viz.figures.maps import Panel, joint_map, on_map, worst_rows
from slapkit.viz.figures.style import joined

if TYPE_CHECKING:
    import plotly.graph_objects as go


def worst_pairs(panels: Sequence[Panel], *, worst: int = 20, height: int = 700) -> go.Figure:
    """Where is each model most wrong? Lines from the captions of the worst ranks to their clips, which alone have
    cards."""
    said = []
    for panel in panels:
        ranks = panel.points["rank"].to_numpy()[worst_rows(panel, worst)]
        said.append(f"{label(panel.name)} {100 * np.median(ranks) / max(1, panel.candidates):.0f} %")
    title = f"Median rank of the clip for the {worst} worst captions: {joined(said)} of the candidates"
    figure = joint_map(panels, worst=worst, height=height, title=title, card_lines=0)
    figure.for_each_trace(lambda trace: trace.update(marker_opacity=0.22), _is_points)
    for number, panel in enumerate(panels):
        rows = worst_rows(panel, worst)
        clips = panel.points["clip"].to_numpy()[rows]
        for role, chosen in (("audio", clips), ("text", rows)):
            size = 5 if panel.dimensions == 3 else 10
            marker = {"symbol": theme.SYMBOL[role], "size": size, "color": theme.MODALITY[role]}
            cards = panel.points["card"].to_numpy()[chosen].tolist()
            trace = on_map(panel.coordinates[chosen], mode="markers", marker=marker, hovertext=cards, hoverinfo="text")
            figure.add_trace(trace.update(legendgroup=role, showlegend=False), row=1, col=number + 1)
    return figure


def _is_points(trace: go.Scatter) -> bool:
    return (trace.meta or {}).get("role") in ("audio", "text")


def sentence_on_map(
    panels: Sequence[Panel], places: Sequence[np.ndarray], sentence: str, nearest: Sequence[str], *, height: int = 700
) -> go.Figure:
    """Where would a sentence stand? A star on each map, at `places` (coordinates `[2 or 3]`, one a panel).

    `nearest` names the clip that each model holds for the nearest in its own space.
    """
    said = [f"{label(title)} for {label(panel.name)}" for panel, title in zip(panels, nearest)]
    quoted = f"“{label(sentence, 60)}”"
    figure = joint_map(panels, height=height, title=f"The clip nearest to {quoted} is {joined(said)}", card_lines=0)
    for number, (panel, place) in enumerate(zip(panels, places)):
        symbol, size = ("star", 24) if panel.dimensions == 2 else ("cross", 8)
        marker = {
            "symbol": symbol,
            "size": size,
            "color": theme.CATEGORIES[2],
            "line": {"color": "#FFFFFF", "width": 2},
        }
        place = np.reshape(np.asarray(place, dtype=np.float32), (1, -1))
        trace = on_map(place, mode="markers", marker=marker, name="the sentence", hovertext=[quoted], hoverinfo="text")
        figure.add_trace(trace.update(showlegend=number == 0, legendgroup="mark"), row=1, col=number + 1)
    return figure
