"""Sweeps: every cell once, failures told and tried again, nothing run twice, nothing begun with bad parameters."""

import os
import sys

import pytest

from slapkit.errors import ConfigError
from slapkit.runs import execute, list_runs, run
from slapkit.runs.sweeps import grid, sweep
from tests.runs.conftest import BODY, LAST, PARAMETERS, write_notebook


def executed(folder):
    return int((folder / "checkpoint" / "count").read_text())


def test_a_grid_is_every_combination():
    assert grid(a=[1, 2], b=["x"], c=[None, 0.5]) == [
        {"a": 1, "b": "x", "c": None}, {"a": 1, "b": "x", "c": 0.5},
        {"a": 2, "b": "x", "c": None}, {"a": 2, "b": "x", "c": 0.5},
    ]  # fmt: skip
    for bad in ([], "ab", 3):
        with pytest.raises(ConfigError, match="a="):
            grid(a=bad)


@pytest.mark.slow
def test_every_cell_and_seed_runs_once_and_the_table_tells(project):
    cells = [*grid(steps=[1, 2]), {"steps": 3, "objective": "clap"}, {"steps": 3, "objective": "clap"}]
    done = sweep("tiny", cells, seeds=[0, 1], workers=2, progress=False, words="all")
    assert len(done.runs) == 6 and not done.failed
    table = done.table()
    assert table["steps"].tolist() == [1, 1, 2, 2, 3, 3] and table["seed"].tolist() == [0, 1] * 3
    assert table["summary.steps"].tolist() == table["steps"].tolist() and set(table["words"]) == {"all"}
    assert set(table["status"]) == {"done"} and (table["wall_s"] > 0).all()
    again = sweep("tiny", [{"steps": 1}, {"steps": 9}], seeds=[1], progress=False, words="all")
    assert [item.reused for item in again.runs] == [True, False]
    assert executed(again.runs[0].folder) == 1
    assert run("tiny", steps=9, seed=1, words="all", progress=False).reused


@pytest.mark.slow
def test_a_cell_that_fails_is_tried_again_listed_and_stops_no_other(project):
    write_notebook(project / "notebooks" / "picky.ipynb", BODY, "if steps == 2: raise ValueError('not two')", LAST)
    write_notebook(
        project / "notebooks" / "once.ipynb",
        BODY,
        "assert int(count.read_text()) > 1, 'the first time never works'",
        LAST,
    )
    done = sweep("picky", grid(steps=[1, 2, 3]), retries=1, progress=False)
    assert [item.record["parameters"]["steps"] for item in done.runs] == [1, 3]
    [failed] = done.failed
    assert failed.parameters["steps"] == 2 and "ValueError: not two" in failed.reason
    [record] = [item for item in list_runs() if item.record["status"] == "failed"]
    assert executed(record.folder) == 2, "tried once more"
    healed = sweep("once", [{"steps": 1}], retries=1, progress=False)
    assert len(healed.runs) == 1 and not healed.failed


def test_a_kernel_that_does_not_start_stops_no_other_cell(project, monkeypatch):
    own, started = execute.own_kernel, []

    def kernel(env):
        made = own(env)
        if started.append(env) or len(started) <= 2:  # the first cell, and its second attempt
            made.argv = [sys.executable, "-c", "raise SystemExit(1)"]
        return made

    monkeypatch.setattr(execute, "own_kernel", kernel)
    done = sweep("tiny", grid(steps=[1, 2]), progress=False)
    assert [item.record["parameters"]["steps"] for item in done.runs] == [2]
    [failed] = done.failed
    assert failed.parameters["steps"] == 1 and failed.error == "RuntimeError" and "memory" in failed.reason


@pytest.mark.parametrize(
    ("cells", "given", "said"),
    [
        ([], {}, "0 cells"),
        ([{"steps": 1}], {"seeds": []}, "0 seeds"),
        ([{"steps": 1}, {"setps": 2}], {}, "'setps'"),
        ([{"steps": "two"}], {}, "steps='two'"),
        ([{"steps": 1, "seed": 3}], {}, "seeds="),
        ([{"steps": 1}], {"workers": 0}, "workers=0"),
    ],
)
def test_nothing_runs_with_bad_parameters(project, cells, given, said):
    with pytest.raises(ConfigError, match=said):
        sweep("tiny", cells, progress=False, **given)
    assert not (project / "runs").exists()


def test_runs_at_a_time_work_in_the_project_and_leave_the_working_folder_alone(project, monkeypatch):
    place = "import os\n(folder / 'metrics.json').write_text(json.dumps({'in': os.getcwd()}))"
    write_notebook(project / "notebooks" / "place.ipynb", BODY, place)
    monkeypatch.chdir(project / "notebooks")
    moved = set()
    monkeypatch.setattr(os, "chdir", lambda place: moved.add(str(place)))  # moves all threads at once
    done = sweep("place", grid(steps=[1, 2]), workers=2, progress=False)
    assert [one.metrics["in"] for one in done.runs] == [str(project)] * 2
    assert moved <= {str(project / "notebooks")}, "papermill moves to where it is"


def test_each_run_of_a_sweep_has_one_seed(project):
    parameters = PARAMETERS.replace("flag: bool = False  # a switch", "seeds: int = 3  # trainings in a run")
    write_notebook(project / "notebooks" / "several.ipynb", BODY, LAST, parameters=parameters)
    done = sweep("several", [{}], seeds=[0, 1], progress=False)
    found = [run.record["parameters"] for run in done.runs]
    assert [(one["seed"], one["seeds"]) for one in found] == [(0, 1), (1, 1)]
