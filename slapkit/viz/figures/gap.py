"""The gap panel, of `slapkit.viz.maps.gap_report`: before and after recentring; cosines; singular spectra."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from slapkit.viz import theme
from slapkit.viz.figures.style import finish, grid, joined, mark_line
from slapkit.viz.text import label

if TYPE_CHECKING:
    import plotly.graph_objects as go

PAIRS = {"across": "clip and caption", "audio": "two windows of a clip", "text": "two captions"}


def _measures(stage: Any) -> list[tuple[float, float | None]]:
    recall = stage.recall["text_to_audio"]
    return [stage.distance, (100 * stage.separability, None), (100 * recall.value, 100 * recall.half_width)]


def recentring(reports: Sequence[Any]) -> go.Figure:
    """What does the gap cost? Distance, separability and recall as trained and recentred, with 95 % intervals."""
    figure = grid(cols=3, horizontal_spacing=0.1)
    measured = [{name: _measures(stage) for name, stage in report.stages.items()} for report in reports]
    for report, stages in zip(reports, measured):
        color = theme.objective_color(report.objective)
        for panel in range(3):
            values = [measures[panel] for measures in stages.values()]
            rivals = {name: [other[name][panel][0] for other in measured if name in other] for name in stages}
            sides = zip(stages, values, ("left", "right"))
            numbers = {
                "mode": "lines+markers+text", "cliponaxis": False, "textfont": {"color": color},
                "text": [f"{value:.3f}" if panel == 0 else f"{value:.1f}" for value, _ in values],
                "textposition": [f"{_beside(value, rivals[name])} {side}" for name, (value, _), side in sides],
                "error_y": {"type": "data", "array": [half for _, half in values], "thickness": 1.5, "width": 5},
            }  # fmt: skip
            line = {"color": color, "dash": theme.DASH.get(report.objective, "solid")}
            named = {"name": label(report.name), "legendgroup": report.name, "showlegend": panel == 0}
            look = {"line": line, "marker": {"size": 9, "color": color}, "hoverinfo": "x+y+name"} | named | numbers
            figure.add_scatter(x=list(stages), y=[value for value, _ in values], row=1, col=panel + 1, **look)
    largest = max(measures[0][0] for stages in measured for measures in stages.values())
    # Room above the largest value for its number.
    figure.update_yaxes(title_text="distance of the centroids", range=[0, 1.15 * max(largest, 1e-3)], col=1)
    figure.update_yaxes(title_text="separability (%), chance 50", range=[0, 110], col=2)
    figure.update_yaxes(title_text="text to audio, R@10 (%)", range=[0, 110], col=3)
    mark_line(figure, 50, row=1, col=2)
    figure.update_xaxes(range=[-0.55, 1.55])  # room beside the ends for their numbers
    return finish(figure, _recentring_answer(reports), height=420, wide=True)


def _beside(value: float, rivals: Sequence[float]) -> str:
    """Return where a number is written so that models do not overlap: the highest above, the lowest below."""
    if len(rivals) == 1:
        return "middle"
    return "top" if value == max(rivals) else "bottom" if value == min(rivals) else "middle"


def _recentring_answer(reports: Sequence[Any]) -> str:
    parts, changed = [], False
    for report in reports:
        before = report.trained.recall["text_to_audio"]
        if report.recentred is None:
            parts.append(f"{label(report.name)} has collapsed and cannot be recentred")
            continue
        after = report.recentred.recall["text_to_audio"]
        changed |= bool(abs(after.value - before.value) > np.hypot(before.half_width, after.half_width))
        parts.append(f"{label(report.name)} {100 * before.value:.1f} to {100 * after.value:.1f} %")
    said = "Without the gap, R@10 changes" if changed else "Without the gap, R@10 stays within its interval"
    return f"{said}: {joined(parts)}"


def cosines(reports: Sequence[Any]) -> go.Figure:
    """Do pairs that belong together stand out? Cosines of matched and unmatched pairs, across and within modalities."""
    columns = [(report, name) for report in reports for name in report.stages]
    space = {"shared_xaxes": True, "horizontal_spacing": 0.03, "vertical_spacing": 0.06}
    titles = [f"{label(report.name)} {name}" for report, name in columns]
    figure = grid(rows=3, cols=len(columns), column_titles=titles, **space)
    for column, (report, name) in enumerate(columns, start=1):
        for row, kind in enumerate(PAIRS, start=1):
            _histogram(figure, report, report.stages[name].cosines[kind], kind, row, column)
    for row, words in enumerate(PAIRS.values(), start=1):
        figure.update_yaxes(title_text=words, row=row, col=1)
    figure.update_yaxes(showticklabels=False, ticks="", rangemode="tozero", showgrid=False)
    figure.update_xaxes(range=[-1, 1], tickvals=[-1, 0, 1])
    figure.update_xaxes(title={"text": "cosine", "standoff": 6}, row=3)
    figure.update_annotations(font_size=14)
    for shape, color in (("matched (in colour)", theme.AUDIO), ("unmatched", theme.NEUTRAL)):
        marker = {"symbol": "square", "size": 10, "color": color}
        figure.add_scatter(x=[None], y=[None], mode="markers", marker=marker, name=shape, row=1, col=1)
    parts = []
    for report in reports:
        before, *after = [f"{100 * stage.cosines['across'].auc:.1f} %" for stage in report.stages.values()]
        parts.append(f"{label(report.name)} {before}{f' (recentred {after[0]})' if after else ''}")
    title = f"The right clip is nearer to a caption than another in {joined(parts)} of the cases"
    return finish(figure, title, height=620, wide=True, column_titles=True)


def _histogram(figure: go.Figure, report: Any, found: Any, kind: str, row: int, column: int) -> None:
    color = theme.MODALITY.get(kind) or theme.objective_color(report.objective)
    bins = len(found.unmatched)
    centres = np.round(np.linspace(-1 + 1 / bins, 1 - 1 / bins, bins), 4)
    for name, values, shade in (("unmatched", found.unmatched, theme.NEUTRAL), ("matched", found.matched, color)):
        if values is not None:
            steps = {"mode": "lines", "fill": "tozeroy", "line": {"color": shade, "shape": "hvh", "width": 1.5}}
            hover = {"hovertemplate": f"{name}, cosine %{{x:.2f}}: density %{{y:.2f}}<extra></extra>"}
            look = {"name": name, "showlegend": False} | steps | hover
            figure.add_scatter(x=centres, y=np.round(values, 4), row=row, col=column, **look)


def spectra(reports: Sequence[Any]) -> go.Figure:
    """How many directions does a space use? Singular values of each modality, as trained and recentred."""
    titles = [label(report.name) for report in reports]
    figure = grid(cols=len(reports), shared_yaxes=True, horizontal_spacing=0.05, subplot_titles=titles)
    for column, report in enumerate(reports, start=1):
        for name, stage in report.stages.items():
            for what, values in stage.spectra.items():
                shown = 100 * values[values > 1e-6]
                line = {"color": theme.MODALITY[what], "dash": "dot" if name == "recentred" else "solid", "width": 2}
                named = {"name": f"{what}, {name}", "legendgroup": f"{what} {name}", "showlegend": column == 1}
                look = {"mode": "lines", "line": line, "hovertemplate": "direction %{x}: %{y:.3f} %"} | named
                figure.add_scatter(x=np.arange(1, len(shown) + 1), y=np.round(shown, 5), row=1, col=column, **look)
    figure.update_xaxes(title={"text": "direction, largest first", "standoff": 6}, rangemode="tozero")
    figure.update_annotations(font_size=14)
    figure.update_yaxes(type="log", exponentformat="none", dtick=1)
    figure.update_yaxes(title_text="share of the singular values (%)", row=1, col=1)
    parts = [
        f"{label(r.name)} {r.trained.ranks['audio']:.1f} for audio and {r.trained.ranks['text']:.1f} for text"
        for r in reports
    ]
    title = f"Directions in use (effective rank): {'; '.join(parts)}"
    return finish(figure, title, height=420, wide=True, column_titles=True)
