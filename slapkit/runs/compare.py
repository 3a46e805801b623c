"""The choice of runs to compare: those that differ in their objective alone."""

import json
from collections.abc import Sequence
from pathlib import Path

from slapkit._io import locate
from slapkit.errors import RunError
from slapkit.metrics.summary import label
from slapkit.models import OBJECTIVE_NAMES
from slapkit.runs.data import split_names
from slapkit.runs.record import Run, changed, list_runs, read_record

LATEST = "latest"  # a notebook's parameter `runs`: the newest comparable ones


def objective_of(run: Run) -> str:
    """Return a run's objective, empty where it trained nothing."""
    return str(run.record["parameters"].get("objective", ""))


def comparable(runs: Sequence[Run]) -> list[Run]:
    """Return the newest finished training runs that differ in objective alone, SLAP first; no runs of a sweep.

    Their code may differ; `differences` names it.
    """
    groups: dict[str, dict[str, Run]] = {}
    for run in runs:
        record = run.record
        if record["status"] == "done" and "retrieval" in run.metrics and not record.get("sweep"):
            rest = {k: v for k, v in record["parameters"].items() if k not in ("objective", "data")}
            key = json.dumps([record["notebook"], record.get("data_fingerprint"), rest], sort_keys=True)
            groups.setdefault(key, {})[objective_of(run)] = run
    if not groups:
        return []
    # More than one objective first, then the newest.
    best = max(groups.values(), key=lambda g: (len(g) > 1, max(str(r.record["started"]) for r in g.values())))
    order = list(OBJECTIVE_NAMES)
    return sorted(best.values(), key=lambda r: (order.index(o) if (o := objective_of(r)) in order else len(order), o))


def differences(folders: Sequence[str | Path]) -> list[str]:
    """Return, a line each, the parameters, data and code that differ between runs; objectives are left out. A line says
    of a run that a model wrote captions of its data."""
    records = [read_record(Path(folder)) or {} for folder in folders]
    names = [label(record) for record in records]
    parameters = [{**r.get("parameters", {}), "data fingerprint": r.get("data_fingerprint")} for r in records]
    keys = dict.fromkeys(key for values in parameters for key in values)
    lines = []
    for key in keys:
        values = [values.get(key) for values in parameters]
        if key not in ("objective", "data") and any(value != values[0] for value in values):
            lines.append(f"{key} differs: {', '.join(f'{name} {value}' for name, value in zip(names, values))}")
    lines += [f"{name}: {note}" for name, record in zip(names, records) if (note := record.get("data_note"))]
    files = sorted({file for record in records for file in changed(records[0].get("code"), record.get("code"))})
    if files:
        lines.append(f"code differs: {', '.join(files[:5])}{f' and {len(files) - 5} more' if len(files) > 5 else ''}")
    return lines


def choose_runs(chosen: str, *, runs_dir: str | Path = "runs", data_fingerprint: str | None = None) -> list[Path]:
    """Return the folders of trained runs: those named, separated by commas, or the "latest" comparable ones.

    "latest" searches `runs_dir`, and takes only runs on the data of `data_fingerprint` if given. A run that is not
    there is a `RunError`.
    """
    if chosen.strip() != LATEST:
        folders = split_names(chosen, locate)
        missing = [name for name, place in folders if place is None or not place.is_dir()]
        if missing or not folders:
            problem = f"there is no folder {missing[0]}" if missing else "no folder is named"
            raise RunError(f"runs={chosen!r}: {problem}; take folders separated by commas, or {LATEST!r}")
        return [place for _, place in folders]
    found = list_runs(runs_dir)
    if data_fingerprint is not None:
        found = [run for run in found if run.record.get("data_fingerprint") == data_fingerprint]
    best = comparable(found)
    if not best:
        data = "" if data_fingerprint is None else " on this data"
        raise RunError(
            f"runs={LATEST!r}: {Path(runs_dir).resolve()} has no finished training run{data} outside sweeps: "
            "`slapkit run 02_train` makes one, or name folders"
        )
    return [run.folder for run in best]
