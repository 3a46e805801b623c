"""Run a notebook once for its code, parameters and data; continue what was cut off; refuse what cannot run.

A run lives in `runs/<notebook>/<run id>/`. The id follows from the notebook's code cells, the parameters, the content
of the data and of a folder of music, and slapkit's version: the same call finds the same folder, where a finished run
is returned as it is and a killed or failed one continues from its checkpoint. A run made with other code of the same
version, or from runs that were made again since, is returned with a note that names the changed files and the runs;
`force` runs it again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import re
import shutil
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

import slapkit
from slapkit._io import atomic_write_json, locked
from slapkit.config import nearest
from slapkit.data.scan import scan
from slapkit.errors import DataError, LibraryError, RunError
from slapkit.runs import record as records
from slapkit.runs.compare import LATEST, choose_runs
from slapkit.runs.data import data_folders, read_data, split_names
from slapkit.runs.execute import CellFailure, execute, plain
from slapkit.runs.parameters import RESERVED, notebook_parameters, read_notebook, resolve
from slapkit.runs.record import SEVERAL, Run

if TYPE_CHECKING:
    from nbformat import NotebookNode

LOCK = ".lock"


def find_notebook(notebook: str | Path) -> Path:
    """Return the file of a notebook given by path, or by its name in `notebooks/` here or in a parent folder; raise
    `RunError`, naming the nearest, where there is none."""
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
    raise RunError(
        f"no notebook {name!r}: give its path, or start from the folder that holds notebooks/ (`slapkit new` makes one)"
    )


def run(
    notebook: str | Path, *, force: bool = False, runs_dir: str | Path = "runs", progress: bool = True,
    **parameters: Any,
) -> Run:  # fmt: skip
    """Run a notebook with `parameters`; a run that is finished already is returned at once.

    A finished run that was made with other code of slapkit, or from runs that were made again since, is returned with a
    warning, which is also its `note`.

    Args:
        notebook: path, or name in `notebooks/` ("02_train").
        force: run again from nothing, even if the same run is finished or begun.
        runs_dir: where runs are kept; relative to the project that holds the notebook.
        parameters: of the notebook's `parameters` cell; the others keep their defaults.

    Raises:
        ConfigError, DataError: an unknown parameter, a value of the wrong type, or no usable data.
        RunError: no such notebook, the same run is under way elsewhere, no trained run where `runs` asks for the
            latest, or a cell failed (see run.json).
    """
    done = attempt(notebook, parameters, force=force, runs_dir=runs_dir, progress=progress)
    if done.note:
        warnings.warn(f"{done.folder}: {done.note}; force=True runs it again", stacklevel=2)
    return done


def attempt(
    notebook: str | Path, parameters: dict[str, Any], *, force: bool = False, runs_dir: str | Path = "runs",
    progress: bool = True, sweep: bool = False,
) -> Run:  # fmt: skip
    """Do the work of `run`, without its warning. Runs of a sweep are marked, until they are asked for by themselves."""
    path = find_notebook(notebook)
    root = path.parent.parent if path.parent.name == "notebooks" else Path.cwd()
    node = read_notebook(path)
    declared = notebook_parameters(node, path.stem)
    values = resolve(declared, parameters, path.stem)
    fingerprint, note = None, ""
    if isinstance(values.get("data"), str):
        folders = data_folders(values["data"], root)
        dataset = read_data(values["data"], values.get("shares"), root)
        dataset.audio_hashes(progress=progress)  # which the fingerprint would read with a bar, quiet or not
        fingerprint, note = dataset.fingerprint, dataset.caption_note
        values["data"] = ",".join(_relative(folder.resolve(), root.resolve()) for folder in folders)
    if values.get("runs") == LATEST:
        # Named before the run gets its id: newer runs make another run, and run.json names what was read.
        folders = choose_runs(LATEST, runs_dir=root / runs_dir, data_fingerprint=fingerprint)
        values["runs"] = ",".join(_relative(folder, root) for folder in folders)
    defaults = {key: parameter.default for key, parameter in declared.items()}
    digest = _digest(node, values, fingerprint)
    kept = root / runs_dir / path.stem
    # The digits alone count: the words name the data's folder, which may have been renamed.
    folder = next(kept.glob(f"*{digest}"), kept / _readable_id(values, defaults, digest))
    with _held(folder):
        before, code = records.read_record(folder), records.code_of_package()
        if before and before["status"] == "done" and not force:
            if before.get("sweep") and not sweep:
                before["sweep"] = False
                atomic_write_json(folder / records.RECORD, before)
            note = "; ".join(filter(None, [records.code_note(before, code), _sources_note(before, root)]))
            return Run(folder, before, records.read_metrics(folder), reused=True, note=note)
        _end_orphan(before)
        if force:
            for old in folder.iterdir():
                if old.name != LOCK:
                    shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
            before = None
        if before:
            files = records.changed(before.get("code"), code)
            code |= dict.fromkeys(files, SEVERAL)
        about = {"notebook": path.stem, "id": folder.name, "parameters": values, "seed": values.get("seed")}
        about |= {"sweep": sweep, "data_fingerprint": fingerprint, "data_note": note}
        about |= {"attempts": (before or {}).get("attempts", 0) + 1, "code": code}
        record = about | records.begin()
        injected = values | ({RESERVED: str(folder)} if RESERVED in declared else {})
        return _execute(node, folder, injected, record, root, progress)


def _digest(node: NotebookNode, values: dict[str, Any], fingerprint: str | None) -> str:
    """Return the digits of a run's id, which follow from code cells, parameters and the content of data."""
    # The data counts by content: its place may change.
    hashed = {key: value for key, value in values.items() if key != "data" or fingerprint is None}
    if isinstance(values.get("folder"), str):  # of music: its files, and what its table says of them, count too
        with contextlib.suppress(LibraryError, DataError):  # which the notebook says
            hashed["folder"] = repr(scan(values["folder"])[0])
    cells = [cell.source for cell in node.cells if cell.cell_type == "code"]
    text = json.dumps([slapkit.__version__, cells, hashed, fingerprint], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _relative(path: Path, root: Path) -> str:
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def _sources_note(record: dict[str, Any], root: Path) -> str:
    """Return which runs that a run read or started from were run again since, empty where none was."""
    named = [value for key in ("runs", "init") if isinstance(value := record["parameters"].get(key), str)]
    places = [place for value in named for _, place in split_names(value, lambda name: root / name)]
    sources = filter(None, (records.run_of(place) for place in places if place is not None))
    again = [_relative(f, root) for f, source in sources if str(source.get("started")) > str(record.get("started"))]
    return f"made before {', '.join(again)} was run again" if again else ""


def _readable_id(values: dict[str, Any], defaults: dict[str, Any], digest: str) -> str:
    """Return the name of a run's folder: its first words, the numbers that are not the default, and the digest."""
    # These count in the digits alone: `runs` holds names of other runs, made of the same words.
    apart = ("runs", "init", "tokenizer", "searches")
    texts = [value for key, value in values.items() if isinstance(value, str) and key not in apart]
    words = ["-".join(Path(part).name for part in text.split(",")) for text in texts][:3]
    numbers = {k: v for k, v in values.items() if isinstance(v, int | float) and v != defaults.get(k)}
    words += [f"{key}{value}" for key, value in numbers.items()]
    if isinstance(init := values.get("init"), str):  # last: the name is cut, and that of another run is long
        words.append("from-" + re.sub("/checkpoint$", "", init.rstrip("/")).rpartition("/")[2])
    name = re.sub(r"[^A-Za-z0-9.]+", "-", "-".join(words)).strip("-.")[:90].strip("-.")
    return f"{name}-{digest}" if name else digest


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a run's folder for this process alone."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(folder / LOCK))
        except BlockingIOError:
            pid = ((records.read_record(folder) or {}).get("process") or {}).get("pid", "unknown")
            raise RunError(f"the same run is under way in {folder} (process {pid}): wait for it, or stop it") from None
        yield


def _end_orphan(record: dict[str, Any] | None, patience_s: float = 10.0) -> None:
    """Wait for the kernel of a killed run, which ends without its parent; stop it if it does not."""
    process = (record or {}).get("kernel")
    end = time.monotonic() + patience_s
    while records.process_alive(process) and time.monotonic() < end:
        time.sleep(0.1)
    if records.process_alive(process):
        with contextlib.suppress(psutil.Error):
            psutil.Process(process["pid"]).kill()


def _execute(
    node: NotebookNode, folder: Path, values: dict[str, Any], record: dict[str, Any], root: Path, progress: bool
) -> Run:
    """Execute the notebook and keep `run.json` up to date."""
    begin = time.monotonic()
    (folder / "figures").mkdir(exist_ok=True)
    atomic_write_json(folder / records.RECORD, record)

    def on_kernel(pid: int) -> None:
        record["kernel"] = records.describe_process(pid)
        atomic_write_json(folder / records.RECORD, record)

    def end(status: str, failure: dict[str, Any] | None = None) -> None:
        wall_s = round(time.monotonic() - begin, 1)
        record.update(status=status, failure=failure, finished=records.now(), wall_s=wall_s)
        atomic_write_json(folder / records.RECORD, record)

    try:
        execute(node, folder, values, cwd=root, title=record["notebook"], progress=progress, on_kernel=on_kernel)
        done = Run(folder, record, records.read_metrics(folder))
    except CellFailure as failure:
        end("failed", dataclasses.asdict(failure))
        error = RunError(f"{record['notebook']} failed in {failure}; see {folder / 'notebook.ipynb'}")
        error.error = failure.error
        raise error from None
    except KeyboardInterrupt:
        end("interrupted")
        raise
    except BaseException as error:
        end("failed", {"index": None, "source": [], "error": type(error).__name__, "message": plain(error)})
        raise
    end("done")
    return done
