"""Runs: once for the same parameters, code and data; continued when cut off; told plainly when they fail."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import nbformat
import pytest

from slapkit import cli
from slapkit._io import sha256_file
from slapkit.data import read
from slapkit.errors import ConfigError, DataError, RunError
from slapkit.runs import choose_runs, differences, list_runs, run, sweep
from slapkit.runs import record as records
from slapkit.runs.data import data_folders
from slapkit.runs.runner import _readable_id
from tests.runs.conftest import BODY, LAST, write_notebook
from tests.runs.test_report import make_run
from tests.training.tones import make_tones


def go(name="tiny", **parameters):
    return run(name, progress=False, **parameters)


def times_executed(folder):
    return int((folder / "checkpoint" / "count").read_text())


def test_a_run_leaves_its_record_metrics_and_executed_notebook(project):
    done = go(steps=5, seed=3)
    assert done.folder.parent == project / "runs" / "tiny"
    assert done.folder.name.startswith("slap-plain-steps5-seed3-")
    record = json.loads((done.folder / "run.json").read_text())
    assert record == done.record
    assert record["status"] == "done" and record["seed"] == 3 and record["wall_s"] > 0
    assert record["parameters"]["steps"] == 5 and "run_dir" not in record["parameters"]
    assert {"torch", "numpy", "papermill", "python"} <= set(record["packages"])
    assert record["machine"]["cores"] >= 1 and record["machine"]["memory_bytes"] > 0
    assert "commit" in record and "dirty" in record
    assert done.metrics["summary"]["steps"] == 5
    assert (done.folder / "figures").is_dir()
    cells = nbformat.read(done.folder / "notebook.ipynb", as_version=4).cells
    assert all(c.execution_count for c in cells if c.cell_type == "code")


def test_the_same_run_is_not_run_twice_unless_forced(project):
    first = go(steps=4)
    again = go(steps=4, objective="slap")
    assert again.folder == first.folder and again.reused and times_executed(first.folder) == 1
    assert again.metrics == first.metrics
    other = go(steps=5)
    assert other.folder != first.folder
    (project / "large").mkdir()
    (first.folder / "elsewhere").symlink_to(project / "large")
    forced = go(steps=4, force=True)
    assert forced.folder == first.folder and not forced.reused
    assert forced.record["notebook"] == first.record["notebook"] == "tiny"
    assert times_executed(forced.folder) == 1 and not (forced.folder / "elsewhere").exists(), "from nothing"
    assert (project / "large").is_dir()


def test_the_id_follows_from_code_cells_and_not_from_text_outputs_or_other_code(project, monkeypatch):
    first = go()
    path = project / "notebooks" / "tiny.ipynb"
    node = nbformat.read(path, as_version=4)
    node.cells[0].source = "# Another question?"
    node.cells[1].outputs = [nbformat.v4.new_output("stream", text="saved")]
    node.cells[1].execution_count = 7
    nbformat.write(node, path)
    again = go()
    assert again.folder == first.folder and again.reused and not again.note
    write_notebook(path, BODY, LAST + " # changed")
    changed = go()
    monkeypatch.setattr("slapkit.__version__", "99.0")
    assert len({first.folder, changed.folder, go().folder}) == 3


def test_a_name_says_what_is_other_before_what_a_run_started_from():
    start, defaults = f"runs/02_train/scores-quick-{'slap-pretrained-' * 5}0123456789", {"steps": None, "seeds": 3}
    values = {"data": "music", "init": start, "steps": 150, "seeds": 3}
    name = _readable_id(values, defaults, "abc")
    assert name.startswith("music-steps150-from-scores-quick-slap-pretrained-") and name.endswith("-abc")
    assert len(name) <= 90 + len("-abc")


def test_a_run_made_with_other_code_is_reused_and_the_changed_files_are_named(project, monkeypatch, capsys):
    first = go()
    code = {**records.code_of_package(), "models/losses.py": "changed"}
    monkeypatch.setattr(records, "code_of_package", lambda: dict(code))
    with pytest.warns(UserWarning, match="models/losses.py changed since"):
        again = go()
    assert again.reused and again.folder == first.folder and times_executed(first.folder) == 1
    assert cli.main(["run", "tiny", "--quiet"]) == 0
    assert "models/losses.py changed since" in capsys.readouterr().out
    forced = go(force=True)
    assert forced.folder == first.folder and not forced.note and not go().note


def test_a_run_continued_with_other_code_is_never_taken_for_one_of_a_single_code(project, monkeypatch):
    write_notebook(project / "notebooks" / "once.ipynb", BODY, "assert count.read_text() == '2'", LAST)
    with pytest.raises(RunError):
        go("once")
    code = {**records.code_of_package(), "models/losses.py": "changed"}
    monkeypatch.setattr(records, "code_of_package", lambda: dict(code))
    assert go("once").record["code"]["models/losses.py"] == records.SEVERAL
    with pytest.warns(UserWarning, match="models/losses.py"):
        assert go("once").reused


def test_the_data_counts_by_its_content_whatever_a_note_beside_it_says(project):
    parameters = (
        'data: str = "data/a"  # folder\nshares: str | None = None  # shares\nrun_dir: str | None = None  # set'
    )
    write_notebook(project / "notebooks" / "nb.ipynb", "open(run_dir + '/ok', 'w').write(data)", parameters=parameters)
    with pytest.raises(DataError, match="slapkit corpus"):
        go("nb")
    make_tones(project / "data" / "a", clips=8, seconds=1)
    (project / "data" / "a" / "corpus.json").write_text(json.dumps({"fingerprint": "1"}))
    for name in ("moved", "cut", "edited", "corrected"):
        shutil.copytree(project / "data" / "a", project / "data" / name)
    rows = (project / "data" / "a" / "metadata.jsonl").read_text().splitlines(keepends=True)
    edit = {
        "cut": rows[:-1],
        "edited": [rows[0].replace("tone", "sound"), *rows[1:]],
        "corrected": [rows[0].replace("{", '{"mood": "calm", ', 1), *rows[1:]],
    }
    assert edit["edited"] != rows
    for name, lines in edit.items():
        (project / "data" / name / "metadata.jsonl").write_text("".join(lines))
    first = go("nb", data="data/a")
    assert first.record["data_fingerprint"] == read(project / "data" / "a").fingerprint
    assert go("nb", data="data/moved").folder == first.folder
    others = {go("nb", data=f"data/{name}").folder for name in edit}
    others |= {go("nb", data="data/a,data/cut", shares=shares).folder for shares in (None, "1,1", "2,1")}
    others.add(go("nb", data="a, edited").folder)  # data/ may be left out
    assert len(others | {first.folder}) == 8


def test_a_folder_of_music_counts_by_its_files(project):
    parameters = "folder: str | None = None  # of music\nrun_dir: str | None = None  # set"
    write_notebook(project / "notebooks" / "nb.ipynb", "open(run_dir + '/ok', 'w')", parameters=parameters)
    music = make_tones(project / "music", clips=2, seconds=0.5).root
    first = go("nb", folder="music")
    assert go("nb", folder="music").reused
    shutil.copy(music / "tone-000.wav", music / "tone-001.wav")
    second = go("nb", folder="music")
    assert second.folder != first.folder and second.record["parameters"]["folder"] == "music"
    assert go("nb", folder="nowhere").folder not in (first.folder, second.folder), "the notebook says what is missing"


def test_bad_parameters_and_names_are_refused_before_a_folder_exists(project):
    with pytest.raises(ConfigError, match="'step'.*'steps'"):
        go(step=1)
    with pytest.raises(RunError, match="'tinny'.*'tiny'"):
        go("tinny")
    for text in ("<<<<<<< HEAD\n{}", "[]", "{}", '{"nbformat": 9, "cells": []}', "\udce9"):
        (project / "notebooks" / "torn.ipynb").write_text(text, errors="surrogateescape")
        with pytest.raises(RunError, match=r"torn\.ipynb"):
            go("torn")
    assert not (project / "runs").exists()


def test_hostile_texts_and_paths_reach_the_notebook_unchanged(tmp_path, monkeypatch):
    folder = tmp_path / "mine {steps} it's"
    folder.mkdir()
    monkeypatch.chdir(folder)
    write_notebook(folder / "notebooks" / "tiny.ipynb", BODY, LAST)
    text = "a'b\"c\\n{x} <script>alert(1)</script>\n#\u2028é"
    done = go(words=text)
    assert done.metrics["summary"]["words"] == text
    assert done.folder.parent.parent == folder / "runs"


def test_a_failing_cell_is_told_and_kept(project):
    bad = "# the bad cell\nraise ValueError('\\x1b[31mred\\x1b[0m words')"
    write_notebook(project / "notebooks" / "bad.ipynb", BODY, bad, LAST)
    with pytest.raises(RunError, match=r"cell 4 \(# the bad cell\): ValueError: red words"):
        go("bad")
    [failed] = list_runs()
    assert failed.record["status"] == "failed"
    failure = failed.record["failure"]
    assert failure["error"] == "ValueError" and failure["message"] == "red words"
    assert failure["source"][0] == "# the bad cell" and failure["index"] == 4
    assert "red" in (failed.folder / "notebook.ipynb").read_text()
    with pytest.raises(RunError):
        go("bad")
    assert times_executed(failed.folder) == 2, "a failed run goes on in its folder"
    assert list_runs()[0].record["attempts"] == 2


def test_a_kernel_that_dies_is_told_with_the_cell_in_which_it_did(project):
    write_notebook(project / "notebooks" / "dies.ipynb", BODY, "# the last cell\nimport os\nos._exit(1)", LAST)
    with pytest.raises(RunError, match=r"cell \d \(# the last cell\): DeadKernelError: .*memory"):
        go("dies")
    assert list_runs()[0].record["status"] == "failed"


WAIT = "import time\nif not (folder / 'go').exists():\n    (folder / 'waiting').touch()\n    time.sleep(60)"


def start_waiting(project):
    """Start a run in its own process that waits in its second cell, and return both once it waits."""
    write_notebook(project / "notebooks" / "slow.ipynb", BODY, WAIT, LAST)
    command = [sys.executable, "-m", "slapkit", "run", "slow", "--quiet"]
    path = {"PYTHONPATH": os.path.dirname(os.path.dirname(cli.__file__))}
    # Tests that a shell runs in the background ignore Ctrl-C, and so would their children.
    heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    pipes = {"stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, cwd=project, env=os.environ | path, **pipes, **heard)
    end = time.monotonic() + 60
    while not (found := list(project.glob("runs/slow/*/waiting"))):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.05)
    return process, found[0].parent


@pytest.mark.slow
def test_a_killed_run_is_seen_and_continued_in_its_folder(project):
    process, folder = start_waiting(project)
    assert list_runs()[0].record["status"] == "running"
    process.kill()
    process.wait()
    assert json.loads((folder / "run.json").read_text())["status"] == "running"
    assert list_runs()[0].record["status"] == "killed"
    (folder / "go").touch()
    done = go("slow")
    assert done.folder == folder and done.record["attempts"] == 2 and times_executed(folder) == 2
    assert not records.process_alive(json.loads((folder / "run.json").read_text())["kernel"])


def interrupted(process):
    """Press Ctrl-C until the process has ended, for Python drops an interrupt that falls into a callback."""
    for _ in range(8):
        process.send_signal(signal.SIGINT)
        try:
            return process.communicate(timeout=20)[1]
        except subprocess.TimeoutExpired:
            continue
    process.kill()
    return process.communicate()[1]


@pytest.mark.slow
def test_the_same_run_at_the_same_time_is_refused(project):
    process, folder = start_waiting(project)
    try:
        with pytest.raises(RunError, match=f"process {process.pid}"):
            go("slow")
        with pytest.raises(RunError, match=f"process {process.pid}"):
            go("slow", force=True)
    finally:
        said = interrupted(process)
    assert process.returncode == 130 and said.splitlines()[-1].startswith("slapkit: interrupted")
    assert list_runs()[0].record["status"] == "interrupted"
    assert not records.process_alive(list_runs()[0].record["kernel"])


def test_the_command_parses_runs_lists_and_refuses(project, capsys):
    assert cli.main(["run", "tiny", "-p", "steps=7", "-p", "lr=1e-3"]) == 0
    said = capsys.readouterr()
    assert "steps: 7" in said.out and "lr: 0.001" in said.out
    assert "tiny:" in said.err and "warning" not in said.err.lower(), "progress and nothing else"
    assert said.err.startswith("slapkit: opening tiny ...\n")
    assert cli.main(["run", "tiny", "-p", "steps=7", "-p", "lr=0.001", "--quiet"]) == 0
    said = capsys.readouterr()
    assert "not run again" in said.out and not said.err
    assert cli.main(["runs"]) == 0
    assert "done" in capsys.readouterr().out
    assert cli.main(["run", "tiny", "--parameters"]) == 0
    assert "steps: int = 3  # how many" in capsys.readouterr().out
    for bad in ("step=7", "steps=x", "steps", "flag=maybe"):
        assert cli.main(["run", "tiny", "-p", bad]) == 1
        opening, *said = capsys.readouterr().err.splitlines()
        assert opening == "slapkit: opening tiny ..." and len(said) == 1 and said[0].startswith("slapkit: ")


def test_a_training_shows_its_steps_while_its_cell_runs(project, monkeypatch, capsys):
    monkeypatch.setattr("slapkit.runs.execute.PERIOD_S", 0.05)
    lines = [json.dumps({"step": step, "loss": loss, "time_s": step / 2}) for step, loss in ((20, 0.75), (40, None))]
    training = f"""
