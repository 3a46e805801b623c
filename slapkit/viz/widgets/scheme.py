"""Says whether the page around a notebook is light or dark, for figures that Python draws."""

from __future__ import annotations

import anywidget
import traitlets

from slapkit.viz.widgets.assets import esm


class Scheme(anywidget.AnyWidget):
    """An invisible widget: `dark` follows JupyterLab's theme, or the reader's setting where there is no JupyterLab."""

    _esm = esm("scheme.js")
    dark = traitlets.Bool(False, help="the page is dark").tag(sync=True)
