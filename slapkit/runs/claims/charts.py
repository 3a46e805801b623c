"""The charts of the claims as data. A chart's title is its answer, computed from what it shows."""

import math
from collections.abc import Iterable, Sequence

from slapkit.metrics.intervals import Interval
from slapkit.runs.claims.claims import Finding
from slapkit.runs.claims.estimate import estimate
from slapkit.runs.claims.plan import NAMES
from slapkit.runs.claims.results import Results
from slapkit.viz.figures.claims import Chart, Line, Row

_R10 = "R@10, text to audio (%)"


def charts(results: Results) -> dict[str, Chart]:
    """Return all charts by key."""
    results = results.alike()
    found = [
        _models(results, "retrieval", "q.text_to_audio.R@10", _R10, "Text finds its clip among the first ten: {}"),
        _models(results, "gap", "q.distance", "distance of the centroids", "The gap between audio and text: {}"),
        _models(
            results, "separability", "q.separability", "separability (%), chance 50",
            "A linear classifier separates audio from text in {} of the cases",
        ),
        _steps(results),
        _batch(results),
        _sweep(results, "lam", "lam", "q.text_to_audio.R@10", _R10),
        _sweep(results, "lam", "lam-gap", "q.distance", "distance of the centroids"),
        _sweep(results, "tau", "tau", "q.text_to_audio.R@10", _R10),
        _memory(results),
    ]  # fmt: skip
    return {chart.key: chart for chart in found}


def forest(findings: Iterable[Finding]) -> list[Row]:
    """Return the evidence that is a difference of percentages, claim by claim."""
    return [
        Row(one.what, _scaled(Interval(one.value, one.low, one.high), percent=True), one.verdict)
        for finding in findings
        for one in finding.evidence
        if one.unit == "points" and math.isfinite(one.low)
    ]


def _scaled(interval: Interval, *, percent: bool) -> Interval:
    return Interval(*(100 * value for value in interval)) if percent else interval


def _words(interval: Interval, *, percent: bool) -> str:
    digits, unit = (1, " %") if percent else (3, "")
    text = f"{interval.value:.{digits}f}"
    if math.isfinite(interval.low):
        text += f" ({interval.low:.{digits}f} to {interval.high:.{digits}f})"
    return text + unit


def _models(results: Results, key: str, name: str, y: str, title: str) -> Chart:
    """One figure of every model; BYOL and the paper's heads are drawn and left out of the title."""
    percent, lines, answers, chance = name != "q.distance", [], [], None
    for place, (label, runs) in enumerate(results.models().items()):
        if not runs:
            continue
        found = _scaled(estimate(runs, name), percent=percent)
        objective, dash = {"byol": ("slap", "dot"), "paper": ("slap", "dash")}.get(label, (label, "solid"))
        lines.append(Line(NAMES[label], objective, dash, [(float(place), found)]))
        if label not in ("byol", "paper"):
            answers.append(f"{NAMES[label]} {_words(found, percent=percent)}")
        if name.endswith("R@10"):
            chance = 100 * min(1.0, 10 / int(runs[0][name].about["candidates"]))
    if name == "q.separability":
        chance = 50.0
    title = title.format(", ".join(answers)) if lines else "No run was measured"
    ticks = [float(i) for i in range(len(NAMES))]
    return Chart(key, title, "", y, lines, ticks, list(NAMES.values()), joined=False, chance=chance)


_BATCHES = [  # label, words, objective, dash
    ("slap", "SLAP, accumulated", "slap", "solid"),
    ("clap", "CLAP, plain batch", "clap", "dash"),
    ("clap, cached", "CLAP, cached", "clap", "dot"),
]


def _steps(results: Results) -> Chart:
    name = "q.text_to_audio.R@10"
    lines = [_line(results, "steps", label, name, NAMES[label], label, "solid") for label in ("slap", "clap")]
    title = f"R@10 from the shortest training to the longest: {_from_to(lines)}"
    return _over("steps", title, "steps of training", _R10, lines, [x for x, _ in results.column("steps", "slap")])


def _batch(results: Results) -> Chart:
    lines = [_line(results, "batch", label, "q.text_to_audio.R@1", *look) for label, *look in _BATCHES]
    title = f"R@1 from the smallest batch to the largest: {_from_to(lines)}"
    return _over("batch", title, "pairs a step", "R@1, text to audio (%)", lines, results.size.batches)


def _line(results: Results, study: str, label: str, name: str, words: str, objective: str, dash: str) -> Line:
    """One figure of the runs of a label over the x of a study."""
    column = [(x, runs) for x, runs in results.column(study, label) if runs]
    points = [(x, _scaled(estimate(runs, name), percent=True)) for x, runs in column]
    return Line(words, objective, dash, points)


def _from_to(lines: Iterable[Line]) -> str:
    ends = [(line.name.split(",")[0], line.points[0][1], line.points[-1][1]) for line in lines if line.points[1:]]
    return ", ".join(f"{name} {first.value:.1f} to {last.value:.1f} %" for name, first, last in ends)


def _over(key: str, title: str, x: str, y: str, lines: list[Line], ticks: Sequence[float]) -> Chart:
    return Chart(key, title, x, y, lines, [float(tick) for tick in ticks], [f"{t:g}" for t in ticks], log_x=True)


def _sweep(results: Results, study: str, key: str, name: str, y: str) -> Chart:
    """One figure of SLAP against lam or tau."""
    percent, column, lost = name != "q.distance", results.column(study, "slap"), results.lost(study, "slap")
    points = [(x, _scaled(estimate(runs, name), percent=percent)) for x, runs in column if runs]
    title = "No run was measured"
    if points:
        x, best = (max if percent else min)(points, key=lambda point: point[1].value)
        what = "best recall" if percent else "smallest gap"
        title = f"The {what}, {_words(best, percent=percent)}, is at {study} {x:g}"
    if lost:
        title += f"; collapsed at {', '.join(f'{x:g}' for x in lost)}"
    axis = {"lam": "lam, weight of the inter-modal terms", "tau": "tau, decay of the target"}[study]
    ticks = [x for x, _ in column]
    return Chart(key, title, axis, y, [Line("SLAP", "slap", "solid", points, lost)], ticks, [f"{x:g}" for x in ticks])


def _memory(results: Results) -> Chart:
    lines, batches = [], results.size.memory
    for kind, (_, words, objective, dash) in zip(("accumulated", "plain", "cached"), _BATCHES):
        measured = [(float(batch), results.memory.get((objective, kind, batch))) for batch in batches]
        points = [(x, Interval(sum(peaks) / len(peaks), min(peaks), max(peaks))) for x, peaks in measured if peaks]
        lines.append(Line(words, objective, dash, points))
    ratios = [(line.name, line.points[-1][1].value / line.points[0][1].value) for line in lines if len(line.points) > 1]
    answers = ", ".join(f"{name} {ratio:.2f} times" for name, ratio in ratios)
    title = f"Peak memory at batch {batches[-1]:g} over that at {batches[0]:g}: {answers}"
    return _over("memory", title, "pairs a step", "peak memory (MiB)", lines, batches)
