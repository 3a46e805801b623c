"""Pictures of the claims (SVG, by matplotlib): lines with intervals, and all differences in one forest."""

import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from slapkit.metrics.intervals import Interval
from slapkit.viz import theme
from slapkit.viz.figures.style import to_svg

_STYLE = {"solid": "-", "dash": "--", "dot": ":"}
_MARK = {"holds": "o", "does not hold": "x", "cannot be told": "D"}


@dataclass(frozen=True)
class Line:
    """One line of a chart: (x, interval) points, the x at which all runs collapsed, `dash` "solid", "dash" or "dot"."""

    name: str
    objective: str
    dash: str
    points: list[tuple[float, Interval]]
    lost: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Chart:
    """One figure: `x` and `y` name its axes, `ticks` are the x that carry `names`.

    `log_x`: x is logarithmic; `joined`: the points of a line are joined; `chance`: y of a model that knows nothing.
    """

    key: str
    title: str
    x: str
    y: str
    lines: list[Line]
    ticks: list[float]
    names: list[str]
    log_x: bool = False
    joined: bool = True
    chance: float | None = None


@dataclass(frozen=True)
class Row:
    """One piece of evidence in a forest, in points of percent."""

    what: str
    interval: Interval
    verdict: str


def claim_chart(chart: Chart) -> bytes:
    """Return a chart as SVG: its lines with 95 % intervals, and a red cross where all runs collapsed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.4), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    for line in chart.lines:
        x, intervals = [x for x, _ in line.points], [interval for _, interval in line.points]
        style = {"color": theme.objective_color(line.objective), "marker": "o" if line.dash == "solid" else "D"}
        style |= {"linestyle": _STYLE[line.dash] if chart.joined else "none", "markersize": 5, "capsize": 3}
        axes.errorbar(x, [i.value for i in intervals], yerr=_bars(intervals), label=line.name, **style)
        if line.lost:
            cross = {"color": theme.WARNING, "markersize": 8, "clip_on": False}
            axes.plot(line.lost, [0] * len(line.lost), "x", label="collapsed", **cross)
    if chart.log_x:
        axes.set_xscale("log")
        axes.minorticks_off()
    axes.set_xticks(chart.ticks, chart.names)
    if not chart.joined:
        axes.set_xlim(-0.5, len(chart.ticks) - 0.5)
    if chart.chance is not None:
        axes.axhline(chart.chance, color=theme.NEUTRAL, linestyle=":", linewidth=1)
        place = {"xy": (1, chart.chance), "xycoords": ("axes fraction", "data"), "ha": "right", "va": "bottom"}
        axes.annotate("chance", fontsize=8, **place)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(chart.x)
    axes.set_ylabel(chart.y)
    axes.set_title("\n".join(textwrap.wrap(chart.title, 68)), loc="left", fontsize=9)
    if chart.joined and (len(chart.lines) > 1 or any(line.lost for line in chart.lines)):
        axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return to_svg(figure)


def claim_forest(rows: Sequence[Row]) -> bytes:
    """Return all differences as one SVG, the first on top: right of zero is where the paper says they lie."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.2, 1.1 + 0.3 * max(len(rows), 1)), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    places = range(len(rows), 0, -1)
    for place, row in zip(places, rows):
        style = {"color": theme.VERDICT[row.verdict], "marker": _MARK[row.verdict], "markersize": 5, "capsize": 3}
        axes.errorbar([row.interval.value], [place], xerr=_bars([row.interval]), **style)
    for verdict in dict.fromkeys(row.verdict for row in rows):
        axes.plot([], [], _MARK[verdict], color=theme.VERDICT[verdict], markersize=5, label=verdict)
    figure.legend(loc="outside upper right", ncols=3, frameon=False, fontsize=8)
    axes.axvline(0, color=theme.NEUTRAL, linewidth=1)
    axes.set_yticks(places, [row.what for row in rows], fontsize=8)
    axes.set_xlabel("difference (points of percent), 95 % interval", fontsize=9)
    held = sum(row.verdict == "holds" for row in rows)
    axes.set_title(f"{held} of {len(rows)} differences lie where the paper says", loc="left", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    return to_svg(figure)


def _bars(intervals: Iterable[Interval]) -> list[list[float]]:
    """Return the lengths of error bars below and above; 0 where there is no interval."""
    lengths = [(i.value - i.low, i.high - i.value) for i in intervals]
    return [[max(pair[end], 0.0) if math.isfinite(pair[end]) else 0.0 for pair in lengths] for end in (0, 1)]
