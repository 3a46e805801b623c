"""Execute one notebook by papermill, in a kernel of this interpreter; failures become `CellFailure`."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import re
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from slapkit._io import read_json_lines
from slapkit._rows import PROGRESS

if TYPE_CHECKING:
    from jupyter_client.kernelspec import KernelSpec
    from nbformat import NotebookNode

PERIOD_S = 10.0  # between two lines about what a cell does
FILLING = ".progress"
ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\x1b.")


@dataclasses.dataclass(eq=False)
class CellFailure(Exception):
    """A cell that raised, or whose kernel died: its index in the executed notebook, first lines, error and message."""

    index: int
    source: list[str]
    error: str
    message: str

    def __str__(self) -> str:
        return f"cell {self.index} ({self.source[0]}): {self.error}: {self.message}"


def plain(text: object, limit: int = 2000) -> str:
    """Return `text` without terminal colours and other control characters, at most `limit` characters."""
    text = ANSI.sub("", str(text))
    text = "".join(c for c in text if c.isprintable() or c in "\n\t")
    return text if len(text) <= limit else text[: limit - 1] + "…"


def own_kernel(env: dict[str, str] | None = None) -> KernelSpec:
    """Return this interpreter as a kernel, whatever kernels are installed."""
    from ipykernel.kernelspec import get_kernel_dict
    from jupyter_client.kernelspec import KernelSpec

    # Frozen modules off: the kernel's debugger otherwise prints that it may miss breakpoints.
    command = [sys.executable, "-Xfrozen_modules=off", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    return KernelSpec(**{**get_kernel_dict(), "argv": command, "env": env or {}})


def kernel_manager_class(on_start: Callable[[int], None], progress: Path) -> type:
    """Return a kernel manager that starts this interpreter and reports its pid.

    The kernel keeps in the file `progress` how far a cache is."""
    from jupyter_client.manager import AsyncKernelManager

    own = own_kernel({PROGRESS: str(progress.resolve()).replace("$", "$$")})  # a template

    class OwnKernelManager(AsyncKernelManager):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            # Newer kernels warn about a connection that is not encrypted; older managers know no encryption.
            if self.has_trait("transport_encryption"):
                self.transport_encryption = "auto"

        @property
        def kernel_spec(self) -> KernelSpec:
            return own

        async def _async_post_start_kernel(self, **kwargs: Any) -> None:
            await super()._async_post_start_kernel(**kwargs)
            if pid := getattr(self.provisioner, "pid", None):
                on_start(pid)

        post_start_kernel = _async_post_start_kernel

    return OwnKernelManager


def _training(folder: Path) -> str | None:
    newest = max(folder.rglob("train.jsonl"), key=lambda path: path.stat().st_mtime, default=None)
    row = next(iter(read_json_lines(newest)[0][-1:]), None) if newest else None
    if row and row.get("loss") is not None:
        return f"step {row['step']}, loss {row['loss']:.3f}, {row['time_s']:.0f} s"
    return None


def _filling(folder: Path) -> str | None:
    with contextlib.suppress(OSError, ValueError):  # none, or half written
        done, what, total, unit = json.loads((folder / FILLING).read_text())
        return f"{what} {done:,}/{total:,} {unit}s"
    return None


class _Warnings:
    """What cells write to stderr, of which warnings are for the person at the terminal."""

    def __init__(self, title: str) -> None:
        self.title = title

    def write(self, text: str) -> None:
        for message in re.findall(r"UserWarning: (.+)", text):
            tqdm.write(f"{self.title}: {plain(message)}", file=sys.stderr)

    def flush(self) -> None:
        pass  # papermill asks for it


@contextlib.contextmanager
def progress_shown(folder: Path, title: str) -> Iterator[None]:
    """Print now and then how far a cache or a training below `folder` is: papermill's bar moves at ends of cells
    only."""
    ended = threading.Event()

    def show() -> None:
        shown = set()
        while not ended.wait(PERIOD_S):
            for text in {_filling(folder), _training(folder)} - shown - {None}:
                tqdm.write(f"{title}: {text}", file=sys.stderr)
                shown.add(text)

    (folder / FILLING).unlink(missing_ok=True)  # of a run that was killed
    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def execute(
    notebook: NotebookNode, folder: Path, parameters: dict[str, Any], *, cwd: Path, title: str, progress: bool,
    on_kernel: Callable[[int], None],
) -> None:  # fmt: skip
    """Execute `notebook` with `parameters` in `cwd`; the executed copy grows in `folder/notebook.ipynb`. Raise
    `CellFailure` where a cell raised, or the kernel died or did not start."""
    import nbformat
    import papermill

    # papermill infers parameters by a pattern without `int | None` and warns; they are checked already.
    logging.getLogger("papermill").setLevel(logging.ERROR)
    output = folder / "notebook.ipynb"
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    shown = progress_shown(folder, title) if progress else contextlib.nullcontext()
    try:
        with shown:
            papermill.execute_notebook(
                notebook,
                str(output).replace("{", "{{").replace("}", "}}"),  # papermill fills {names} into the path
                parameters=parameters,
                progress_bar={"desc": title} if progress else False,
                stderr_file=_Warnings(title) if progress else None,
                resources={"metadata": {"path": str(cwd)}},  # `cwd` would move this process
                kernel_manager_class=kernel_manager_class(on_kernel, folder / FILLING),
            )
    except papermill.PapermillExecutionError as error:
        raise _failure(error.cell_index, error.source, error.ename, error.evalue) from None
    except RuntimeError as error:  # of Jupyter: the kernel died, or did not start
        cells = nbformat.read(output, as_version=4).cells
        started = [i for i, c in enumerate(cells) if c.metadata.get("papermill", {}).get("start_time")]
        index = started[-1] if started else 0
        message = f"{error}: the system may have stopped it for lack of memory (try a smaller batch_size)"
        raise _failure(index, cells[index].source, type(error).__name__, message) from None


def _failure(index: int, source: str, error: str, message: str) -> CellFailure:
    lines = [plain(line, 200) for line in source.strip().splitlines()[:10]] or [""]
    return CellFailure(index, lines, plain(error, 200), plain(message))
