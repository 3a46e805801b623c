"""One project with smoke data for all notebooks: what one test has trained, the next one finds."""

import shutil
from pathlib import Path

import nbformat
import pytest

from slapkit.runs import run

ROOT = Path(__file__).parents[2]
SMOKE = {"steps": 12, "batch_size": 16, "micro_batch": 8, "device": "cpu", "seeds": 1}


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
    return [cell for cell in node.cells if cell.cell_type == "code"]


def execute(project, name, *, data="scores-smoke", **parameters):
    """Run one notebook and return the run, its outputs and its pages; a run says nothing alarming."""
    done = run(project / "notebooks" / f"{name}.ipynb", progress=False, data=str(project / "data" / data), **parameters)
    executed = nbformat.read(done.folder / "notebook.ipynb", as_version=4)
    outputs = [output for cell in code(executed) for output in cell.outputs]
    assert done.record["status"] == "done"
    assert not [o.text for o in outputs if o.output_type == "stream" and o.name == "stderr"]
    return done, outputs, sorted(p.stem for p in (done.folder / "figures").glob("*.html"))
