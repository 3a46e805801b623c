"""Figures of what `metrics.json` holds: recalls and ranks in both directions, and the gap between the modalities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from slapkit.viz import theme
from slapkit.viz.figures.style import DIRECTIONS, finish, joined, name_of

if TYPE_CHECKING:
    import plotly.graph_objects as go


def retrieval_bars(
    metrics: Mapping[str, Mapping[str, Any]], direction: str = "text_to_audio", *, embedding: str = "q"
) -> go.Figure:
    """How often is the right one among the first k? Recalls per objective (objective -> metrics.json), with chance."""
    import plotly.graph_objects as go

    figure, tens = go.Figure(), []
    measures = ("R@1", "R@5", "R@10")
    for objective, values in metrics.items():
        scores = values["retrieval"][embedding][direction]
        recalls = [100 * scores[m] for m in measures]
        tens.append(f"{name_of(objective)} {recalls[-1]:.1f} %")
        figure.add_trace(
            go.Bar(
                x=measures,
                y=recalls,
                name=name_of(objective),
                marker_color=theme.OBJECTIVE.get(objective, theme.NEUTRAL),
                marker_pattern_shape="" if objective == "slap" else "/",
                text=[f"{r:.1f}" for r in recalls],
                textposition="outside",
                cliponaxis=False,
                hovertemplate="%{x}: %{y:.1f} %",
            )
        )
    base = chance_recalls(next(iter(metrics.values())), direction)
    figure.add_trace(
        go.Scatter(
            x=measures,
            y=[100 * base[m] for m in measures],
            mode="markers",
            name="chance",
            marker={"symbol": "line-ew", "size": 46, "line": {"width": 2, "color": theme.NEUTRAL}},
            hovertemplate="chance %{x}: %{y:.1f} %",
        )
    )
    figure.update_yaxes(title_text="recall (%)", range=[0, 112], tickvals=[0, 25, 50, 75, 100])
    figure.update_xaxes(title_text=f"{DIRECTIONS[direction]}, embedding {embedding}")
    words = DIRECTIONS[direction].capitalize()
    return finish(figure, f"{words}, among the first ten: {joined(tens)} (chance {100 * base['R@10']:.1f} %)")


def chance_recalls(metrics: Mapping[str, Any], direction: str) -> dict[str, float]:
    """Return the recalls of a random order, from the protocol: any of the `p` right ones among the first k of M.

    1 - C(M - p, k) / C(M, k), with p = 1 from text to audio and the captions of a clip from audio to text.
    """
    from math import comb

    protocol = metrics["protocol"]
    clips, captions = int(protocol["candidates"]), int(protocol["queries"])
    total, right = (clips, 1) if direction == "text_to_audio" else (captions, max(1, round(captions / clips)))
    return {f"R@{k}": 1 - comb(total - right, min(k, total)) / comb(total, min(k, total)) for k in (1, 5, 10)}


def rank_bars(metrics: Mapping[str, Mapping[str, Any]], *, embedding: str = "q") -> go.Figure:
    """How deep must one look? Median normalised rank in both directions, in percent of the candidates."""
    import plotly.graph_objects as go

    figure, said = go.Figure(), []
    for objective, values in metrics.items():
        ranks = [100 * values["retrieval"][embedding][d]["median_rank"] for d in DIRECTIONS]
        said.append(f"{name_of(objective)} {ranks[0]:.1f} %")
        figure.add_trace(
            go.Bar(
                x=list(DIRECTIONS.values()),
                y=ranks,
                name=name_of(objective),
                text=[f"{r:.1f}" for r in ranks],
                marker_color=theme.OBJECTIVE.get(objective, theme.NEUTRAL),
                textposition="outside",
                cliponaxis=False,
                marker_pattern_shape="" if objective == "slap" else "/",
                hovertemplate="%{x}: %{y:.2f} %",
            )
        )
    figure.update_yaxes(title_text="median rank (% of candidates)", rangemode="tozero")
    return finish(figure, f"Median rank of the right clip for a text: {joined(said)} of the candidates")


def gap_bars(metrics: Mapping[str, Mapping[str, Any]]) -> go.Figure:
    """Do audio and text share one space? Centroid distance, and how well a line tells audio from text (chance 50 %)."""
    from plotly.subplots import make_subplots

    figure = make_subplots(cols=2, horizontal_spacing=0.16)
    rows = []
    for objective, values in metrics.items():
        gap = values["gap"]
        rows.append((name_of(objective), gap["centroid_distance"], gap["linear_separability"]))
        bars = {
            "name": name_of(objective),
            "textposition": "outside",
            "cliponaxis": False,
            "x": [name_of(objective)],
            "marker": {"color": theme.OBJECTIVE.get(objective), "pattern_shape": "" if objective == "slap" else "/"},
        }
        figure.add_bar(y=[rows[-1][1]], text=f"{rows[-1][1]:.3f}", col=1, row=1, showlegend=False, **bars)
        figure.add_bar(y=[100 * rows[-1][2]], text=f"{100 * rows[-1][2]:.1f}", col=2, row=1, showlegend=False, **bars)
    figure.add_hline(y=50, row=1, col=2, line={"color": theme.NEUTRAL, "dash": "dot", "width": 1})
    figure.update_yaxes(title_text="distance of the centroids", range=[0, 1.25 * max(r[1] for r in rows)], col=1)
    figure.update_yaxes(
        title_text="linear separability (%), chance 50", range=[0, 112], tickvals=[0, 25, 50, 75, 100], col=2
    )
    return finish(figure, _gap_answer(rows))


def _gap_answer(rows: Sequence[tuple[str, float, float]]) -> str:
    """Say whose gap is smaller, with the distances."""
    if len(rows) == 1:
        return f"{rows[0][0]} leaves a gap of {rows[0][1]:.3f} between audio and text"
    best, *others = sorted(rows, key=lambda row: row[1])
    rest = joined([f"{name} {distance:.3f}" for name, distance, _ in others])
    return f"{best[0]} has the smaller gap, {best[1]:.3f}; {rest}"
