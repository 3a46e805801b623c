"""All that a size gave: measured runs by cell, cells without a run, and the peak memory of batch sizes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from slapkit.data import AudioTextDataset
from slapkit.errors import MetricError
from slapkit.runs.claims.estimate import Measured
from slapkit.runs.claims.measure import measure
from slapkit.runs.claims.memory import Peaks
from slapkit.runs.claims.plan import PAIR, Cell, Size, cells
from slapkit.runs.sweeps import Sweep, sweep

_VARIED = ("objective", "preset", "steps", "batch_size", "micro_batch", "lam", "tau")


@dataclass
class Results:
    """What was measured of a plan.

    For each of `cells`: `runs`, its measured runs by seed, empty where all failed, and how many `collapsed` while
    training. `failed` are the reasons of all cells that gave no run, `memory` the peaks of batch sizes.
    """

    size: Size
    cells: list[Cell]
    runs: list[list[Measured]]
    collapsed: list[int]
    failed: list[str] = field(default_factory=list)
    memory: Peaks = field(default_factory=dict)

    def of(self, study: str, label: str, x: float | None = None) -> list[Measured]:
        """Return the runs of one cell; raise `MetricError` where there is no such cell, or it has no runs."""
        for cell, runs, collapsed in zip(self.cells, self.runs, self.collapsed):
            if (cell.study, cell.label, cell.x) == (study, label, x):
                if runs:
                    return runs
                at = "" if x is None else f" at {x:g}"
                reason = " because they collapsed" if collapsed else ""
                raise MetricError(f"the runs of {label}{at} ({study}) did not end{reason}")
        raise MetricError(f"there is no cell {label!r} at {x} in the study {study!r}")

    def alike(self) -> Results:
        """Return what the seeds that every cell has say: figures beside each other are measured alike."""
        return replace(self, runs=[[run for run in runs if run.seed in self.size.seeds] for runs in self.runs])

    def models(self) -> dict[str, list[Measured]]:
        """Return the runs of the models that are compared, by label; runs may be none."""
        return {cell.label: runs for cell, runs in zip(self.cells, self.runs) if cell.study == "models"}

    def column(self, study: str, label: str) -> list[tuple[float, list[Measured]]]:
        """Return (x, runs) of a study's cells with this label, smallest first; runs may be none."""
        found = [(c.x, runs) for c, runs in zip(self.cells, self.runs) if (c.study, c.label) == (study, label)]
        return sorted((x, runs) for x, runs in found if x is not None)

    def lost(self, study: str, label: str) -> list[float]:
        """Return the x of a study's cells with this label whose runs all collapsed, smallest first."""
        cells = zip(self.cells, self.runs, self.collapsed)
        return sorted(c.x for c, runs, n in cells if (c.study, c.label) == (study, label) and n and not runs)


def train(
    plan: Size, *, data: str | Path, runs_dir: str | Path = "runs", progress: bool = True
) -> tuple[list[Cell], Sweep]:
    """Run every cell of the plan for every seed, SLAP and CLAP for more of them, and return the cells and the sweep;
    finished runs are not run again. Raise as `slapkit.runs.sweep`."""
    wanted = cells(plan)
    grid = [cell.parameters for cell in wanted]  # a cell of several studies is one run
    given = {"workers": plan.workers, "runs_dir": runs_dir, "progress": progress, "data": str(data)}
    done = sweep("02_train", grid, seeds=plan.seeds, **given)
    if more := [seed for seed in plan.pair_seeds if seed not in plan.seeds]:
        pair = [cell.parameters for cell in wanted if cell.study == "models" and cell.label in PAIR]
        further = sweep("02_train", pair, seeds=more, **given)
        done = Sweep(done.notebook, done.runs + further.runs, done.failed + further.failed)
    return wanted, done


def collect(
    size: Size, cells: Sequence[Cell], sweep: Sweep, dataset: AudioTextDataset, *, cache_dir: str | Path, seed: int = 0,
    progress: bool = True,
) -> Results:  # fmt: skip
    """Measure the runs of a sweep, cell by cell; what was measured before is read.

    `dataset` is what all runs were trained on, all splits; `seed` is that of everything random in measuring. Raise
    `DataError` or `CheckpointError` where a run cannot be measured.
    """
    from tqdm.auto import tqdm

    models = {_key(cell.parameters) for cell in cells if cell.study == "models"}
    given = {"cache_dir": cache_dir, "epochs": size.epochs, "least": size.least, "seed": seed}
    runs: dict[str, list[Measured]] = {}
    for run in tqdm(sweep.runs, desc="measuring", unit="run", disable=not progress):
        key = _key(run.record["parameters"])
        runs.setdefault(key, []).append(measure(run, dataset, detail=key in models, **given))
    collapsed = Counter(_key(failure.parameters) for failure in sweep.failed if failure.error == "CollapseError")
    return Results(
        size=size,
        cells=list(cells),
        runs=[sorted(runs.get(_key(c.parameters), []), key=lambda m: m.seed) for c in cells],
        collapsed=[collapsed[_key(c.parameters)] for c in cells],
        failed=[f"{_key(f.parameters)}, seed {f.parameters.get('seed')}: {f.reason}" for f in sweep.failed],
    )


def _key(parameters: dict[str, object]) -> str:
    return ", ".join(f"{name}={parameters[name]}" for name in _VARIED if parameters.get(name) is not None)
