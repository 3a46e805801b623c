"""What a run writes down about itself: code, commit, packages, machine and data, and the folders that hold it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
import re
import shutil
import socket
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import slapkit
from slapkit._io import atomic_write_json, available_cores
from slapkit.errors import DataError

RECORD = "run.json"


def data_fingerprint(folder: Path) -> str:
    """Return the fingerprint of a data set: the one its builder wrote, or the one its content gives.

    Raises:
        DataError: nothing usable is there.
    """
    built = folder / "corpus.json"
    if built.is_file():
        with contextlib.suppress(ValueError, KeyError, OSError):
            return str(json.loads(built.read_text(encoding="utf-8"))["fingerprint"])
    if not folder.exists():
        raise DataError(
            f"no data set at {folder}: build the score corpus with `slapkit corpus`, or give a folder of your own "
            "by -p data=..."
        )
    from slapkit.data import read

    return read(folder).fingerprint


def run_hash(source: str, parameters: dict[str, Any], code: str, data: str | None) -> str:
    """Return the hash that names a run: equal for equal notebook, parameters, code and data."""
    text = json.dumps([source, parameters, code, data], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def run_id(parameters: dict[str, Any], defaults: dict[str, Any], digest: str) -> str:
    """Return a folder name that a person can read: the first words among the values, what differs, and 8 digits."""
    # Names of other runs are made of the same words, and long: they count in the digits alone.
    words = [Path(v).name for key, v in parameters.items() if isinstance(v, str) and key != "runs"][:3]
    words += [
        f"{key}{value}"
        for key, value in parameters.items()
        if isinstance(value, int | float) and value != defaults.get(key)
    ]
    name = re.sub(r"[^A-Za-z0-9.]+", "-", "-".join(words)).strip("-.")[:60].strip("-.")
    return f"{name}-{digest[:8]}" if name else digest[:8]


def commit() -> dict[str, Any]:
    """Return the commit that slapkit stands at, and whether its files differ from it; None outside a clone."""
    root = Path(slapkit.__file__).parents[1]

    def git(*args: str) -> str:
        done = subprocess.run(["git", "-C", str(root), *args], capture_output=True, text=True, timeout=20, check=True)
        return done.stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != root.resolve():
            return {"commit": None, "dirty": None}
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}


def packages() -> dict[str, str]:
    """Return name -> version of slapkit and what it requires, as installed here."""
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
    import psutil

    cpu = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        match = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
        cpu = match[1] if match else cpu
    accelerators: list[str] = []
    if shutil.which("nvidia-smi"):
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
    """Return the time of day in UTC, to the second, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def read_record(folder: Path) -> dict[str, Any] | None:
    """Return what stands in a run's `run.json`, None where there is none or it is no record."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and "status" in record else None


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Write `run.json` in one step."""
    atomic_write_json(folder / RECORD, record)


def process_alive(process: dict[str, Any] | None) -> bool:
    """Say whether the process that `describe_process` wrote down still runs on this host."""
    import psutil

    if not process or process.get("host") != socket.gethostname():
        return False
    try:
        return abs(psutil.Process(process["pid"]).create_time() - process["started"]) < 2
    except (psutil.Error, KeyError, TypeError):
        return False


def describe_process(pid: int) -> dict[str, Any]:
    """Return host, pid and start time of a process: its pid alone may come back as another's."""
    import psutil

    return {"host": socket.gethostname(), "pid": pid, "started": psutil.Process(pid).create_time()}


def current_status(record: dict[str, Any]) -> str:
    """Return the status to show: a run whose process is gone while it says "running" was killed."""
    if record["status"] != "running" or process_alive(record.get("process")):
        return record["status"]
    return "killed" if (record.get("process") or {}).get("host") == socket.gethostname() else "running"
