"""Which runs belong side by side: those that differ in their objective alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from slapkit.errors import RunError
from slapkit.runs.runner import Run, list_runs, locate

ORDER = ("slap", "clap", "siglip")
LATEST = "latest"  # as a notebook's parameter `runs`: the newest comparable ones


def objective_of(run: Run) -> str:
    """Return what a run minimised, empty if it trained nothing."""
    return str(run.record["parameters"].get("objective", ""))


def comparable(runs: Sequence[Run]) -> list[Run]:
    """Return the newest finished training runs that differ in objective alone, SLAP first."""
    done = [r for r in runs if r.record["status"] == "done" and "retrieval" in r.metrics]
    if not done:
        return []

    def conditions(run: Run) -> str:
        rest = {k: v for k, v in run.record["parameters"].items() if k not in ("objective", "data")}
        return json.dumps([run.record["notebook"], run.record.get("data_fingerprint"), rest], sort_keys=True)

    groups: dict[str, dict[str, Run]] = {}
    for run in done:
        groups.setdefault(conditions(run), {})[objective_of(run)] = run
    # The widest comparison counts; of equal ones the newest.
    best = max(groups.values(), key=lambda g: (len(g) > 1, max(str(r.record["started"]) for r in g.values())))
    return sorted(best.values(), key=lambda r: (ORDER.index(o) if (o := objective_of(r)) in ORDER else 9, o))


def choose_runs(chosen: str, *, runs_dir: str | Path = "runs", data_fingerprint: str | None = None) -> list[Path]:
    """Return the folders of trained runs that a parameter names.

    Args:
        chosen: folders, separated by commas; or "latest", the newest comparable ones.
        runs_dir: where "latest" looks.
        data_fingerprint: "latest" takes runs on this data alone.

    Raises:
        RunError: there is no such run.
    """
    if chosen.strip() != LATEST:
        # As they are seen from the project, or from its folder of notebooks, where JupyterLab works.
        folders = [locate(part.strip()) for part in chosen.split(",") if part.strip()]
        missing = [folder for folder in folders if not folder.is_dir()]
        if missing or not folders:
            raise RunError(
                f"runs={chosen!r}: {f'there is no folder {missing[0]}' if missing else 'no folder is named'}; take "
                f"folders separated by commas, or {LATEST!r}"
            )
        return folders
    found = list_runs(runs_dir)
    if data_fingerprint is not None:
        found = [run for run in found if run.record.get("data_fingerprint") == data_fingerprint]
    best = comparable(found)
    if not best:
        raise RunError(
            f"runs={LATEST!r}: {Path(runs_dir).resolve()} has no finished training run"
            f"{'' if data_fingerprint is None else ' on this data'}: `slapkit run 02_train` makes one"
        )
    return [run.folder for run in best]
