"""Seeing and hearing what a model learned: theme, figures, maps and widgets."""

from slapkit.errors import need_extra

need_extra("notebooks", "plotly", "matplotlib", "IPython", "anywidget")
