"""A project folder of its own with tiny notebooks, so that runs cost a second each."""

import nbformat
import pytest

PARAMETERS = """\
steps: int = 3  # how many
lr: float | None = None  # learning rate; None: the default
objective: str = "slap"  # one of slap, clap: what is minimised
flag: bool = False  # a switch
seed: int = 0  # of everything random
words: str = "plain"  # any text
run_dir: str | None = None  # set by the runner"""

BODY = """\
import json, pathlib
folder = pathlib.Path(run_dir)
count = folder / "checkpoint" / "count"
count.parent.mkdir(exist_ok=True)
count.write_text(str(int(count.read_text()) + 1 if count.exists() else 1))"""

LAST = """\
(folder / "metrics.json").write_text(json.dumps({"summary": {"steps": steps, "lr": lr, "words": words}}))"""


def write_notebook(path, *cells, parameters=PARAMETERS):
    """Write a notebook of a heading, a parameters cell and `cells`."""
    first = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    parts = [nbformat.v4.new_markdown_cell("# What?"), first, *map(nbformat.v4.new_code_cell, cells)]
    path.parent.mkdir(exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=parts), path)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with the notebook `tiny`; the working folder is there."""
    monkeypatch.chdir(tmp_path)
    write_notebook(tmp_path / "notebooks" / "tiny.ipynb", BODY, LAST)
    return tmp_path
