"""Where a notebook keeps what it makes, whether the runner executes it, a person in JupyterLab, or Voilà for a page."""

from __future__ import annotations

import dataclasses
import os
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slapkit._io import atomic_write_bytes, atomic_write_json, project_root, write_guard
from slapkit.viz.figures import figure_bundle

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclasses.dataclass
class Workspace:
    """A run's folder, seen from inside its notebook, and the `cache` that all runs of the project share.

    `interactive`: no runner around it, so that live curves and progress bars are worth showing. `page`: it is shown by
    Voilà, which has plotly.js for all figures, and is no run: they are not kept.
    """

    folder: Path
    cache: Path
    interactive: bool
    page: bool = False
    shown: int = 0

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint"

    @property
    def figures(self) -> Path:
        return self.folder / "figures"

    def show(self, figure: go.Figure | bytes, name: str) -> None:
        """Display a figure and keep it in `figures/`: plotly's as a page and as JSON, a picture (SVG) as it is.

        All pages of a run share one copy of plotly.js beside them, so that each is small and none needs the network.
        """
        from IPython.display import SVG, display

        if self.page:
            html = None if isinstance(figure, bytes) else figure_bundle(figure, None)["text/html"]
            display(SVG(figure)) if html is None else display({"text/html": html}, raw=True)
            return
        if isinstance(figure, bytes):
            atomic_write_bytes(self.figures / f"{name}.svg", figure)
            display(SVG(figure))
            return
        with write_guard(self.figures):
            self.figures.mkdir(parents=True, exist_ok=True)
            figure.write_html(self.figures / f"{name}.html", include_plotlyjs="directory")
            figure.write_json(self.figures / f"{self.shown:02d}-{name}.json")
        plotly_js = None if self.shown else f"{self.figures.name}/plotly.min.js"
        display(figure_bundle(figure, plotly_js), raw=True)
        self.shown += 1

    def write_metrics(self, metrics: dict[str, Any]) -> Path:
        """Write `metrics.json` in one step and return its path."""
        return atomic_write_json(self.folder / "metrics.json", metrics)


def workspace(notebook: str, run_dir: str | None = None) -> Workspace:
    """Return the workspace of `notebook`: the runner's `run_dir`, or a new folder `runs/<notebook>/lab-<time>`.

    Tables that the notebook shows are not typeset: two dollar signs in a caption are no formula.
    """
    import pandas as pd

    pd.set_option("display.html.use_mathjax", False)
    root = project_root()
    folder = Path(run_dir) if run_dir else root / "runs" / notebook / f"lab-{datetime.now():%Y%m%d-%H%M%S}"
    page = os.environ.get("SERVER_SOFTWARE", "").startswith("voila/")
    return Workspace(folder=folder, cache=root / "data" / "cache", interactive=run_dir is None, page=page)
