"""Figures of a data set: how often each fact occurs, tempi, the log-mel spectrogram of a clip."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slapkit.viz import theme
from slapkit.viz.figures.style import finish, grid
from slapkit.viz.text import label

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import plotly.graph_objects as go


def counts(frame: pd.DataFrame, column: str, *, title: str, top: int = 15) -> go.Figure:
    """How often does each value of `column` occur? Lists count once per entry; values beyond `top` are one bar.

    `title` may hold {n}, the number of values, {first}, the most frequent, and {share}, its share of the clips.
    """
    values = frame[column].explode().dropna().astype(str).value_counts()
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


def tempo_histogram(frame: pd.DataFrame, column: str = "tempo_bpm") -> go.Figure:
    """How fast is the music? Clips per tempo in beats per minute."""
    tempo = frame[column].astype(float)
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
