"""The pages of `slapkit app`: which runs and data they show, what they leave out, and what they refuse."""

import json
import shutil
from pathlib import Path

import nbformat
import pytest

from slapkit.errors import ConfigError, DataError, LibraryError, RunError
from slapkit.runs.app import make_pages
from slapkit.runs.app.pages import LEFT_OUT
from tests.training.tones import make_tones

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with the notebooks, one data set and no run; the working folder is there."""
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks", ignore=shutil.ignore_patterns(".*"))
    make_tones(tmp_path / "data" / "tones", clips=8, seconds=1)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def add_run(project, name, started, *, objective="slap", data="data/tones"):
    """Write the record of a finished training."""
    folder = project / "runs" / "02_train" / name
    folder.mkdir(parents=True)
    record = {"status": "done", "notebook": "02_train", "started": started, "sweep": False, "data_fingerprint": data}
    record["parameters"] = {"objective": objective, "data": data}
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "metrics.json").write_text(json.dumps({"retrieval": {}}))
    return folder


def test_the_newest_comparable_runs_are_shown_on_their_own_data(project):
    add_run(project, "old", "2026-01-01", data="data/gone")
    slap, clap = (add_run(project, name, "2026-02-01", objective=name) for name in ("slap", "clap"))
    explore, search = make_pages({"k": "5", "points": "none"})
    for page in (explore, search):
        assert page.values["runs"] == f"{slap},{clap}"
        assert page.values["data"] == str(project / "data" / "tones")
    assert search.values["k"] == 5 and "k" not in explore.values and explore.values["points"] is None
    assert explore.title.endswith("?") and explore.label != search.label


def test_a_page_runs_with_its_values_and_without_what_is_for_readers_of_code(project):
    add_run(project, "one", "2026-02-01")
    for page in make_pages():
        node = nbformat.read(page.notebook, as_version=4)
        filled = page.fill(node, project / "elsewhere")
        names = {}
        exec(next(c.source for c in filled.cells if "parameters" in c.metadata.get("tags", [])), names)
        assert names["run_dir"] == str(project / "elsewhere") and names["data"] == page.values["data"]
        left = [c for c in filled.cells if LEFT_OUT in c.metadata.get("tags", [])]
        assert not left and len(filled.cells) < len(node.cells)
        assert node == nbformat.read(page.notebook, as_version=4)
        defined = "\n".join(c.source for c in filled.cells if c.cell_type == "code")
        assert "save_html" not in defined and "write_metrics" in defined


@pytest.mark.parametrize(
    ("given", "error", "named"),
    [
        ({}, RunError, "slapkit run 02_train"),
        ({"steps": "3"}, ConfigError, "'steps'"),
        ({"data": "data/nothing"}, DataError, "data/nothing"),
        ({"data": "data/tones"}, RunError, "02_train"),
        ({"runs": "runs/none", "data": "data/tones"}, RunError, "runs/none"),
        ({"runs": "data"}, ConfigError, "data="),
        ({"runs": "data", "data": "data/tones", "folder": "nowhere"}, LibraryError, "nowhere"),
        ({"runs": "data", "data": "data/tones", "k": "many"}, ConfigError, "k='many'"),
        ({"runs": "data", "data": "data/tones", "run_dir": "here"}, ConfigError, "'run_dir'"),
    ],
)
def test_what_cannot_be_shown_is_named(project, given, error, named):
    with pytest.raises(error, match=named):
        make_pages(given)
