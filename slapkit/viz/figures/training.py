"""Figures of a training run, from the rows of its `train.jsonl`: loss, retrieval and effective rank over steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from slapkit.errors import MetricError
from slapkit.viz import theme
from slapkit.viz.figures.style import chance_line, finish, joined, name_of

if TYPE_CHECKING:
    import plotly.graph_objects as go

Rows = Sequence[Mapping[str, Any]]


def curve(rows: Rows, key: str) -> tuple[list[int], list[float]]:
    """Return steps and values of one logged quantity without its nulls; `validation.R@10` goes into the nested row."""
    steps, values = [], []
    for row in rows:
        value: Any = row
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is not None:
            steps.append(row["step"])
            values.append(float(value))
    return steps, values


def _line(objective: str, x: Sequence, y: Sequence, **kwargs: Any) -> go.Scatter:
    """Return the line of one objective: its colour and its dash."""
    import plotly.graph_objects as go

    line = {"color": theme.OBJECTIVE.get(objective, theme.NEUTRAL), "dash": theme.DASH.get(objective, "solid")}
    return go.Scatter(x=x, y=y, mode="lines", line=line, name=name_of(objective), **kwargs)


def loss_curves(histories: Mapping[str, Rows]) -> go.Figure:
    """How does the loss fall? One line per objective (objective -> rows); their losses are not comparable."""
    import plotly.graph_objects as go

    figure, ends = go.Figure(), []
    for objective, rows in histories.items():
        steps, values = curve(rows, "loss")
        if values:
            figure.add_trace(_line(objective, steps, values, hovertemplate="step %{x}: %{y:.4f}"))
            ends.append(f"{name_of(objective)} from {values[0]:.3f} to {values[-1]:.3f}")
    if not ends:
        raise MetricError("no row has a finite loss: nothing to draw")
    figure.update_xaxes(title_text="optimiser step")
    figure.update_yaxes(title_text="training loss, each objective's own", rangemode="tozero")
    return finish(figure, f"The loss falls: {joined(ends)}" if _falls(histories) else f"Loss: {joined(ends)}")


def _falls(histories: Mapping[str, Rows]) -> bool:
    ends = [curve(rows, "loss")[1] for rows in histories.values()]
    return all(values[-1] < values[0] for values in ends if values)


def recall_curves(histories: Mapping[str, Rows], *, chance: float | None = None) -> go.Figure:
    """When is retrieval learned? Text-to-audio R@10 on validation over steps; `chance` in [0, 1] draws its line."""
    import plotly.graph_objects as go

    figure, ends = go.Figure(), []
    for objective, rows in histories.items():
        steps, values = curve(rows, "validation.R@10")
        if values:
            figure.add_trace(_line(objective, steps, [100 * v for v in values], hovertemplate="step %{x}: %{y:.1f} %"))
            ends.append(f"{name_of(objective)} {100 * values[-1]:.1f} %")
    if chance is not None:
        chance_line(figure, 100 * chance)
    figure.update_traces(mode="lines+markers")
    figure.update_xaxes(title_text="optimiser step")
    figure.update_yaxes(title_text="validation R@10, text to audio (%)", range=[0, 102])
    return finish(figure, f"Found among the first ten on validation: {joined(ends)}" if ends else "No validation yet")


def rank_curves(histories: Mapping[str, Rows], *, collapsed: float = 1.5) -> go.Figure:
    """Does the model use its space? Effective rank on validation over steps; below `collapsed` it has collapsed."""
    import plotly.graph_objects as go

    figure, ends = go.Figure(), []
    for objective, rows in histories.items():
        steps, values = curve(rows, "validation.effective_rank")
        if values:
            figure.add_trace(_line(objective, steps, values, hovertemplate="step %{x}: %{y:.1f}"))
            ends.append((name_of(objective), values[-1]))
    figure.update_traces(mode="lines+markers")
    figure.add_hline(
        y=collapsed,
        line={"color": theme.WARNING, "dash": "dot", "width": 1},
        annotation_text="collapse",
        annotation_position="bottom right",
        annotation_font_color=theme.WARNING,
    )
    figure.update_xaxes(title_text="optimiser step")
    figure.update_yaxes(title_text="effective rank (dimensions)", rangemode="tozero")
    bad = [name for name, rank in ends if rank < collapsed]
    said = joined([f"{name} uses {rank:.1f} dimensions" for name, rank in ends]) if ends else "No validation yet"
    return finish(figure, f"{joined(bad)} collapsed: {said}" if bad else said)