import time
for line in {lines!r}:
    with open(folder / "checkpoint" / "train.jsonl", "a") as file:
        file.write(line + chr(10))
    time.sleep(1)"""
    write_notebook(project / "notebooks" / "tiny.ipynb", BODY + training, LAST)
    run("tiny")
    assert capsys.readouterr().err.count("tiny: step 20, loss 0.750, 10 s") == 1
    go(force=True)
    assert "step 20" not in capsys.readouterr().err, "a quiet run says nothing"


def test_a_cache_shows_how_far_it_is_while_its_cell_runs(project, monkeypatch, capsys):
    monkeypatch.setattr("slapkit.runs.execute.PERIOD_S", 0.05)
    filling = """
import time
import numpy as np
from slapkit._rows import RowCache

def compute(missing):
    for key in missing:
        time.sleep(0.6)
        yield key, np.zeros((1, 2), "f4")

keys = [str(number) for number in range(4)] + ["0"]
RowCache(folder / "checkpoint" / "x.values", 2, "<f4").fill(keys, compute, what="Encoding", progress=False)"""
    write_notebook(project / "notebooks" / "tiny.ipynb", BODY + filling, LAST)
    done = run("tiny")
    said = [line for line in capsys.readouterr().err.splitlines() if "Encoding" in line]
    assert said[0] == "tiny: Encoding 1/4 clips" and len(said) > 1
    assert sorted(path.name for path in done.folder.iterdir() if path.name.startswith(".")) == [".lock"]


def test_a_quiet_run_reads_its_data_in_silence(project, monkeypatch, capsys):
    parameters = 'data: str = "data/a"  # folder\nrun_dir: str | None = None  # set'
    write_notebook(project / "notebooks" / "nb.ipynb", "open(run_dir + '/ok', 'w')", parameters=parameters)
    make_tones(project / "data" / "a", clips=2, seconds=1)

    def slow(path):
        time.sleep(1.2)  # bars wait for a second
        return sha256_file(path)

    monkeypatch.setattr("slapkit.data.dataset.sha256_file", slow)
    go("nb")
    assert not capsys.readouterr().err
    run("nb")
    assert "Reading audio files" in capsys.readouterr().err


def test_warnings_reach_the_terminal_also_of_a_run_that_is_not_run_again(project, capsys):
    parameters = 'data: str = "data/a"  # folder\nrun_dir: str | None = None  # set'
    training = "from slapkit.training.batches import fitted, TrainConfig\nfitted(TrainConfig(batch_size=64), 9, 1)"
    write_notebook(project / "notebooks" / "nb.ipynb", training, parameters=parameters)
    make_tones(project / "data" / "a", clips=8, seconds=1)
    assert cli.main(["run", "nb"]) == 0
    said = capsys.readouterr()
    assert "nb: the training split has 9 clips: batch_size=64 is lowered to 9" in said.err and "differ" not in said.out
    (project / "data" / "a" / "metadata.csv").write_text("file_name,caption\ntone-000.wav,corrected\n")
    assert cli.main(["run", "nb"]) == 0
    said = capsys.readouterr().out
    assert "not run again" in said and "metadata.csv: it is not read, metadata.jsonl is" in said and "differ" in said


def test_the_latest_runs_are_named_before_a_run_gets_its_id(project):
    parameters = 'runs: str = "latest"  # trained runs\nrun_dir: str | None = None  # set'
    write_notebook(
        project / "notebooks" / "look.ipynb", "open(run_dir + '/ok', 'w').write(runs)", parameters=parameters
    )
    with pytest.raises(RunError, match="slapkit run 02_train"):
        go("look")
    make_run(project, "one", "slap")
    first = go("look")
    assert first.record["parameters"]["runs"] == "runs/02_train/one" == (first.folder / "ok").read_text()
    make_run(project, "two", "clap", started="2026-01-02")
    second = go("look")
    assert second.record["parameters"]["runs"] == "runs/02_train/one,runs/02_train/two"
    assert second.folder != first.folder and go("look").reused and not go("look").note
    record = json.loads((project / "runs" / "02_train" / "one" / "run.json").read_text())
    (project / "runs" / "02_train" / "one" / "run.json").write_text(json.dumps(record | {"started": "2199-01-01"}))
    with pytest.warns(UserWarning, match="made before runs/02_train/one was run again"):
        assert go("look", runs="runs/02_train/one,runs/02_train/two").folder == second.folder


def test_runs_are_chosen_by_folder_or_as_the_latest_on_the_same_data(project, monkeypatch):
    folder = make_run(project, "one")
    for chosen in ("runs/02_train/gone", " , "):
        with pytest.raises(RunError, match=chosen):
            choose_runs(chosen)
    assert [f.resolve() for f in choose_runs("latest", data_fingerprint="abc")] == [folder]
    with pytest.raises(RunError, match="latest"):
        choose_runs("latest", data_fingerprint="other")
    monkeypatch.chdir(project / "notebooks")
    assert [f.resolve() for f in choose_runs("runs/02_train/one")] == [folder.resolve()]


def test_a_comma_in_the_name_of_a_folder_separates_nothing(tmp_path, monkeypatch):
    root = tmp_path / "Bach, J. S." / "1,2"
    runs = [make_run(root, name) for name in ("one", "two, three", "two")]
    named = f"{runs[0]}, {runs[1]},{runs[2]}"
    assert choose_runs(named) == runs
    data = [make_tones(root / "data" / name, clips=2, seconds=0.5).root for name in ("a", "b,c")]
    monkeypatch.chdir(root)
    assert [folder.resolve() for folder in data_folders("a, b,c")] == data
    assert data_folders(",".join(map(str, data))) == data
    with pytest.raises(DataError, match="no data set at .*x"):
        data_folders(",".join(["x" * 90] * 9))
    for empty in ("", " , "):
        with pytest.raises(DataError, match="names no folder"):
            data_folders(empty)


def test_what_differs_between_runs_is_named(tmp_path):
    one, two = make_run(tmp_path, "one"), make_run(tmp_path, "two", "clap")
    assert differences([one, two]) == []
    record = json.loads((two / "run.json").read_text())
    record["parameters"]["tau"] = 0.5
    record["code"] = {"models/losses.py": "changed"}
    (two / "run.json").write_text(json.dumps(record))
    said = differences([one, two])
    assert len(said) == 2 and "tau" in said[0] and "models/losses.py" in said[1]


def test_runs_of_a_sweep_are_no_candidates_until_asked_for_by_themselves(project):
    for name, objective in (("a", "slap"), ("b", "clap")):
        make_run(project, name, objective)
    for name, objective in (("c", "clap"), ("d", "siglip")):
        folder = make_run(project, name, objective, started="2026-02-01", steps=400)
        record = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps(record | {"sweep": True}))
    assert [f.name for f in choose_runs("latest")] == ["a", "b"]
    swept = sweep("tiny", [{"steps": 2}], progress=False).runs[0]
    assert swept.record["sweep"] is True
    assert go(steps=2).record["sweep"] is False and sweep("tiny", [{"steps": 2}], progress=False).runs[0].reused
    assert records.read_record(swept.folder)["sweep"] is False
