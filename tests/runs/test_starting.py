"""The data that a start was trained on: that of its own project, and only as it was."""

import json
import shutil

import pytest

from slapkit.runs.starting import _own_data
from tests.training.tones import make_tones


@pytest.fixture
def run(tmp_path):
    """A run in a project with a data set, beside another project with other data of the same name."""
    dataset = make_tones(tmp_path / "one" / "data" / "tones", clips=12, seconds=0.5)
    make_tones(tmp_path / "other" / "data" / "tones", clips=6, seconds=0.5)
    folder = tmp_path / "one" / "runs" / "02_train" / "slap"
    (folder / "seeds" / "1").mkdir(parents=True)
    (folder / "checkpoint").mkdir()
    record = {"status": "done", "parameters": {"data": "data/tones"}, "data_fingerprint": dataset.fingerprint}
    (folder / "run.json").write_text(json.dumps(record))
    return folder


@pytest.mark.parametrize("place", [".", "checkpoint", "seeds/1"])
def test_the_data_is_that_of_the_starts_project(run, tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path / "other")
    [own] = _own_data(run / place)
    assert len(own) == 12


def test_data_that_was_changed_or_is_gone_is_not_the_starts(run):
    table = next((run.parents[2] / "data" / "tones").glob("metadata.*"))
    text = table.read_text()
    table.write_text(text.replace("pulse", "pulses", 1) if "pulse" in text else text.splitlines(True)[0] * 2)
    assert _own_data(run) == []
    shutil.rmtree(run.parents[2] / "data")
    assert _own_data(run) == [] == _own_data(run.parents[2])
