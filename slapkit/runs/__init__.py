"""Notebooks as programs: run them with checked parameters, keep each run's folder, and report on them.

`run` executes one notebook, `sweep` runs it over a grid and seeds, `list_runs` reads the records of all runs,
`report.write_report` compares them on one page.
"""

from slapkit.runs.compare import choose_runs
from slapkit.runs.runner import Run, find_notebook, list_runs, locate, run
from slapkit.runs.sweeps import Sweep, grid, sweep
from slapkit.runs.workspace import Workspace, workspace

__all__ = [
    "Run",
    "Sweep",
    "Workspace",
    "choose_runs",
    "find_notebook",
    "grid",
    "list_runs",
    "locate",
    "run",
    "sweep",
    "workspace",
]
