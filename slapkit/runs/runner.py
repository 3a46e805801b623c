"""Run a notebook once for its parameters, code and data; continue what was cut off; refuse what cannot run.

A run lives in `runs/<notebook>/<run id>/`: the executed `notebook.ipynb`, `run.json` (its record), `metrics.json`,
`figures/` and `checkpoint/`. The id follows from notebook, parameters, code and data, so that the same call finds the
same folder: a finished run is returned as it stands, a killed or failed one goes on there from its checkpoint.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from slapkit._io import write_guard
from slapkit.config import nearest
from slapkit.errors import RunError
from slapkit.runs import record as records
from slapkit.runs.parameters import RESERVED, notebook_parameters, resolve
from slapkit.runs.reach import code_hash

LOCK = ".lock"


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run: its folder, what `run.json` and `metrics.json` hold, and whether it stood there already."""

    folder: Path
    record: dict[str, Any]
    metrics: dict[str, Any]
    reused: bool = False


def locate(path: str | Path) -> Path:
    """Return `path` as it stands, or below the nearest parent folder that has it.

    A notebook opened in JupyterLab works in `notebooks/`, one that the runner executes in the folder above: this makes
    `data/scores-quick` mean the same in both. A path found nowhere comes back unchanged, for the reader to complain.
    """
    path = Path(path).expanduser()
    if path.is_absolute() or path.exists():
        return path
    return next((p / path for p in Path.cwd().parents if (p / path).exists()), path)


def find_notebook(notebook: str | Path) -> Path:
    """Return the file of a notebook given by path, or by its name in `notebooks/` here or in a parent folder.

    Raises:
        RunError: there is none (the message names the nearest one).
    """
    name = str(notebook)
    given = Path(name).expanduser()
    if given.suffix == ".ipynb" and given.is_file():
        return given.resolve()
    stem = name.removesuffix(".ipynb")
    for parent in (Path.cwd(), *Path.cwd().parents):
        known = {p.stem: p for p in (parent / "notebooks").glob("*.ipynb")}
        if stem in known:
            return known[stem].resolve()
        if known:
            raise RunError(f"no notebook {name!r} in {parent / 'notebooks'}: {nearest(stem, known)}")
    raise RunError(f"no notebook {name!r}: give its path, or start from the folder that holds notebooks/")


