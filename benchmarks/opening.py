"""Opening the pages of a project: notebook 03 up to its map that plays, 04 up to the bench, and the first query there.

    python benchmarks/opening.py my-bench --points 2800

Prints JSON: seconds by the clock and of the processor for each cell, in a process of its own that has imported nothing;
a kernel's start, about a second, is not in them. The maps are fitted first, then read.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

LAST = {"03_explore": "view", "04_search": "bench"}  # cell whose output is waited for
QUERY = {"type": "search", "query": "calm piano", "k": 10, "where": {}}


def opened(folder: str, cells: Sequence[tuple[str, str]], queries: bool) -> dict[str, Any]:
    """Run cells (id and source) in `folder` and return what they took, and then a search of the bench."""
    os.chdir(folder)
    os.environ["SERVER_SOFTWARE"] = "voila/benchmark"  # a page: see `slapkit.runs.workspace`
    found, names, clocks = {}, {"__name__": "__main__"}, (time.perf_counter, time.process_time)
    with contextlib.redirect_stdout(io.StringIO()):
        for id, source in cells:
            begin = [clock() for clock in clocks]
            exec(compile(source, id, "exec"), names)
            found[id] = [round(clock() - before, 2) for clock, before in zip(clocks, begin)]
    found["all"] = [round(sum(times), 1) for times in zip(*found.values())]
    if queries:
        begin = time.perf_counter()
        answer = names["bench"].handle(QUERY | {"models": list(names["libraries"])})
        found["first_query_s"] = round(time.perf_counter() - begin, 3)
        assert answer["type"] == "results" and all(column["cards"] for column in answer["columns"])
    return found


def cells_of(page: Any, scratch: Path) -> list[tuple[str, str]]:
    """Return id and source of the code cells of a page up to `LAST`."""
    import nbformat

    node = page.fill(nbformat.read(page.notebook, as_version=4), scratch)
    code = [(cell.id, cell.source) for cell in node.cells if cell.cell_type == "code"]
    return code[: 1 + [id for id, _ in code].index(LAST[page.notebook.stem])]


def main() -> None:
    from slapkit.runs.app import make_pages

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("project", help="folder with notebooks/, data/ and runs/")
    parser.add_argument("--points", type=int, default=2800, help="of each model's map")
    chosen = parser.parse_args()
    os.chdir(chosen.project)
    # The seed of no map that is kept.
    explore, search = make_pages({"points": str(chosen.points), "seed": str(int(time.time()))})
    calls = {"03_explore, maps fitted": explore, "03_explore, maps read": explore, "04_search": search}
    result = {"load": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory() as scratch:
        for what, page in calls.items():
            given = str(page.notebook.parent), cells_of(page, Path(scratch)), page is search
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                result[what] = pool.submit(opened, *given).result()
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
