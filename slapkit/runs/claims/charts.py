"""The figures of the claims as data: lines with intervals, to be drawn in a notebook or in a report alike.

A chart's title is its answer, computed from what it shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from slapkit.metrics.intervals import Interval
from slapkit.runs.claims.estimate import estimate
from slapkit.runs.claims.finding import Finding
from slapkit.runs.claims.plan import NAMES
from slapkit.runs.claims.results import Results


@dataclass(frozen=True)
class Line:
    """One line of a chart: `objective` gives its colour, `dash` tells it from others of that colour.

    `points` are (x, interval); `lost` are the x at which all runs collapsed.
    """

    name: str
    objective: str
    dash: str
    points: list[tuple[float, Interval]]
    lost: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Chart:
    """One figure: `x` and `y` name its axes, `ticks` are the x that carry `names`.

    `log_x`: x is drawn by its logarithm; `joined`: points of a line are joined; `chance`: y of a model that knows
    nothing.
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


def charts(results: Results) -> dict[str, Chart]:
    """Return all charts by key."""
    found = [
        _models(results, "retrieval", "q.text_to_audio.R@10", "R@10, text to audio (%)", 100, _recall_words),
        _models(results, "gap", "q.distance", "distance of the centroids", 1, _gap_words),
        _models(results, "separability", "q.separability", "separability (%), chance 50", 100, _apart_words),
        _batch(results),
        *_sweeps(results),
        _memory(results),
    ]
    return {chart.key: chart for chart in found}


def _scaled(interval: Interval, scale: float) -> Interval:
    return Interval(*(scale * value for value in interval))


def _with_interval(interval: Interval, digits: int, unit: str = "") -> str:
    told = f"{interval.value:.{digits}f}"
    if math.isfinite(interval.low):
        told += f" ({interval.low:.{digits}f} to {interval.high:.{digits}f})"
    return told + unit


def _models(
    results: Results, key: str, name: str, y: str, scale: float, words: Callable[[dict[str, Interval]], str]
) -> Chart:
    lines, told = [], {}
    for place, label in enumerate(NAMES):
        runs = results.runs[results.number("models", label)]
        if runs:
            told[label] = _scaled(estimate(runs, name), scale)
            objective, dash = ("slap", "dot") if label == "byol" else (label, "solid")
            lines.append(Line(NAMES[label], objective, dash, [(float(place), told[label])]))
    chance = {"q.separability": 50.0}.get(name)
    if name.endswith("R@10") and lines:
        chance = 100 * min(1.0, 10 / int(results.of("models", next(iter(told)))[0][name].about["candidates"]))
    ticks = [float(i) for i in range(len(NAMES))]
    title = words(told) if told else "No run was measured"
    return Chart(key, title, "", y, lines, ticks, list(NAMES.values()), joined=False, chance=chance)


def _recall_words(told: dict[str, Interval]) -> str:
    parts = [f"{NAMES[label]} {_with_interval(value, 1, ' %')}" for label, value in told.items() if label != "byol"]
    return f"Text finds its clip among the first ten: {', '.join(parts)}"


def _gap_words(told: dict[str, Interval]) -> str:
    parts = [f"{NAMES[label]} {_with_interval(value, 3)}" for label, value in told.items() if label != "byol"]
    return f"The gap between audio and text: {', '.join(parts)}"


def _apart_words(told: dict[str, Interval]) -> str:
    parts = [f"{NAMES[label]} {value.value:.1f} %" for label, value in told.items() if label != "byol"]
    return f"A line tells audio from text in {', '.join(parts)} of the cases"


def _batch(results: Results) -> Chart:
    name, lines, told = "q.text_to_audio.R@1", [], []
    for label, words, objective, dash in (
        ("slap", "SLAP, accumulated", "slap", "solid"),
        ("clap", "CLAP, plain batch", "clap", "dash"),
        ("clap, cached", "CLAP, cached", "clap", "dot"),
    ):
        column = [(x, runs) for x, runs in results.column("batch", label) if runs]
        points = [(x, _scaled(estimate(runs, name), 100)) for x, runs in column]
        lines.append(Line(words, objective, dash, points))
        if len(points) > 1:
            told.append(f"{words.split(',')[0]} {points[0][1].value:.1f} to {points[-1][1].value:.1f} %")
    batches = [float(b) for b in results.size.batches]
    title = f"R@1 from the smallest batch to the largest: {', '.join(told)}"
    ticks = [f"{b:g}" for b in batches]
    return Chart("batch", title, "pairs a step", "R@1, text to audio (%)", lines, batches, ticks, log_x=True)


def _sweeps(results: Results) -> list[Chart]:
    """R@10 and the gap against lam, R@10 against tau."""
    found = []
    for study, key, name, y, scale in (
        ("lam", "lam", "q.text_to_audio.R@10", "R@10, text to audio (%)", 100),
        ("lam", "lam-gap", "q.distance", "distance of the centroids", 1),
        ("tau", "tau", "q.text_to_audio.R@10", "R@10, text to audio (%)", 100),
    ):
        column = results.column(study, "slap")
        points = [(x, _scaled(estimate(runs, name), scale)) for x, runs in column if runs]
        lost = results.lost(study, "slap")
        best = (min if scale == 1 else max)(points, key=lambda p: p[1].value) if points else None
        words = {"lam": "lam, weight of the inter-modal terms", "tau": "tau, decay of the target"}[study]
        what = "smallest gap" if scale == 1 else "best recall"
        told = _with_interval(best[1], 3 if scale == 1 else 1, "" if scale == 1 else " %") if best else ""
        title = f"The {what}, {told}, is at {study} {best[0]:g}" if best else "No run was measured"
        if lost:
            title += f"; collapsed at {', '.join(f'{x:g}' for x in lost)}"
        ticks = [x for x, _ in column]
        found.append(
            Chart(key, title, words, y, [Line("SLAP", "slap", "solid", points, lost)], ticks, [f"{x:g}" for x in ticks])
        )
    return found


def _memory(results: Results) -> Chart:
    lines, told = [], []
    for kind, words, dash in (
        ("accumulated", "SLAP, accumulated", "solid"),
        ("plain", "CLAP, plain batch", "dash"),
        ("cached", "CLAP, cached", "dot"),
    ):
        objective = "slap" if kind == "accumulated" else "clap"
        points = [
            (float(batch), Interval(sum(peaks) / len(peaks), min(peaks), max(peaks)))
            for batch in results.size.memory
            if (peaks := results.memory.get((objective, kind, batch)))
        ]
        lines.append(Line(words, objective, dash, points))
        if len(points) > 1:
            told.append(f"{words} {points[-1][1].value / points[0][1].value:.2f} times")
    batches = [float(b) for b in results.size.memory]
    title = f"Peak memory at batch {batches[-1]:g} over that at {batches[0]:g}: {', '.join(told)}"
    ticks = [f"{b:g}" for b in batches]
    return Chart("memory", title, "pairs a step", "peak memory (MiB)", lines, batches, ticks, log_x=True)


@dataclass(frozen=True)
class Row:
    """One piece of evidence as a forest shows it, in points of percent."""

    claim: str
    what: str
    interval: Interval
    verdict: str


def forest(findings: Iterable[Finding]) -> list[Row]:
    """Return the evidence that is a difference of percentages, claim by claim."""
    return [
        Row(finding.key, one.what, Interval(100 * one.value, 100 * one.low, 100 * one.high), one.verdict)
        for finding in findings
        for one in finding.evidence
        if one.unit == "points" and math.isfinite(one.low)
    ]
