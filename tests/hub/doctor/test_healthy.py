"""A model that was really trained passes, with any probes; its page says so in every form."""

import json

import pytest

from slapkit import cli
from slapkit.hub.doctor import examine


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 3))])
def test_no_false_alarm(checkpoint, held_out, seed):
    sounds, captions = held_out
    found = examine(checkpoint, sounds=sounds, captions=captions, seed=seed, progress=False)
    assert {check.name: check.words for check in found.checks if check.verdict != "pass"} == {}
    assert found.verdict == "pass" and len(found.checks) == 18


def test_without_data_or_signature_some_things_cannot_be_told(loaded):
    before = {name: value.clone() for name, value in loaded.joint.state_dict().items()}
    found = examine(loaded, progress=False)
    assert found.verdict == "pass"
    untold = {check.name for check in found.checks if check.verdict == "unknown"}
    as_saved = {"front end as saved", "audio tower as saved", "text tower as saved"}
    assert untold == as_saved | {"feature level", "matched pairs"}
    assert all(value.equal(before[name]) for name, value in loaded.joint.state_dict().items()), "left as it was found"


def test_command(checkpoint, tones, tmp_path, capsys):
    page = tmp_path / "page.html"
    options = ["--data", str(tones.root), "--json", "--quiet", "--html", str(page)]
    assert cli.main(["doctor", str(checkpoint), *options]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["verdict"] == "pass" and len(printed["checks"]) == 18
    assert {check["name"]: check["figure"] for check in printed["checks"]}["matched pairs"] > 0.6
    assert page.read_text(encoding="utf-8").count("<tr>") == 18 + 1, "a row for each check, and the head"
    assert cli.main(["doctor", str(tmp_path), "--quiet"]) == 1
    assert "holds no trained model" in " ".join(capsys.readouterr().out.split())
