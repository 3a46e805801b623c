"""Executing one notebook by papermill: our own interpreter as kernel, progress that says where it is, plain errors."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import sys
import threading
import time
from collections.abc import Callable
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
            return heading
    return ""


def last_row(folder: Path) -> str:
    """Return the last training row of a run in a few words, empty where there is none."""
    path = folder / "checkpoint" / "train.jsonl"
    words: dict[str, str] = {}
    with contextlib.suppress(OSError), path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 8000))
        for line in file.read().splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                row = json.loads(line)
                words["step"] = f"step {row['step']}"
                if row.get("loss") is not None:
                    words["loss"] = f"loss {row['loss']:.3f}"
                if health := row.get("validation"):
                    words["recall"] = f"R@10 {100 * health['R@10']:.1f} %"
                    words["rank"] = f"rank {health['effective_rank']:.1f}"
    return "  ".join(words.values())


class Watch:
    """Says once a second where a notebook is: on a terminal as a bar, elsewhere (a log) as a line now and then."""

    BAR = "{desc}  [{elapsed}]"
    LINE_EVERY_S = 30.0

    def __init__(self, title: str, cells: list[NotebookNode], folder: Path) -> None:
        from tqdm.auto import tqdm

        self.title, self.cells, self.folder = title, cells, folder
        self.begin = self.said_at = time.monotonic()
        self.heading, self.row, self.words = "", last_row(folder), ""
        self.bar = (
            tqdm(total=len(cells), desc=title, bar_format=self.BAR) if sys.stderr.isatty() or in_notebook() else None
        )
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Watch:
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop.set()
        self.thread.join()
        self.tell()
        if self.bar is not None:
            self.bar.close()

    def _watch(self) -> None:
        while not self.stop.wait(1.0):
            self.tell()

    def tell(self) -> None:
        """Show the heading above the current cell, and the training row where it is new."""
        heading, row = where(self.cells), last_row(self.folder)
        news, self.row = row if row != self.row else "", row
        if self.bar is not None:
            done = sum(c.metadata.get("papermill", {}).get("status") == "completed" for c in self.cells)
            if news or heading != self.heading:
                self.words = "  ".join(filter(None, (heading, news)))
            self.bar.n = done
            self.bar.set_description_str(f"{self.title}: {done}/{len(self.cells)} cells  {self.words}")
        elif heading and heading != self.heading or time.monotonic() - self.said_at > self.LINE_EVERY_S:
            self.said_at = time.monotonic()
            words = "  ".join(filter(None, (heading, row if heading == self.heading else "")))
            print(f"{self.title} [{self.said_at - self.begin:4.0f} s] {words}", file=sys.stderr, flush=True)
        self.heading = heading or self.heading


def in_notebook() -> bool:
    """Say whether this process is itself a notebook's kernel, where a bar is a widget."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel")


def engine_class(title: str, folder: Path) -> type:
    """Return papermill's own engine with a `Watch` beside it."""
    from papermill.engines import NBClientEngine

    class WatchedEngine(NBClientEngine):
        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **kwargs: Any) -> Any:
            with Watch(title, nb_man.nb.cells, folder):
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

    if progress:
        papermill_engines.register("slapkit", engine_class(title, folder))
    # papermill infers parameters by a pattern that does not know `int | None` and warns; they are checked already.
    logging.getLogger("papermill").setLevel(logging.ERROR)
    output = folder / "notebook.ipynb"
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    try:
        papermill.execute_notebook(
            notebook,
            # papermill fills {names} into the path.
            str(output).replace("{", "{{").replace("}", "}}"),
            parameters=parameters,
            engine_name="slapkit" if progress else None,
            progress_bar=False,
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
