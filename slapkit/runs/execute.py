"""Executing one notebook by papermill: our own interpreter as kernel, progress that says where it is, plain errors."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbformat import NotebookNode

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\x1b.")


class CellFailure(Exception):
    """A cell that raised, or whose kernel died. `cell` is what run.json keeps of it."""

    def __init__(self, cell: dict[str, Any]) -> None:
        self.cell = cell
        super().__init__(f"cell {cell['index']} ({cell['source'][0]}): {cell['error']}: {cell['message']}")


def plain(text: object, limit: int = 2000) -> str:
    """Return `text` without terminal colours and other control characters, at most `limit` characters."""
    text = ANSI.sub("", str(text))
    text = "".join(c for c in text if c.isprintable() or c in "\n\t")
    return text if len(text) <= limit else text[: limit - 1] + "…"


def kernel_manager_class(on_start: Callable[[int], None]) -> type:
    """Return a kernel manager that starts this interpreter whatever kernels are installed, and tells its pid."""
    from ipykernel.kernelspec import get_kernel_dict
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    # Frozen modules off: the kernel's debugger otherwise prints that it may miss breakpoints.
    command = [sys.executable, "-Xfrozen_modules=off", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    # As ipykernel describes itself, this interpreter and no other as its command.
    own = KernelSpec(**{**get_kernel_dict(), "argv": command})

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


def where(cells: list[NotebookNode]) -> str:
    """Return the heading above the cell that is being executed."""
    heading = ""
    for cell in cells:
        if cell.cell_type == "markdown":
            titles = re.findall(r"^#+\s+(.+)$", cell.source, re.MULTILINE)
            heading = titles[-1] if titles else heading
        elif cell.metadata.get("papermill", {}).get("status") == "running":
            break
    return heading


def last_row(folder: Path) -> str:
    """Return the last training row below `folder` in a few words, empty where there is none."""
    logs = list(folder.glob("**/train.jsonl"))
    if not logs:
        return ""
    with contextlib.suppress(OSError, ValueError, IndexError), logs[0].open("rb") as file:
        file.seek(max(0, logs[0].stat().st_size - 4000))
        row = json.loads(file.read().splitlines()[-1])
        words = [f"step {row['step']}"] if "step" in row else []
        return " ".join(words + [f"{k} {row[k]:.3g}" for k in ("loss",) if isinstance(row.get(k), float)])
    return ""


@contextlib.contextmanager
def watched(manager: Any, folder: Path) -> Iterator[None]:
    """Show on papermill's bar, once a second, the part of the notebook being executed and the last training row."""
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(1.0):
            if bar := manager.pbar:
                bar.set_postfix_str("  ".join(filter(None, (where(manager.nb.cells), last_row(folder)))))

    thread = threading.Thread(target=watch, daemon=True)
    if manager.pbar is not None:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        if thread.is_alive():
            thread.join()


def engine_class(folder: Path) -> type:
    """Return papermill's own engine with the watch around it."""
    from papermill.engines import NBClientEngine

    class WatchedEngine(NBClientEngine):
        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **kwargs: Any) -> Any:
            with watched(nb_man, folder):
                return super().execute_managed_notebook(nb_man, kernel_name, **kwargs)

    return WatchedEngine


def execute(
    notebook: NotebookNode,
    folder: Path,
    parameters: dict[str, Any],
    *,
    cwd: Path,
    title: str,
    progress: bool,
    on_kernel: Callable[[int], None],
) -> None:
    """Execute `notebook` with `parameters` in `cwd`; the executed copy grows in `folder/notebook.ipynb`.

    Raises:
        CellFailure: a cell raised, or its kernel died.
    """
    import nbformat
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.engines import papermill_engines

    papermill_engines.register("slapkit", engine_class(folder))
    # papermill infers parameters by a pattern that does not know `int | None` and warns; they are checked already.
    logging.getLogger("papermill").setLevel(logging.ERROR)
    output = folder / "notebook.ipynb"
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    bar = {"desc": title, "unit": "cell", "dynamic_ncols": True} if progress else False
    try:
        papermill.execute_notebook(
            notebook,
            # papermill fills {names} into the path.
            str(output).replace("{", "{{").replace("}", "}}"),
            parameters=parameters,
            engine_name="slapkit",
            progress_bar=bar,
            cwd=cwd,
            kernel_manager_class=kernel_manager_class(on_kernel),
        )
    except papermill.PapermillExecutionError as error:
        raise CellFailure(failed_cell(error.cell_index, error.source, error.ename, error.evalue)) from None
    except DeadKernelError:
        nb = nbformat.read(output, as_version=4)
        started = [i for i, c in enumerate(nb.cells) if c.metadata.get("papermill", {}).get("start_time")]
        index = started[-1] if started else 0
        message = "the kernel died: the system may have stopped it for want of memory (try a smaller batch_size)"
        raise CellFailure(failed_cell(index, nb.cells[index].source, "DeadKernelError", message)) from None


def failed_cell(index: int, source: str, error: str, message: str) -> dict[str, Any]:
    """Return what run.json keeps of a failing cell: its index in the executed notebook, head, error and message."""
    lines = [plain(line, 200) for line in source.strip().splitlines()[:10]] or [""]
    return {"index": index, "source": lines, "error": plain(error, 200), "message": plain(message)}
