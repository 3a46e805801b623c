"""Run what the claims need: the sweep of one size, and its peak memory; stopped and continued at will."""

from __future__ import annotations

from pathlib import Path

from slapkit.runs.claims.memory import Peaks, peak_memory
from slapkit.runs.claims.plan import Cell, Size, cells
from slapkit.runs.sweeps import Sweep, sweep


def train(
    plan: Size, *, data: str | Path, runs_dir: str | Path = "runs", progress: bool = True
) -> tuple[list[Cell], Sweep]:
    """Run every cell of the plan for every seed, and return the cells and what was run; what is done is not run again.

    Raises:
        ConfigError, DataError, RunError: as in `slapkit.runs.sweep`.
    """
    wanted = cells(plan)
    # Cells that stand in several studies are one run.
    done = sweep(
        "02_train",
        [cell.parameters for cell in wanted],
        seeds=plan.seeds,
        workers=plan.workers,
        runs_dir=runs_dir,
        progress=progress,
        data=str(data),
    )
    return wanted, done


def memory_of(plan: Size, *, data: str | Path, cache_dir: str | Path, keep: str | Path, progress: bool = True) -> Peaks:
    """Return the peak memory of the plan's batch sizes; `keep` is the folder that takes what was measured.

    Raises:
        RunError: a process ended otherwise than with a figure.
    """
    return peak_memory(
        data,
        cache_dir=cache_dir,
        preset=plan.preset,
        batches=plan.memory,
        micro=plan.memory[0],
        repetitions=plan.repetitions,
        keep=Path(keep) / f"memory-{plan.corpus}-{plan.preset}.json",
        progress=progress,
    )
