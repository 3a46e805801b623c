"""Figures of a data set and of runs: facts, spectrograms, training curves, retrieval and gap, search by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from slapkit.errors import MetricError
from slapkit.metrics.summary import DIRECTIONS, chance, dig
from slapkit.models import OBJECTIVE_NAMES
from slapkit.viz import theme
from slapkit.viz.figures.style import PERCENT, add_bar, add_chance, finish, grid, joined, mark_line, name_of
from slapkit.viz.text import label

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import plotly.graph_objects as go

Rows = Sequence[Mapping[str, Any]]
Metrics = Mapping[str, Mapping[str, Any]]  # objective -> metrics.json


def counts(frame: pd.DataFrame, column: str, *, title: str, top: int = 15) -> go.Figure:
    """How often does each value of `column` occur? Lists count once per entry; values beyond `top` are one bar.

    `title` may hold {n}, the number of values, {first}, the most frequent, and {share}, its share of the clips.
    """
    values = frame[column].explode().dropna().astype(str).value_counts()
    if values.empty:
        return finish(grid(), f"No clip has a value of {label(column)}", height=150)
    labels, numbers = [label(name, 80) for name in values.index[:top]], values.iloc[:top].tolist()
    colors = [theme.AUDIO] * len(labels)
    if len(values) > top:
        labels.append(f"{len(values) - top} others")
        numbers.append(int(values.iloc[top:].sum()))
        colors.append(theme.OTHER)
    # Placed by number: two names that are cut alike stay two bars.
    places = list(range(len(labels)))
    hover = "%{customdata}: %{x}<extra></extra>"
    bars = {"orientation": "h", "marker_color": colors, "customdata": labels, "hovertemplate": hover}
    figure = grid().add_bar(x=numbers, y=places, **bars)
    figure.update_yaxes(autorange="reversed", tickvals=places, ticktext=labels)
    figure.update_xaxes(title_text="clips")
    words = title.format(n=len(values), first=labels[0], share=f"{100 * numbers[0] / len(frame):.1f} %")
    return finish(figure, words, height=150 + 26 * len(labels))


def tempo_histogram(frame: pd.DataFrame) -> go.Figure:
    """How fast is the music? Clips per tempo in beats per minute; values that are no numbers are left out."""
    import pandas as pd

    tempo = pd.to_numeric(frame["tempo_bpm"].explode(), errors="coerce").dropna()
    if tempo.empty:
        return finish(grid(), "No clip has a tempo", height=150)
    low, middle, high = (float(tempo.quantile(q)) for q in (0.05, 0.5, 0.95))
    look = {"marker_color": theme.AUDIO, "xbins": {"size": 5}, "hovertemplate": "%{x}: %{y}"}
    figure = grid().add_histogram(x=tempo, **look)
    figure.update_layout(bargap=0.04)
    figure.update_xaxes(title_text="tempo (beats per minute)")
    figure.update_yaxes(title_text="clips")
    title = f"Half of the clips are faster than {middle:.0f} bpm; nine in ten lie in {low:.0f}-{high:.0f}"
    return finish(figure, title)


def log_mel(mel: np.ndarray, *, hop_s: float, title: str) -> go.Figure:
    """What does the model see of a clip? Its log-mel spectrogram `[frames, n_mels]` in dB over time in s."""
    top = float(mel.max())
    bar = {"title": {"text": "dB"}, "thickness": 12}
    look = {"zmin": top - 70, "zmax": top, "colorscale": "Magma", "colorbar": bar}
    hover = "%{x:.2f} s, band %{y}: %{z:.0f} dB<extra></extra>"
    figure = grid().add_heatmap(z=mel.T.astype("float32").round(1), x0=0, dx=hop_s, hovertemplate=hover, **look)
    figure.update_xaxes(title_text="time (s)")
    figure.update_yaxes(title_text="mel band")
    return finish(figure, label(title, 400), height=320)


def curve(rows: Rows, key: str) -> tuple[list[int], list[float]]:
    """Return steps and values of one logged quantity without its nulls; `validation.R@10` is in a nested row."""
    steps, values = [], []
    for row in rows:
        if (value := dig(row, *key.split("."))) is not None:
            steps.append(row["step"])
            values.append(float(value))
    return steps, values


def _over_steps(
    histories: Mapping[str, Rows], key: str, what: str, *, scale: float = 1.0, **trace: Any
) -> tuple[go.Figure, dict[str, list[float]]]:
    figure, drawn = grid(), {}
    for objective, rows in histories.items():
        steps, values = curve(rows, key)
        if values:
            drawn[name_of(objective)] = [scale * value for value in values]
            line = {"color": theme.objective_color(objective), "dash": theme.DASH.get(objective, "solid")}
            figure.add_scatter(x=steps, y=drawn[name_of(objective)], line=line, name=name_of(objective), **trace)
    figure.update_xaxes(title_text="optimiser step", rangemode="tozero")  # a single point has no range
    figure.update_yaxes(title_text=what, rangemode="tozero")
    return figure, drawn


def loss_curves(histories: Mapping[str, Rows]) -> go.Figure:
    """How does the loss fall? One line per objective (objective -> rows); their losses are not comparable."""
    what = "training loss"
    figure, drawn = _over_steps(histories, "loss", what, mode="lines", hovertemplate="step %{x}: %{y:.4f}")
    if not drawn:
        raise MetricError("no row has a finite loss: nothing to draw")
    ends = joined([f"{name} from {values[0]:.3f} to {values[-1]:.3f}" for name, values in drawn.items()])
    falls = all(values[-1] < values[0] for values in drawn.values())
    return finish(figure, f"The loss falls: {ends}" if falls else f"Loss: {ends}")


def recall_curves(histories: Mapping[str, Rows], *, chance: float | None = None) -> go.Figure:
    """When is retrieval learned? Text-to-audio R@10 on validation over steps; `chance` in [0, 1] draws its line."""
    style = {"mode": "lines+markers", "hovertemplate": "step %{x}: %{y:.1f} %"}
    what = "validation R@10 (%)"
    figure, drawn = _over_steps(histories, "validation.R@10", what, scale=100, **style)
    if chance is not None:
        mark_line(figure, 100 * chance, f"chance {100 * chance:.1f} %")
    figure.update_yaxes(range=[0, 102])
    ends = [f"{name} {values[-1]:.1f} %" for name, values in drawn.items()]
    return finish(figure, f"Found among the first ten on validation: {joined(ends)}" if ends else "No validation yet")


def rank_curves(histories: Mapping[str, Rows], *, collapsed: float = 1.5) -> go.Figure:
    """Does the model use its space? Effective rank on validation over steps; below `collapsed` it has collapsed."""
    style = {"mode": "lines+markers", "hovertemplate": "step %{x}: %{y:.1f}"}
    figure, drawn = _over_steps(histories, "validation.effective_rank", "effective rank (dimensions)", **style)
    mark_line(figure, collapsed, "collapse", theme.WARNING)
    if not drawn:
        return finish(figure, "No validation yet")
    said = joined([f"{name} uses {values[-1]:.1f} dimensions" for name, values in drawn.items()])
    bad = [name for name, values in drawn.items() if values[-1] < collapsed]
    return finish(figure, f"{joined(bad)} collapsed: {said}" if bad else said)


def retrieval_bars(metrics: Metrics, direction: str = "text_to_audio") -> go.Figure:
    """How often is the right one among the first k? Recalls per objective (objective -> metrics.json), with chance."""
    figure, tens, measures = grid(), [], ("R@1", "R@5", "R@10")
    for objective, values in metrics.items():
        recalls = [100 * values["retrieval"]["q"][direction][m] for m in measures]
        tens.append(f"{name_of(objective)} {recalls[-1]:.1f} %")
        add_bar(figure, objective, measures, recalls)
    base = [100 * chance(next(iter(metrics.values())), int(m[2:]), direction) for m in measures]
    add_chance(figure, measures, base)
    figure.update_yaxes(title_text="recall (%)", **PERCENT)
    figure.update_xaxes(title_text=f"{DIRECTIONS[direction]}, embedding q")
    words = DIRECTIONS[direction].capitalize()
    return finish(figure, f"{words}, among the first ten: {joined(tens)} (chance {base[-1]:.1f} %)")


def rank_bars(metrics: Metrics) -> go.Figure:
    """How deep must one look? Median normalised rank in both directions, in percent of the candidates."""
    figure, said = grid(), []
    for objective, values in metrics.items():
        ranks = [100 * values["retrieval"]["q"][d]["median_rank"] for d in DIRECTIONS]
        said.append(f"{name_of(objective)} {ranks[0]:.1f} %")
        add_bar(figure, objective, list(DIRECTIONS.values()), ranks, hovertemplate="%{x}: %{y:.2f} %")
    figure.update_yaxes(title_text="median rank (% of candidates)", rangemode="tozero")
    return finish(figure, f"Median rank of the right clip for a text: {joined(said)} of the candidates")


def gap_bars(metrics: Metrics) -> go.Figure:
    """Do audio and text share one space? Centroid distance, and linear separability of the modalities (chance 50 %)."""
    figure, distances = grid(cols=2, horizontal_spacing=0.16), {}
    for objective, values in metrics.items():
        name, distance = name_of(objective), values["gap"]["centroid_distance"]
        distances[name] = distance
        percent = 100 * values["gap"]["linear_separability"]
        style = {"showlegend": False, "hovertemplate": None}
        add_bar(figure, objective, [name], [distance], numbers=".3f", row=1, col=1, **style)
        add_bar(figure, objective, [name], [percent], row=1, col=2, **style)
    mark_line(figure, 50, row=1, col=2)
    figure.update_yaxes(title_text="distance of the centroids", range=[0, 1.25 * max(distances.values())], col=1)
    figure.update_yaxes(title_text="separability (%), chance 50", **PERCENT, col=2)
    (best, smallest), *others = sorted(distances.items(), key=lambda pair: pair[1])
    if not others:
        return finish(figure, f"{best} leaves a gap of {smallest:.3f} between audio and text")
    rest = joined([f"{name} {distance:.3f}" for name, distance in others])
    return finish(figure, f"{best} has the smaller gap, {smallest:.3f}; {rest}")


def asked_for(found: Mapping[str, pd.DataFrame], *, what: str, k: int) -> go.Figure:
    """How often do the first `k` results have the value of the column `what` that was asked for? Chance is a mark.

    `found`: by model name ("SLAP"), the table of `slapkit.search.precision`; the same values in each.
    """
    first = next(iter(found.values()))
    values = [label(value, 24) for value in first["value"]]
    objectives = {name: key for key, name in OBJECTIVE_NAMES.items()}
    figure = grid()
    for name, table in found.items():
        style = {"name": name, "hovertemplate": "%{x}: %{y:.1f} %<extra>" + label(name) + "</extra>"}
        add_bar(figure, objectives.get(name, ""), values, 100 * table["share"], numbers="", **style)
    add_chance(figure, values, 100 * first["chance"], size=16)
    figure.update_yaxes(title_text=f"of the first {k} results (%)", range=[0, 103])
    figure.update_xaxes(title_text=f"{what} asked for")
    means = joined([f"{100 * table['share'].mean():.1f} % ({name})" for name, table in found.items()])
    chance = f"{100 * first['chance'].mean():.1f} %"
    title = f"Asked for by name, the {what} is in {means} of the first {k} results; chance {chance}"
    return finish(figure, title, height=400)
