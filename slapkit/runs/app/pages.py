"""Which notebooks are pages, and with what they run: parameters are checked, runs and data found before one opens."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slapkit.config import require_known
from slapkit.data.scan import music_folder
from slapkit.errors import ConfigError
from slapkit.runs.compare import LATEST, choose_runs
from slapkit.runs.data import data_folders, read_data
from slapkit.runs.parameters import RESERVED, parameters_of, read_notebook, resolve
from slapkit.runs.record import read_record
from slapkit.runs.runner import find_notebook

if TYPE_CHECKING:
    from nbformat import NotebookNode

NOTEBOOKS = {"03_explore": "Map", "04_search": "Search"}  # and what links call them
LEFT_OUT = "not-in-app"  # tag of a cell that only writes files, or speaks to who reads the code


@dataclasses.dataclass(frozen=True)
class Page:
    """A notebook as a page: its file, the word that links call it, and the value of each of its parameters."""

    notebook: Path
    label: str
    values: dict[str, Any]

    @property
    def title(self) -> str:
        """The question that the notebook answers: its first heading."""
        return _title(read_notebook(self.notebook))

    def fill(self, node: NotebookNode, run_dir: Path) -> NotebookNode:
        """Return the notebook as the page runs it: parameters filled in, the cells of `LEFT_OUT` gone.

        What its cells save goes to `run_dir`: opening a page is no run.
        """
        node = copy.deepcopy(node)
        node.cells = [cell for cell in node.cells if LEFT_OUT not in _tags(cell)]
        given = self.values | {RESERVED: str(run_dir)}
        for cell in node.cells:
            if "parameters" in _tags(cell):
                cell.source = "\n".join(f"{name} = {value!r}" for name, value in given.items())
        node.metadata["title"] = _title(node)
        return node


def _tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def _title(node: NotebookNode) -> str:
    heading = re.search(r"^# (.+)", node.cells[0].source if node.cells else "")
    return heading[1].strip() if heading else "slapkit"


def make_pages(given: Mapping[str, str] | None = None, *, runs_dir: str | Path = "runs") -> list[Page]:
    """Return the pages, ready to be shown.

    Without `data` and `runs` the newest comparable runs are taken, and the data that they were trained on.

    Args:
        given: parameters as they are typed in a shell; each goes to the notebooks that have it.
        runs_dir: where runs are kept; relative to the project that holds the notebooks.

    Raises:
        ConfigError: a parameter that no page has, or a value of the wrong type.
        DataError, LibraryError: there is no such data set, or no such folder of music.
        RunError: no notebooks here, or no trained run.
    """
    given, paths = dict(given or {}), [find_notebook(name) for name in NOTEBOOKS]
    root = paths[0].parent.parent
    declared = {path: parameters_of(path) for path in paths}
    known = {name for one in declared.values() for name in one} - {RESERVED}
    require_known(given, known, "no page has a parameter")
    folders, chosen = _choose(given.get("data"), given.get("runs", LATEST), root, root / runs_dir)
    if "folder" in given:
        given["folder"] = str(music_folder(given["folder"]))
    pages = []
    for path, parameters in declared.items():
        typed = {name: parameters[name].parse(text) for name, text in given.items() if name in parameters}
        # Of several data sets the search has one.
        data = ",".join(map(str, folders if path.stem == "03_explore" else folders[:1]))
        runs = ",".join(map(str, chosen))
        pages.append(
            Page(path, NOTEBOOKS[path.stem], resolve(parameters, typed | {"data": data, "runs": runs}, path.stem))
        )
    return pages


def _choose(data: str | None, runs: str, root: Path, runs_dir: Path) -> tuple[list[Path], list[Path]]:
    """Return the folders of the data sets, and those of the runs that are shown on them."""
    fingerprint = read_data(data, root=root).fingerprint if data is not None and runs == LATEST else None
    chosen = [folder.resolve() for folder in choose_runs(runs, runs_dir=runs_dir, data_fingerprint=fingerprint)]
    if data is None:
        data = ((read_record(chosen[0]) or {}).get("parameters") or {}).get("data")
        if not isinstance(data, str):
            raise ConfigError(f"{chosen[0]} does not say what it was trained on: name a data set by -p data=...")
    return [folder.resolve() for folder in data_folders(data, root)], chosen
