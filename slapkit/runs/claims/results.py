"""All that a size has given: measured runs by cell, cells that gave none, and the peak memory of batch sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from slapkit.data import AudioTextDataset
from slapkit.errors import MetricError
from slapkit.runs.claims.measure import Measured, measure
from slapkit.runs.claims.plan import Cell, Size
from slapkit.runs.sweeps import Sweep


@dataclass
class Results:
    """What was measured.

    Attributes:
        size: what was planned.
        cells: all cells, study by study.
        runs: for each cell, its measured runs by seed; empty where all failed.
        collapsed: for each cell, how many of its runs collapsed while training.
        failed: reasons of all cells that gave no run.
        memory: (objective, "accumulated", "plain" or "cached", batch size) -> peak memory in MiB, one value a
            repetition.
    """

    size: Size
    cells: list[Cell]
    runs: list[list[Measured]]
    collapsed: list[int]
    failed: list[str] = field(default_factory=list)
    memory: dict[tuple[str, str, int], list[float]] = field(default_factory=dict)

    def of(self, study: str, label: str, x: float | None = None) -> list[Measured]:
        """Return the runs of one cell.

        Raises:
            MetricError: it gave none; why is said.
        """
        number = self.number(study, label, x)
        if not self.runs[number]:
            reason = " because they collapsed" if self.collapsed[number] else ""
            at = "" if x is None else f" at {x:g}"
            raise MetricError(f"the runs of {label}{at} ({study}) did not end{reason}")
        return self.runs[number]

    def number(self, study: str, label: str, x: float | None = None) -> int:
        """Return the number of one cell."""
        for i, cell in enumerate(self.cells):
            if (cell.study, cell.label, cell.x) == (study, label, x):
                return i
        raise MetricError(f"there is no cell {label!r} at {x} in the study {study!r}")

    def lost(self, study: str, label: str) -> list[float]:
        """Return the x of a study's cells with this label whose runs all collapsed, smallest first."""
        cells = zip(self.cells, self.runs, self.collapsed)
        return sorted(c.x for c, runs, n in cells if (c.study, c.label) == (study, label) and n and not runs)

    def column(self, study: str, label: str) -> list[tuple[float, list[Measured]]]:
        """Return (x, runs) of a study's cells with this label, smallest first; runs may be none."""
        found = [(c.x, runs) for c, runs in zip(self.cells, self.runs) if (c.study, c.label) == (study, label)]
        return sorted((x, runs) for x, runs in found if x is not None)


def collect(
    size: Size,
    cells: Sequence[Cell],
    sweep: Sweep,
    dataset: AudioTextDataset,
    *,
    cache_dir: str | Path,
    seed: int = 0,
    progress: bool = True,
) -> Results:
    """Measure the runs of a sweep, cell by cell; what was measured before is read.

    Args:
        size, cells, sweep: what was planned, and what was run of it.
        dataset: the data that all runs were trained on, all splits.
        cache_dir: where features are kept.
        seed: of everything random in measuring.

    Raises:
        DataError, CheckpointError: a run cannot be measured.
    """
    from tqdm.auto import tqdm

    models = [_key(cell.parameters) for cell in cells if cell.study == "models"]
    runs: dict[str, list[Measured]] = {}
    for run in tqdm(sweep.runs, desc="measuring", unit="run", disable=not progress):
        key = _key(run.record["parameters"])
        given = {"cache_dir": cache_dir, "epochs": size.epochs, "least": size.least, "seed": seed}
        runs.setdefault(key, []).append(measure(run, dataset, detail=key in models, **given))
    collapsed: dict[str, int] = {}
    for failure in sweep.failed:
        key = _key(failure.parameters)
        collapsed[key] = collapsed.get(key, 0) + (failure.error == "CollapseError")
    return Results(
        size=size,
        cells=list(cells),
        runs=[sorted(runs.get(_key(c.parameters), []), key=lambda m: m.seed) for c in cells],
        collapsed=[collapsed.get(_key(c.parameters), 0) for c in cells],
        failed=[f"{_key(f.parameters)}, seed {f.parameters.get('seed')}: {f.reason}" for f in sweep.failed],
    )


def _key(parameters: dict[str, object]) -> str:
    """Return what makes a cell another cell; defaults that it does not vary are left out."""
    names = ("objective", "preset", "steps", "batch_size", "micro_batch", "lam", "tau")
    return ", ".join(f"{name}={parameters.get(name)}" for name in names if parameters.get(name) is not None)
