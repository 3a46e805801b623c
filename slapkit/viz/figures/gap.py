"""The gap panel: what recentring does to distance, separability and retrieval; cosines; singular spectra.

The functions read reports as `slapkit.viz.maps.gap_report` returns them: `name`, `objective`, and the stages `trained`
and `recentred`, the latter None where a model has collapsed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from slapkit.viz import theme
from slapkit.viz.figures.cards import label
from slapkit.viz.figures.map_frame import wide_finish
from slapkit.viz.figures.style import joined

if TYPE_CHECKING:
    import plotly.graph_objects as go

STAGES = {"trained": "as trained", "recentred": "recentred"}
SIDES = ("left", "right")  # where the numbers of the two stages stand
PAIRS = {"across": "clip and caption", "audio": "two windows of sound", "text": "two captions"}


def _stages(report: Any) -> dict[str, Any]:
    return {name: getattr(report, name) for name in STAGES if getattr(report, name) is not None}


def recentring(reports: Sequence[Any]) -> go.Figure:
    """What does the gap cost? Distance, separability and recall as trained and recentred, with 95 % intervals."""
    from plotly.subplots import make_subplots

    figure = make_subplots(cols=3, horizontal_spacing=0.1)
    axes = ("distance of the centroids", "separability (%), chance 50", "text to audio, R@10 (%)")
    for report in reports:
        stages = _stages(report)
        color = theme.OBJECTIVE.get(report.objective, theme.NEUTRAL)
        measured = [
            [s.distance for s in stages.values()],
            [(100 * s.separability, None) for s in stages.values()],
            [tuple(100 * v for v in s.recall["text_to_audio"]) for s in stages.values()],
        ]
        for column, values in enumerate(measured, start=1):
            figure.add_scatter(
                x=[STAGES[name] for name in stages],
                y=[value for value, _ in values],
                error_y={"type": "data", "array": [half for _, half in values], "thickness": 1.5, "width": 5},
                mode="lines+markers+text",
                text=[f"{value:.3f}" if column == 1 else f"{value:.1f}" for value, _ in values],
                textposition=[f"{_beside(reports, report, column, name)} {side}" for name, side in zip(stages, SIDES)],
                cliponaxis=False,
                textfont={"color": color},
                marker={"size": 9, "color": color},
                line={"color": color, "dash": theme.DASH.get(report.objective, "solid")},
                name=label(report.name),
                legendgroup=report.name,
                showlegend=column == 1,
                hoverinfo="x+y+name",
                row=1,
                col=column,
            )
    for column, text in enumerate(axes, start=1):
        figure.update_yaxes(title_text=text, rangemode="tozero", row=1, col=column)
    figure.add_hline(y=50, row=1, col=2, line={"color": theme.NEUTRAL, "dash": "dot", "width": 1})
    # Room beside the ends for their numbers.
    figure.update_xaxes(range=[-0.55, 1.55])
    for column in (2, 3):
        figure.update_yaxes(range=[0, 105], row=1, col=column)
    return wide_finish(figure, _recentring_answer(reports), height=420)


def _beside(reports: Sequence[Any], report: Any, column: int, stage: str) -> str:
    """Return where a number stands so that models do not write over each other: the highest above, the lowest below."""

    def value(one: Any) -> float:
        found = getattr(one, stage)
        if found is None:
            return float("nan")
        return (found.distance.value, found.separability, found.recall["text_to_audio"].value)[column - 1]

    values = [value(one) for one in reports]
    if len(reports) == 1:
        return "middle"
    return "top" if value(report) == max(values) else "bottom" if value(report) == min(values) else "middle"


def _recentring_answer(reports: Sequence[Any]) -> str:
    """Say how recall changes when the gap is taken away; a change within the intervals is none."""
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
    from plotly.subplots import make_subplots

    columns = [(report, name) for report in reports for name in _stages(report)]
    figure = make_subplots(
        rows=3,
        cols=len(columns),
        shared_xaxes=True,
        horizontal_spacing=0.03,
        vertical_spacing=0.06,
        column_titles=[f"{label(report.name)} {STAGES[name]}" for report, name in columns],
    )
    for column, (report, name) in enumerate(columns, start=1):
        for row, kind in enumerate(PAIRS, start=1):
            _histogram(figure, report, getattr(report, name).cosines[kind], kind, row, column)
    for row, words in enumerate(PAIRS.values(), start=1):
        figure.update_yaxes(title_text=words, row=row, col=1)
    figure.update_yaxes(showticklabels=False, ticks="", rangemode="tozero", showgrid=False)
    figure.update_xaxes(range=[-1, 1], tickvals=[-1, 0, 1])
    figure.update_xaxes(title={"text": "cosine", "standoff": 6}, row=3)
    figure.update_annotations(font_size=14)
    for shape, color in (("matched (in colour)", theme.AUDIO), ("unmatched", theme.NEUTRAL)):
        marker = {"symbol": "square", "size": 10, "color": color}
        figure.add_scatter(x=[None], y=[None], mode="markers", marker=marker, name=shape, row=1, col=1)
    wide_finish(figure, _cosine_answer(reports), height=620)
    plot = figure.layout.height - figure.layout.margin.t - 24 - figure.layout.margin.b
    return figure.update_layout(margin_t=figure.layout.margin.t + 24, legend_y=1 + 26 / plot)


def _histogram(figure: go.Figure, report: Any, found: Any, kind: str, row: int, column: int) -> None:
    """Draw one pair of densities as steps: grey behind, the colour of what is compared in front."""
    across = theme.OBJECTIVE.get(report.objective, theme.NEUTRAL)
    color = {"across": across, "audio": theme.AUDIO, "text": theme.TEXT}[kind]
    bins = len(found.unmatched)
    centres = np.round(np.linspace(-1 + 1 / bins, 1 - 1 / bins, bins), 4)
    for name, values, shade in (("unmatched", found.unmatched, theme.NEUTRAL), ("matched", found.matched, color)):
        if values is None:
            continue
        figure.add_scatter(
            x=centres,
            y=np.round(values, 4),
            mode="lines",
            line={"color": shade, "shape": "hvh", "width": 1.5},
            fill="tozeroy",
            fillcolor=_faint(shade),
            name=name,
            showlegend=False,
            hovertemplate=f"{name}, cosine %{{x:.2f}}: density %{{y:.2f}}<extra></extra>",
            row=row,
            col=column,
        )


def _faint(color: str, alpha: float = 0.3) -> str:
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"


def _cosine_answer(reports: Sequence[Any]) -> str:
    """Say how often the right clip is nearer to a caption than a wrong one, before and after."""
    parts = []
    for report in reports:
        before, *after = [f"{100 * stage.cosines['across'].auc:.1f} %" for stage in _stages(report).values()]
        parts.append(f"{label(report.name)} {before}{f' (recentred {after[0]})' if after else ''}")
    return f"The right clip is nearer to a caption than another in {joined(parts)} of the cases"


def spectra(reports: Sequence[Any]) -> go.Figure:
    """How many directions does a space use? Singular values of each modality, as trained and recentred."""
    from plotly.subplots import make_subplots

    titles = [label(report.name) for report in reports]
    figure = make_subplots(cols=len(reports), shared_yaxes=True, horizontal_spacing=0.05, subplot_titles=titles)
    lowest = 1.0
    for column, report in enumerate(reports, start=1):
        for name, stage in _stages(report).items():
            for what, values in stage.spectra.items():
                shown = 100 * values[values > 1e-6]
                lowest = min(lowest, float(shown.min()))
                line = {"color": theme.MODALITY[what], "dash": "solid" if name == "trained" else "dot", "width": 2}
                figure.add_scatter(
                    x=np.arange(1, len(shown) + 1),
                    y=np.round(shown, 5),
                    mode="lines",
                    line=line,
                    name=f"{what}, {STAGES[name]}",
                    legendgroup=f"{what} {name}",
                    showlegend=column == 1,
                    hovertemplate="direction %{x}: %{y:.3f} %",
                    row=1,
                    col=column,
                )
    figure.update_xaxes(title={"text": "direction, largest first", "standoff": 6}, rangemode="tozero")
    figure.update_annotations(font_size=14)
    figure.update_yaxes(type="log", exponentformat="none", dtick=1)
    figure.update_yaxes(title_text="share of the singular values (%)", row=1, col=1)
    wide_finish(figure, _spectra_answer(reports), height=420)
    plot = figure.layout.height - figure.layout.margin.t - 24 - figure.layout.margin.b
    return figure.update_layout(margin_t=figure.layout.margin.t + 24, legend_y=1 + 26 / plot)


def _spectra_answer(reports: Sequence[Any]) -> str:
    parts = [
        f"{label(r.name)} {r.trained.ranks['audio']:.1f} for audio and {r.trained.ranks['text']:.1f} for text"
        for r in reports
    ]
    return f"Directions in use (effective rank): {'; '.join(parts)}"
