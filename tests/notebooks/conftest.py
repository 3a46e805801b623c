"""One project with smoke data for all notebooks: what one test has trained, the next one finds."""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat
import pytest

from slapkit.runs import run

ROOT = Path(__file__).parents[2]
SMOKE = {"steps": 12, "batch_size": 16, "micro_batch": 8, "device": "cpu"}


@pytest.fixture(scope="session")
def project(smoke_corpus, tmp_path_factory):
    """A project of its own with the notebooks, the smallest score corpus, and tones without any facts."""
    from tests.training.tones import make_tones

    root = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "notebooks", root / "notebooks", ignore=shutil.ignore_patterns(".*"))
    shutil.copytree(smoke_corpus, root / "data" / smoke_corpus.name)
    make_tones(root / "data" / "tones", clips=60, seconds=5)
    return root


def code(node):
    """Return the cells of code."""
    return [cell for cell in node.cells if cell.cell_type == "code"]


def execute(project, name, *, data="scores-smoke", **parameters):
    """Run one notebook on a data set and check what every run must leave."""
    done = run(project / "notebooks" / f"{name}.ipynb", progress=False, data=str(project / "data" / data), **parameters)
    assert done.record["status"] == "done"
    executed = nbformat.read(done.folder / "notebook.ipynb", as_version=4)
    said = [o.text for c in code(executed) for o in c.outputs if o.output_type == "stream" and o.name == "stderr"]
    assert not said, "a run says nothing alarming"
    pages = sorted(p.stem for p in (done.folder / "figures").glob("*.html"))
    return done, executed, pages


def shown_figures(executed):
    """Every plotly figure in the outputs, by its title."""
    kind = "application/vnd.plotly.v1+json"
    found = [
        o.data[kind] for c in code(executed) for o in c.outputs if o.output_type == "display_data" and kind in o.data
    ]
    return {f["layout"]["title"]["text"]: f for f in found}
