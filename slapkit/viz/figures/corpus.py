"""Figures of a data set: how often each fact occurs, how fast the music is, what the model sees of a clip."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from slapkit.viz import theme
from slapkit.viz.figures.style import finish

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import plotly.graph_objects as go


def counts(frame: pd.DataFrame, column: str, *, title: str, top: int = 15) -> go.Figure:
    """How often does each value of `column` occur? Lists count once per entry; the smallest join "other"."""
    import plotly.graph_objects as go

    values = frame[column].explode().dropna().astype(str).value_counts()
    shown = values.head(top)
    # plotly reads some HTML in texts: names from data are to stand as they are.
    labels, numbers = [html.escape(label, quote=False) for label in shown.index], [int(n) for n in shown]
    if len(values) > top:
        labels.append(f"{len(values) - top} others")
        numbers.append(int(values.iloc[top:].sum()))
    colors = [theme.AUDIO] * len(shown) + [theme.OTHER] * (len(labels) - len(shown))
    figure = go.Figure(go.Bar(x=numbers, y=labels, orientation="h", marker_color=colors, hovertemplate="%{y}: %{x}"))
    figure.update_yaxes(autorange="reversed", type="category")
    figure.update_xaxes(title_text="clips")
    share = 100 * numbers[0] / len(frame)
    return finish(
        figure, title.format(n=len(values), first=labels[0], share=f"{share:.1f} %"), height=150 + 26 * len(labels)
    )


def tempo_histogram(frame: pd.DataFrame, column: str = "tempo_bpm") -> go.Figure:
    """How fast is the music? Clips per tempo in beats per minute."""
    import plotly.graph_objects as go

    tempo = frame[column].astype(float)
    low, middle, high = (float(tempo.quantile(q)) for q in (0.05, 0.5, 0.95))
    figure = go.Figure(go.Histogram(x=tempo, marker_color=theme.AUDIO, xbins={"size": 5}, hovertemplate="%{x}: %{y}"))
    figure.update_layout(bargap=0.04)
    figure.update_xaxes(title_text="tempo (beats per minute)")
    figure.update_yaxes(title_text="clips")
    return finish(
        figure, f"Half of the clips are faster than {middle:.0f} bpm; nine in ten lie in {low:.0f}-{high:.0f}"
    )


def log_mel(mel: np.ndarray, *, hop_s: float, title: str) -> go.Figure:
    """What does the model see of a clip? Its log-mel spectrogram `[frames, n_mels]` in dB over time in s."""
    import numpy as np
    import plotly.graph_objects as go

    mel = np.asarray(mel, dtype=np.float32)
    top = float(mel.max())
    figure = go.Figure(
        go.Heatmap(
            z=np.round(mel.T, 1),
            x0=0,
            dx=hop_s,
            zmin=top - 70,
            zmax=top,
            colorscale="Magma",
            colorbar={"title": {"text": "dB"}, "thickness": 12},
            hovertemplate="%{x:.2f} s, band %{y}: %{z:.0f} dB<extra></extra>",
        )
    )
    figure.update_xaxes(title_text="time (s)")
    figure.update_yaxes(title_text="mel band")
    return finish(figure, html.escape(title, quote=False), height=320)
