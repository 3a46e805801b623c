"""Runs on disk: `run.json` with parameters, code, commit, packages, machine and data, and `metrics.json`."""

import contextlib
import dataclasses
import hashlib
import json
import os
import platform
import re
import socket
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

import slapkit
from slapkit._cores import available_cores
from slapkit._io import locate
from slapkit.errors import RunError

RECORD = "run.json"
SEVERAL = "several"  # in a record's code: a file that changed while the run was made


@dataclasses.dataclass(frozen=True)
class Run:
    """A run: its folder, the contents of `run.json` and `metrics.json`, and whether it was finished before.

    Of a reused run, `note` names what changed since it was made: files of slapkit, and runs that it read and that were
    made again. It is empty where nothing did.
    """

    folder: Path
    record: dict[str, Any]
    metrics: dict[str, Any]
    reused: bool = False
    note: str = ""


def code_of_package() -> dict[str, str]:
    """Return path -> first 12 digits of the SHA-256 of each Python file of slapkit."""
    root = Path(slapkit.__file__).parent
    files = sorted(root.rglob("*.py"))
    return {p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()[:12] for p in files}


def changed(before: Mapping[str, str] | None, now: Mapping[str, str] | None) -> list[str]:
    """Return the files that differ between two versions of slapkit's code."""
    before, now = (code if isinstance(code, dict) else {} for code in (before, now))
    return sorted(file for file in before.keys() | now.keys() if before.get(file) != now.get(file))


def code_note(record: Mapping[str, Any], now: Mapping[str, str]) -> str:
    """Return a sentence on the code that a run was made with, empty where it is today's."""
    files = changed(record.get("code"), now)
    if not files:
        return ""
    shown = ", ".join(files[:5]) + (f" and {len(files) - 5} more" if len(files) > 5 else "")
    commit = f"commit {str(record.get('commit'))[:10]}{' with changes' if record.get('dirty') else ''}"
    return f"made with other code{f' ({commit})' if record.get('commit') else ''}: {shown} changed since"


def commit() -> dict[str, Any]:
    """Return the commit of slapkit's clone and whether files differ from it; None outside a clone."""
    root = Path(slapkit.__file__).parents[1]

    def git(*args: str) -> str:
        done = subprocess.run(["git", "-C", str(root), *args], capture_output=True, text=True, timeout=20, check=True)
        return done.stdout.strip()

    with contextlib.suppress(OSError, subprocess.SubprocessError):
        if Path(git("rev-parse", "--show-toplevel")).resolve() == root.resolve():
            return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    return {"commit": None, "dirty": None}


def packages() -> dict[str, str]:
    """Return name -> version of Python, slapkit and its requirements, as installed."""
    try:
        lines = metadata.requires("slapkit") or []
    except metadata.PackageNotFoundError:
        lines = ["torch", "torchaudio", "transformers", "numpy"]
    found = {"python": platform.python_version(), "slapkit": slapkit.__version__}
    for line in lines:
        name = re.match(r"[\w.-]+", line)[0]
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def machine() -> dict[str, Any]:
    """Return the host's system, processor, usable cores, memory in bytes and accelerators."""
    cpu = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        match = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
        cpu = match[1] if match else cpu
    accelerators: list[str] = []
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=True).stdout
        accelerators = [line.split(" (UUID")[0] for line in listed.splitlines() if line.startswith("GPU")]
    return {
        "host": socket.gethostname(),
        "system": platform.platform(),
        "cpu": cpu,
        "cores": available_cores(),
        "memory_bytes": psutil.virtual_memory().total,
        "accelerators": accelerators,
    }


def now() -> str:
    """Return the time in UTC, to the second, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def begin() -> dict[str, Any]:
    """Return what is recorded of any run that begins now, by this process."""
    return {
        "status": "running",
        **commit(),
        "packages": packages(),
        "machine": machine(),
        "process": describe_process(os.getpid()),
        "started": now(),
        "finished": None,
        "wall_s": None,
        "failure": None,
    }


def read_record(folder: Path) -> dict[str, Any] | None:
    """Return a run's `run.json`, None where there is none or it cannot be read."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and "status" in record else None


def run_of(place: Path) -> tuple[Path, dict[str, Any]] | None:
    """Return the folder and the record of a run, of which `place` is the folder, its checkpoint or that of a further
    seed; None where it is none of them."""
    found = ((folder, read_record(folder)) for folder in (place, *place.parents[:2]))
    return next(((folder, record) for folder, record in found if record is not None), None)


def read_metrics(folder: Path) -> dict[str, Any]:
    """Return a run's `metrics.json`, empty where there is none; raise `RunError` where it is not JSON."""
    path = folder / "metrics.json"
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError as error:
        raise RunError(f"{path} is not JSON ({error}): run again with force") from error


def list_runs(runs_dir: str | Path = "runs") -> list[Run]:
    """Return every run below `runs_dir`, here or in a parent folder, oldest first.

    A run whose process ended early has the status "killed"; one whose metrics cannot be read has none.
    """
    found = []
    for path in sorted(locate(runs_dir).glob(f"*/*/{RECORD}")):
        if record := read_record(path.parent):
            metrics: dict[str, Any] = {}
            with contextlib.suppress(RunError):
                metrics = read_metrics(path.parent)
            found.append(Run(path.parent, record | {"status": current_status(record)}, metrics))
    return sorted(found, key=lambda r: str(r.record.get("started")))


def by_seed(run: Run) -> list[Run]:
    """Return the trainings of a run as runs of a seed each: the first, and those in `seeds/`."""
    seeds = (path for path in (run.folder / "seeds").glob("*") if path.name.lstrip("-").isdecimal())
    others = sorted(path for path in seeds if (path / "config.json").is_file())
    parameters = [run.record["parameters"] | {"seed": int(path.name)} for path in others]
    first = Run(run.folder / "checkpoint", run.record, run.metrics) if others else run
    return [first, *(Run(path, run.record | {"parameters": p}, {}) for path, p in zip(others, parameters))]


def describe_process(pid: int) -> dict[str, Any]:
    """Return host, pid and start time of a process; a pid alone may be reused."""
    return {"host": socket.gethostname(), "pid": pid, "started": psutil.Process(pid).create_time()}


def process_alive(process: dict[str, Any] | None) -> bool:
    """Say whether the process that `describe_process` described still runs on this host."""
    if not process or process.get("host") != socket.gethostname():
        return False
    try:
        return abs(psutil.Process(process["pid"]).create_time() - process["started"]) < 2
    except (psutil.Error, KeyError, TypeError):
        return False


def current_status(record: dict[str, Any]) -> str:
    """Return a run's status: "killed" where it says "running" and its process is gone from this host."""
    process = record.get("process") or {}
    here = process.get("host") == socket.gethostname()
    return "killed" if record["status"] == "running" and here and not process_alive(process) else record["status"]
