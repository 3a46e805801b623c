"""What a notebook shows besides text: figures, a clip to listen to, curves that grow while a model trains."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slapkit.audio.decode import MEDIA_TYPES
from slapkit.models import OBJECTIVE_NAMES
from slapkit.viz import theme

if TYPE_CHECKING:
    import numpy as np
    import plotly.graph_objects as go
    from IPython.display import HTML


def figure_bundle(figure: go.Figure, plotly_js: str | None) -> dict[str, Any]:
    """Return a figure for Jupyter twice: as plotly's own type, which JupyterLab draws, and as HTML for exported pages.

    Args:
        plotly_js: address of plotly.js relative to the exported page; None where an earlier figure has loaded it.
    """
    page = figure.to_html(
        full_html=False, include_plotlyjs=plotly_js or False, config={"displaylogo": False, "displayModeBar": "hover"}
    )
    return {"application/vnd.plotly.v1+json": figure.to_plotly_json() | {"config": {}}, "text/html": page}


def players(clips: Sequence[tuple[str | Path, str, Sequence[str]]], *, max_bytes: int = 400_000) -> HTML:
    """Show clips to listen to, each with a title and lines of text beside it.

    The sound is stored in the notebook as the file stands, and fetched by the browser on click alone; a file above
    `max_bytes` is named instead.
    """
    from IPython.display import HTML

    rows = "".join(_player_row(Path(path), title, lines, max_bytes) for path, title, lines in clips)
    style = (
        "<style>.slap-clips td {vertical-align: top; text-align: left !important; padding: 6px 12px;"
        " white-space: normal}"
        ".slap-clips ul {margin: 2px 0; padding-left: 18px} .slap-clips audio {width: 260px; height: 36px}</style>"
    )
    # Captions with two dollar signs are no formulas.
    return HTML(f'{style}<table class="slap-clips mathjax_ignore">{rows}</table>')


def _player_row(path: Path, title: str, lines: Sequence[str], max_bytes: int) -> str:
    """Return one table row: player left, words right. All texts come from data and are escaped."""
    size = path.stat().st_size
    label = html.escape(title, quote=True)
    if size > max_bytes:
        sound = f"{html.escape(path.name)} ({size / 1e6:.1f} MB: too large to keep in a notebook)"
    else:
        kind = MEDIA_TYPES.get(path.suffix.lower(), "audio/*")
        data = base64.b64encode(path.read_bytes()).decode()
        sound = f'<audio controls preload="none" aria-label="{label}" src="data:{kind};base64,{data}"></audio>'
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f"<tr><td>{sound}</td><td><b>{label}</b><ul>{items}</ul></td></tr>"


class LiveCurves:
    """Loss, validation recall and effective rank as a widget that grows: give it to `train` as a callback.

    `show()` puts the widget under the cell. Without a notebook around it the widget is a plain object that keeps the
    points, which is what the tests look at.
    """

    PANELS = (("loss", "loss", 1.0), ("validation.R@10", "validation R@10 (%)", 100.0),
              ("validation.effective_rank", "effective rank", 1.0))  # fmt: skip

    def __init__(self, objective: str, *, steps: int) -> None:
        import plotly.graph_objects as go
        from plotly.subplots import make_subplots

        theme.register()
        self.rows: list[Mapping[str, Any]] = []
        self.name, self.steps = OBJECTIVE_NAMES.get(objective, objective), steps
        figure = make_subplots(cols=3, horizontal_spacing=0.09)
        line = {"color": theme.OBJECTIVE.get(objective, theme.NEUTRAL)}
        for column, (_, title, _) in enumerate(self.PANELS, start=1):
            figure.add_scatter(x=[], y=[], mode="lines+markers", line=line, marker_size=4, row=1, col=column)
            figure.update_yaxes(title_text=title, rangemode="tozero", row=1, col=column)
            # All of the training, from the first point on: what is still to come shows as empty space.
            figure.update_xaxes(title_text="step", range=[0, steps], row=1, col=column)
        title = f"{self.name} is training"
        figure.update_layout(template="slapkit", height=300, showlegend=False, title_text=title)
        self.widget = go.FigureWidget(figure)
        self.widget._config = self.widget._config | {"displaylogo": False, "responsive": True}

    def __call__(self, row: Mapping[str, Any]) -> None:
        """Add one logged row."""
        from slapkit.viz.figures import curve

        self.rows.append(row)
        with self.widget.batch_update():
            for trace, (key, _, scale) in zip(self.widget.data, self.PANELS):
                steps, values = curve(self.rows, key)
                trace.x, trace.y = steps, [scale * value for value in values]
            if row["step"] >= self.steps:
                self.widget.layout.title.text = f"{self.name} has been trained"

    def show(self) -> LiveCurves:
        """Display the widget and return the callback."""
        import ipywidgets
        from IPython.display import display

        from slapkit.viz.widgets.scheme import Scheme

        display(ipywidgets.VBox([self.widget, Scheme()]))  # the last keeps the figure as wide as the cell
        return self


def log_mel_of(path: str | Path, *, frontend: str = "light") -> tuple[np.ndarray, float]:
    """Return the log-mel spectrogram `[frames, n_mels]` in dB of a sound file, and the time between frames in s.

    Raises:
        AudioError: the file cannot be used.
    """
    import torch

    from slapkit.audio import decode
    from slapkit.audio.frontend import FRONTENDS, LogMel

    config = FRONTENDS[frontend]
    wave = decode.read(path, sample_rate=config.sample_rate)
    return LogMel(config)(torch.from_numpy(wave)[None])[0].numpy(), config.hop_s
