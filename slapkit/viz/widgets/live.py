"""Training curves that grow while a model trains."""

from collections.abc import Mapping
from typing import Any, Self

import ipywidgets
import plotly.graph_objects as go
from IPython.display import display

from slapkit.viz import theme
from slapkit.viz.figures.runs import curve
from slapkit.viz.figures.style import grid, name_of
from slapkit.viz.widgets.base import Scheme

PANELS = (  # logged quantity, axis, factor
    ("loss", "loss", 1.0),
    ("validation.R@10", "validation R@10 (%)", 100.0),
    ("validation.effective_rank", "effective rank", 1.0),
)


class LiveCurves:
    """Loss, validation recall and effective rank as a growing figure: a callback of `train`, displayed by `show`."""

    def __init__(self, objective: str, *, steps: int) -> None:
        theme.register()
        self.rows: list[Mapping[str, Any]] = []
        self.name, self.steps = name_of(objective), steps
        figure = grid(cols=3, horizontal_spacing=0.09)
        line = {"color": theme.objective_color(objective)}
        for column, (_, title, _) in enumerate(PANELS, start=1):
            figure.add_scatter(x=[], y=[], mode="lines+markers", line=line, marker_size=4, row=1, col=column)
            figure.update_yaxes(title_text=title, rangemode="tozero", row=1, col=column)
            # The whole training from the first point on: the steps to come are empty space.
            figure.update_xaxes(title_text="step", range=[0, steps], row=1, col=column)
        title = f"{self.name} is training"
        figure.update_layout(template="slapkit", height=300, showlegend=False, title_text=title)
        self.widget = go.FigureWidget(figure)
        self.widget._config = self.widget._config | {"displaylogo": False, "responsive": True}

    def __call__(self, row: Mapping[str, Any]) -> None:
        self.rows.append(row)
        with self.widget.batch_update():
            for trace, (key, _, scale) in zip(self.widget.data, PANELS):
                steps, values = curve(self.rows, key)
                trace.x, trace.y = steps, [scale * value for value in values]
            if row["step"] >= self.steps:
                self.widget.layout.title.text = f"{self.name} has been trained"

    def show(self) -> Self:
        """Display the figure and return the callback."""
        display(ipywidgets.VBox([self.widget, Scheme()]))  # Scheme keeps the figure as wide as the cell
        return self
