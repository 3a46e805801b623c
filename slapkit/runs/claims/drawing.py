"""Charts as small pictures (SVG) for a page of text: legible on a light and on a dark page, text kept as text."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from slapkit.viz import theme
from slapkit.viz.figures.style import to_svg

if TYPE_CHECKING:
    from slapkit.runs.claims.charts import Chart, Row

STYLE = {"solid": "-", "dash": "--", "dot": ":"}
MARK = {"holds": "o", "does not hold": "x", "cannot be told": "D"}
DPI = 100


def chart_svg(chart: Chart) -> bytes:
    """Return one chart as SVG, 520 pixels wide."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.4), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    for line in chart.lines:
        color = theme.OBJECTIVE.get(line.objective, theme.NEUTRAL)
        x = [x for x, _ in line.points]
        y = [interval.value for _, interval in line.points]
        below = [_finite(i.value - i.low) for _, i in line.points]
        above = [_finite(i.high - i.value) for _, i in line.points]
        style = STYLE[line.dash] if chart.joined else "none"
        mark = "o" if line.dash == "solid" else "D"
        axes.errorbar(
            x,
            y,
            yerr=[below, above],
            color=color,
            linestyle=style,
            marker=mark,
            markersize=5,
            capsize=3,
            label=line.name,
        )
        if line.lost:
            axes.plot(
                line.lost,
                [0] * len(line.lost),
                "x",
                color=theme.WARNING,
                markersize=8,
                label="collapsed",
                clip_on=False,
            )
    if chart.log_x:
        axes.set_xscale("log")
        axes.minorticks_off()
    axes.set_xticks(chart.ticks, chart.names)
    if not chart.joined:
        axes.set_xlim(-0.5, len(chart.ticks) - 0.5)
    if chart.chance is not None:
        axes.axhline(chart.chance, color=theme.NEUTRAL, linestyle=":", linewidth=1)
        axes.annotate(
            "chance", (1, chart.chance), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8
        )
    axes.set_ylim(bottom=0)
    axes.set_xlabel(chart.x)
    axes.set_ylabel(chart.y)
    axes.set_title("\n".join(textwrap.wrap(chart.title, 68)), loc="left", fontsize=9)
    if chart.joined and (len(chart.lines) > 1 or any(line.lost for line in chart.lines)):
        axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return to_svg(figure)


def forest_svg(rows: Sequence[Row]) -> bytes:
    """Return the differences of all claims as one SVG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.2, 1.1 + 0.3 * max(len(rows), 1)), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    for place, row in zip(range(len(rows), 0, -1), rows):
        i = row.interval
        error = [[_finite(i.value - i.low)], [_finite(i.high - i.value)]]
        axes.errorbar(
            [i.value],
            [place],
            xerr=error,
            color=theme.VERDICT[row.verdict],
            marker=MARK[row.verdict],
            markersize=5,
            capsize=3,
        )
    for verdict in dict.fromkeys(row.verdict for row in rows):
        axes.plot([], [], MARK[verdict], color=theme.VERDICT[verdict], markersize=5, label=verdict)
    figure.legend(loc="outside upper right", ncols=3, frameon=False, fontsize=8)
    axes.axvline(0, color=theme.NEUTRAL, linewidth=1)
    axes.set_yticks(range(len(rows), 0, -1), [row.what for row in rows], fontsize=8)
    axes.set_xlabel("difference (points of percent), 95 % interval", fontsize=9)
    held = sum(row.verdict == "holds" for row in rows)
    axes.set_title(f"{held} of {len(rows)} differences lie where the paper says", loc="left", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    return to_svg(figure)


def _finite(value: float) -> float:
    return max(value, 0.0) if math.isfinite(value) else 0.0
