"""Notebooks as programs: run them with checked parameters, keep each run's folder, compare and report.

`run` executes a notebook, `sweep` runs it over a grid and seeds, `list_runs` reads all runs, `report.write_report`
compares them on one page.
"""

from slapkit.errors import need_extra

need_extra("notebooks", "nbformat", "papermill", "psutil", "yaml")

from slapkit._io import locate
from slapkit._lazy import imported_from
from slapkit.runs.compare import choose_runs, differences
from slapkit.runs.data import read_data
from slapkit.runs.record import Run, list_runs
from slapkit.runs.runner import find_notebook, run
from slapkit.runs.sweeps import Sweep, grid, sweep
from slapkit.runs.workspace import Workspace, workspace

__getattr__ = imported_from(__name__, {"before_and_after": "starting"})  # it loads a model, and so torch