def _data_folder(value: str, root: Path) -> Path:
    """Return where a `data` parameter points: seen from here, or else from the notebook's project."""
    path = Path(value).expanduser()
    return path if path.is_absolute() or path.exists() else root / path


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a run's folder for this process alone; the system lets go when the process ends, however it ends."""
    from filelock import FileLock, Timeout

    with write_guard(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            process = (records.read_record(folder) or {}).get("process") or {}
            raise RunError(
                f"the same run is under way in {folder} (process {process.get('pid', 'unknown')}): "
                "wait for it, or stop it"
            ) from None
    try:
        yield
    finally:
        lock.release()


def _end_orphan(record: dict[str, Any] | None, patience_s: float = 10.0) -> None:
    """Wait for the kernel of a killed run, which ends when it misses its parent; stop it if it does not."""
    import psutil

    process = (record or {}).get("kernel")
    end = time.monotonic() + patience_s
    while records.process_alive(process) and time.monotonic() < end:
        time.sleep(0.1)
    if records.process_alive(process):
        with contextlib.suppress(psutil.Error):
            psutil.Process(process["pid"]).kill()


def _read_metrics(folder: Path) -> dict[str, Any]:
    """Return what a run wrote to `metrics.json`, empty where it wrote none."""
    path = folder / "metrics.json"
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError as error:
        raise RunError(f"{path} is not JSON ({error}): run again with force") from error


def _clear(folder: Path) -> None:
    """Empty a run's folder but for its lock, so that a forced run starts from nothing."""
    for path in folder.iterdir():
        if path.name != LOCK:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def run(
    notebook: str | Path,
    *,
    force: bool = False,
    runs_dir: str | Path = "runs",
    progress: bool = True,
    **parameters: Any,
) -> Run:
    """Run a notebook with `parameters` and return its `Run`; a run that is done already is returned at once.

    Args:
        notebook: path, or name in `notebooks/` ("02_train").
        force: run again from nothing, though the same run is done or was begun.
        runs_dir: where runs are kept; relative to the project that holds the notebook.
        parameters: what the notebook's `parameters` cell declares; the rest keeps its default.

    Raises:
        ConfigError: an unknown parameter (with the nearest name), or a value of the wrong type.
        DataError: the `data` parameter points at nothing usable.
        RunError: no such notebook, the same run under way elsewhere, no trained run where `runs` asks for the latest,
            or a cell that failed (see run.json).
    """
    import nbformat

    path = find_notebook(notebook)
    root = path.parent.parent if path.parent.name == "notebooks" else Path.cwd()
    node = nbformat.read(path, as_version=4)
    declared = notebook_parameters(node, path.stem)
    values = resolve(declared, parameters, path.stem)
    fingerprint = None
    if isinstance(values.get("data"), str):
        data = _data_folder(values["data"], root)
        fingerprint = records.data_fingerprint(data)
        inside = data.resolve().is_relative_to(root.resolve())
        values["data"] = str(data.resolve().relative_to(root.resolve()) if inside else data.resolve())
    if values.get("runs") == "latest":
        # Named before the run gets its id: newer runs make it another run, and run.json says which were read.
        values["runs"] = _latest_runs(root, runs_dir, fingerprint)
    source = path.read_text(encoding="utf-8")
    code = code_hash(source)
    # The data counts by content: its place may change.
    hashed = {key: value for key, value in values.items() if key != "data" or fingerprint is None}
    digest = records.run_hash(source, hashed, code, fingerprint)
    defaults = {key: parameter.default for key, parameter in declared.items()}
    folder = root / runs_dir / path.stem / records.run_id(values, defaults, digest)
    with _locked(folder):
        before = records.read_record(folder)
        if before and before["status"] == "done" and not force:
            return Run(folder, before, _read_metrics(folder), reused=True)
        _end_orphan(before)
        if force:
            _clear(folder)
        record = _new_record(path.stem, folder.name, values, code, fingerprint, None if force else before)
        injected = values | ({RESERVED: str(folder)} if RESERVED in declared else {})
        return _execute(node, folder, injected, record, root, progress)


def _latest_runs(root: Path, runs_dir: str | Path, data_fingerprint: str | None) -> str:
    """Return the newest comparable training runs on this data, as a notebook's parameter `runs` names them."""
    from slapkit.runs.compare import choose_runs

    folders = choose_runs("latest", runs_dir=root / runs_dir, data_fingerprint=data_fingerprint)
    return ",".join(str(f.relative_to(root) if f.is_relative_to(root) else f) for f in folders)


def _new_record(
    notebook: str, name: str, values: dict[str, Any], code: str, fingerprint: str | None, before: dict[str, Any] | None
) -> dict[str, Any]:
    """Return the record of a run that begins."""
    import os

    return {
        "status": "running",
        "notebook": notebook,
        "id": name,
        "parameters": values,
        "seed": values.get("seed"),
        "data_fingerprint": fingerprint,
        "code": code,
        **records.commit(),
        "packages": records.packages(),
        "machine": records.machine(),
        "process": records.describe_process(os.getpid()),
        "attempts": (before or {}).get("attempts", 0) + 1,
        "started": records.now(),
        "finished": None,
        "wall_s": None,
        "failure": None,
    }


def _execute(
    node: Any, folder: Path, values: dict[str, Any], record: dict[str, Any], root: Path, progress: bool
) -> Run:
    """Execute the notebook, keeping `run.json` true at every moment."""
    from slapkit.runs.execute import CellFailure, execute, plain

    begin = time.monotonic()
    (folder / "figures").mkdir(exist_ok=True)
    records.write_record(folder, record)

    def on_kernel(pid: int) -> None:
        record["kernel"] = records.describe_process(pid)
        records.write_record(folder, record)

    def end(status: str, failure: dict[str, Any] | None = None) -> None:
        wall_s = round(time.monotonic() - begin, 1)
        record.update(status=status, failure=failure, finished=records.now(), wall_s=wall_s)
        records.write_record(folder, record)

    try:
        execute(node, folder, values, cwd=root, title=record["notebook"], progress=progress, on_kernel=on_kernel)
        metrics = _read_metrics(folder)
    except CellFailure as failure:
        end("failed", failure.cell)
        told = RunError(
            f"{record['notebook']} failed in {failure}; the executed notebook is {folder / 'notebook.ipynb'}"
        )
        told.error = failure.cell["error"]
        raise told from None
    except KeyboardInterrupt:
        end("interrupted")
        raise
    except BaseException as error:
        end("failed", {"index": None, "source": [], "error": type(error).__name__, "message": plain(error)})
        raise
    end("done")
    return Run(folder, record, metrics)


def list_runs(runs_dir: str | Path = "runs") -> list[Run]:
    """Return every run below `runs_dir`, oldest first; a run whose process is gone shows the status "killed"."""
    found = []
    for path in sorted(Path(runs_dir).glob(f"*/*/{records.RECORD}")):
        record = records.read_record(path.parent)
        if record is None:
            continue
        with contextlib.suppress(RunError):
            metrics = _read_metrics(path.parent)
            found.append(Run(path.parent, {**record, "status": records.current_status(record)}, metrics))
    return sorted(found, key=lambda r: str(r.record.get("started")))
