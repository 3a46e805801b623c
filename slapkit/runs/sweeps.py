"""Many runs of one notebook: a grid or a list of parameters, times seeds.

Each cell is an ordinary run with a folder of its own, so a finished cell is never run again, whichever sweep asks for
it. A cell that fails does not stop the others: it is tried again, and listed if that fails too.
"""

from __future__ import annotations

import itertools
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slapkit import errors
from slapkit._cores import available_cores
from slapkit.errors import ConfigError, SlapkitError
from slapkit.runs.parameters import parameters_of, resolve
from slapkit.runs.record import Run
from slapkit.runs.runner import attempt, find_notebook

if TYPE_CHECKING:
    import pandas as pd

Values = dict[str, Any]


@dataclass(frozen=True)
class FailedCell:
    """Parameters of a cell that gave no run, and why; `error` names what its notebook raised, if it did."""

    parameters: Values
    reason: str
    error: str = ""


@dataclass
class Sweep:
    """What a sweep has done: runs in the order of its cells, and the cells that failed."""

    notebook: str
    runs: list[Run] = field(default_factory=list)
    failed: list[FailedCell] = field(default_factory=list)

    def table(self) -> pd.DataFrame:
        """Return a row for each run: its parameters, its metrics by dotted name, seconds and folder."""
        import pandas as pd

        return pd.json_normalize(
            {"notebook": run.record["notebook"], **run.record["parameters"], **run.metrics}
            | {"status": run.record["status"], "wall_s": run.record.get("wall_s"), "folder": str(run.folder)}
            for run in self.runs
        )


def grid(**values: Sequence[Any]) -> list[Values]:
    """Return every combination of the values, the last name changing fastest; raise `ConfigError` where a value is no
    list, or an empty one."""
    for name, options in values.items():
        if isinstance(options, str) or not isinstance(options, Sequence) or not options:
            raise ConfigError(f"grid: {name}={options!r} must be a list with at least one value")
    return [dict(zip(values, chosen)) for chosen in itertools.product(*values.values())]


def sweep(
    notebook: str | Path, cells: Sequence[Mapping[str, Any]], *, seeds: Sequence[int] = (0,), workers: int = 1,
    retries: int = 1, runs_dir: str | Path = "runs", progress: bool = True, **common: Any,
) -> Sweep:  # fmt: skip
    """Run a notebook for every cell and seed.

    Args:
        cells: parameters of each cell, such as `grid(objective=["slap", "clap"], lam=[0.2, 0.5])`.
        workers: runs at a time; they share the machine's cores.
        retries: how often a cell that fails is tried again, unless it fails by an error of slapkit.
        common: parameters of all cells.

    Raises:
        ConfigError: no cells or seeds, a parameter that the notebook does not have, or a value of the wrong type;
            before anything runs.
    """
    from tqdm.auto import tqdm

    path = find_notebook(notebook)
    todo = _cells(path, cells, seeds, common)
    if workers < 1 or retries < 0:
        raise ConfigError(f"workers={workers!r} must be at least 1 and retries={retries!r} at least 0")
    bar = {"desc": f"{path.stem} sweep", "unit": "run", "total": len(todo), "disable": not progress}
    with _shared_cores(workers), ThreadPoolExecutor(workers) as pool:
        try:
            results = list(tqdm(pool.map(lambda values: _attempt(path, values, retries, runs_dir), todo), **bar))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    runs = [result for result in results if isinstance(result, Run)]
    if notes := [f"{item.folder.name} {item.note}" for item in runs if item.note]:
        warnings.warn(f"{len(notes)} of {len(runs)} runs were made before: {notes[0]}", stacklevel=2)
    return Sweep(path.stem, runs, [result for result in results if isinstance(result, FailedCell)])


def _cells(path: Path, cells: Sequence[Mapping[str, Any]], seeds: Sequence[int], common: Values) -> list[Values]:
    """Return the parameters of all runs, checked, each once."""
    if not cells or not seeds:
        raise ConfigError(f"{len(cells)} cells times {len(seeds)} seeds is nothing to run: give at least one of each")
    declared = parameters_of(path)
    found: dict[str, Values] = {}
    for cell, seed in itertools.product(cells, seeds):
        values = {**common, **cell}
        if "seed" in values:
            raise ConfigError(f"seed={values['seed']!r} in a cell: name seeds by seeds=[...]")
        if list(seeds) != [0] or "seed" in declared:
            values["seed"] = seed
        if "seeds" in declared:
            values.setdefault("seeds", 1)  # each seed of a sweep is a run of its own
        found.setdefault(repr(sorted(resolve(declared, values, path.stem).items())), values)
    return list(found.values())


def _attempt(path: Path, values: Values, retries: int, runs_dir: str | Path) -> Run | FailedCell:
    """Run one cell; try again where its notebook failed, unless by an error of slapkit, which would come again."""
    try:
        return attempt(path, values, runs_dir=runs_dir, progress=False, sweep=True)
    except SlapkitError as error:
        raised = getattr(error, "error", "")  # by the notebook
        if retries and raised and not issubclass(getattr(errors, raised, Exception), SlapkitError):
            return _attempt(path, values, retries - 1, runs_dir)
        return FailedCell(values, str(error), raised)


@contextmanager
def _shared_cores(workers: int) -> Iterator[None]:
    """Let each of several kernels use its share of the cores: more threads than cores only wait for each other."""
    if workers == 1 or "OMP_NUM_THREADS" in os.environ:
        yield
        return
    os.environ["OMP_NUM_THREADS"] = str(max(1, available_cores() // workers))
    try:
        yield
    finally:
        os.environ.pop("OMP_NUM_THREADS", None)
