"""The figures of the claims: lines with their intervals, and all differences in one forest.

Charts and rows come from `slapkit.runs.claims.charts`; what is drawn here in plotly, a report draws as small pictures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from slapkit.viz import theme
from slapkit.viz.figures.style import chance_line, finish
from slapkit.viz.text import label

if TYPE_CHECKING:
    import plotly.graph_objects as go

MARK = {"holds": "circle", "does not hold": "x", "cannot be told": "circle-open"}


def claim_chart(found: Any) -> go.Figure:
    """Draw one chart: its lines with 95 % intervals, and a red cross where all runs collapsed."""
    import plotly.graph_objects as go

    figure, top = go.Figure(), 0.0
    for line in found.lines:
        color = theme.OBJECTIVE.get(line.objective, theme.NEUTRAL)
        values = [interval.value for _, interval in line.points]
        top = max([top, *values, *(i.high for _, i in line.points if math.isfinite(i.high))])
        figure.add_scatter(
            x=[x for x, _ in line.points],
            y=values,
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [_length(i.high - i.value) for _, i in line.points],
                "arrayminus": [_length(i.value - i.low) for _, i in line.points],
                "thickness": 1.5,
                "width": 5,
            },
            mode="lines+markers" if found.joined else "markers",
            marker={"size": 9, "color": color, "symbol": "circle" if line.dash == "solid" else "diamond"},
            line={"color": color, "dash": line.dash},
            name=label(line.name),
            showlegend=found.joined and len(found.lines) > 1,
            hovertemplate="%{x}: %{y:.3g}",
        )
        if line.lost:
            figure.add_scatter(
                x=line.lost,
                y=[0.0] * len(line.lost),
                mode="markers",
                marker={"size": 12, "symbol": "x", "color": theme.WARNING},
                name="collapsed",
                showlegend=True,
                cliponaxis=False,
                hovertemplate="%{x}: every run collapsed",
            )
    figure.update_xaxes(
        title_text=found.x, tickvals=found.ticks, ticktext=found.names, type="log" if found.log_x else "linear"
    )
    if not found.joined:
        figure.update_xaxes(range=[-0.5, len(found.ticks) - 0.5])
    figure.update_yaxes(title_text=found.y, range=[0, 1.12 * top] if top else None)
    if found.chance is not None:
        chance_line(figure, found.chance)
    return finish(figure, found.title)


def claim_forest(rows: Sequence[Any]) -> go.Figure:
    """Draw all differences in points of percent, the first on top: right of zero is where the paper says they lie."""
    import plotly.graph_objects as go

    figure = go.Figure()
    places = list(range(len(rows), 0, -1))
    for verdict in theme.VERDICT:
        chosen = [(place, row) for place, row in zip(places, rows) if row.verdict == verdict]
        figure.add_scatter(
            x=[row.interval.value for _, row in chosen],
            y=[place for place, _ in chosen],
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [row.interval.high - row.interval.value for _, row in chosen],
                "arrayminus": [row.interval.value - row.interval.low for _, row in chosen],
                "thickness": 1.5,
                "width": 4,
            },
            mode="markers",
            marker={"size": 9, "color": theme.VERDICT[verdict], "symbol": MARK[verdict]},
            name=verdict,
            hovertemplate="%{x:.1f} points",
        )
    figure.add_vline(x=0, line={"color": theme.NEUTRAL, "width": 1})
    figure.update_yaxes(
        tickvals=places, ticktext=[label(row.what) for row in rows], range=[0.4, len(rows) + 0.6], showgrid=False
    )
    figure.update_xaxes(title_text="difference (points of percent), 95 % interval", automargin=True)
    held = sum(row.verdict == "holds" for row in rows)
    figure = finish(figure, f"{held} of {len(rows)} differences lie where the paper says", height=170 + 30 * len(rows))
    figure.update_yaxes(automargin=True)
    figure.layout.meta = {"wide": True}
    return figure


def _length(value: float) -> float | None:
    """Return the length of an error bar, None where there is no interval: JSON has no NaN."""
    return float(value) if math.isfinite(value) else None
