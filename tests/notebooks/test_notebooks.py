"""The notebooks: committed without outputs, built as the house style says, and executed with smoke parameters."""

from __future__ import annotations

import ast
import json
import math
import os
import re
import signal
import subprocess
import sys
import time

import nbformat
import pytest

from slapkit._io import sha256_file
from slapkit.runs.parameters import notebook_parameters
from slapkit.training.config import TrainConfig
from tests.notebooks.conftest import ROOT, SMOKE, code, execute, shown_figures

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda p: p.stem)
def notebook(request):
    node = nbformat.read(request.param, as_version=4)
    nbformat.validate(node)
    return request.param.stem, node


def test_committed_without_outputs(notebook):
    name, node = notebook
    assert all(not c.outputs and c.execution_count is None for c in code(node))
    command = [sys.executable, "-m", "nbstripout", "--verify", "--keep-id", str(ROOT / "notebooks" / f"{name}.ipynb")]
    assert subprocess.run(command, capture_output=True).returncode == 0


def test_a_question_short_cells_and_explained_parameters(notebook):
    name, node = notebook
    first = node.cells[0].source
    assert first.startswith("# ") and first.splitlines()[0].endswith("?")
    assert re.search(r"^Takes .*(minute|second)", first, re.MULTILINE)
    for cell in code(node):
        assert len(cell.source.splitlines()) <= 15, cell.source
        tree = ast.parse(cell.source)
        assert not any(isinstance(n, ast.FunctionDef | ast.ClassDef) for n in ast.walk(tree)), "library code"
    ids = [cell.id for cell in node.cells]
    assert len(set(ids)) == len(ids) and all(re.fullmatch(r"[a-z-]+", i) for i in ids), "ids that diffs can be read by"
    assert "write_metrics" in node.cells[-1].source
    declared = notebook_parameters(node, name)
    assert list(declared)[-1] == "run_dir" and {"seed", "data"} <= set(declared)
    assert all(p.comment for p in declared.values())
    assert "parameters" in node.cells[1].metadata.tags


def test_the_training_notebook_takes_what_the_trainer_takes():
    node = nbformat.read(ROOT / "notebooks" / "02_train.ipynb", as_version=4)
    declared = notebook_parameters(node)
    fields = TrainConfig.__dataclass_fields__
    assert {"objective", "steps", "batch_size", "micro_batch", "lr", "tau", "lam", "seed", "device"} <= set(declared)
    for name in set(declared) - {"data", "preset", "run_dir"}:
        assert name in fields
    for name in ("objective", "device"):
        for choice in declared[name].choices:
            TrainConfig(**{name: choice})


@pytest.mark.slow
@pytest.mark.parametrize(("objective", "loss_at_most"), [("slap", 4.0), ("clap", 4.2)])
def test_training_leaves_its_measures_figures_and_model(project, objective, loss_at_most):
    import slapkit

    done, executed, pages = execute(project, "02_train", objective=objective, **SMOKE)
    assert pages == ["effective-rank", "gap", "loss", "recall", "retrieval-audio_to_text", "retrieval-text_to_audio"]
    rows = [json.loads(line) for line in (done.folder / "checkpoint" / "train.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] == SMOKE["steps"]
    losses = [row["loss"] for row in rows if "loss" in row]
    assert all(math.isfinite(v) and 0 <= v <= loss_at_most for v in losses)
    for scores in (done.metrics["retrieval"][k][d] for k in "qz" for d in ("text_to_audio", "audio_to_text")):
        assert 0 <= scores["R@1"] <= scores["R@5"] <= scores["R@10"] <= 1 and 0 < scores["median_rank"] <= 1
    assert 0 <= done.metrics["gap"]["centroid_distance"] <= 2 and 0 <= done.metrics["gap"]["linear_separability"] <= 1
    protocol = done.metrics["protocol"]
    assert protocol["split"] == "test" and protocol["queries"] >= 5 * protocol["candidates"] >= 50
    assert done.record["seed"] == 0 and len(done.record["data_fingerprint"]) == 64
    figures = shown_figures(executed)
    loss = next(f for title, f in figures.items() if "oss" in title)
    assert len(figures) == 6
    assert len(loss["data"]) == 1 and "bdata" in str(loss["data"][0]["y"]) or len(loss["data"][0]["y"]) == len(losses)
    assert slapkit.load(done.folder, device="cpu").embed_text(["a tone"]).shape == (1, 256)


@pytest.mark.slow
def test_looking_at_the_score_corpus_shows_its_facts_and_its_clean_splits(project):
    done, executed, pages = execute(project, "01_corpus", listen=2)
    summary = done.metrics["summary"]
    assert summary["clips"] == 120 and summary["captions"] >= 600
    assert summary["works_in_two_splits"] == 0 and summary["caption_frames_of_test_in_train"] == 0
    assert pages == ["instruments", "log-mel", "style", "tempo", "tempo_class"]
    drawn = shown_figures(executed)
    styles = next(f for title, f in drawn.items() if "styles" in title)
    assert sum(styles["data"][0]["x"]) == 120, "every clip has one style"
    assert (done.folder / "notebook.ipynb").stat().st_size < 2_000_000


@pytest.mark.slow
def test_a_data_set_without_facts_works(project):
    done, executed, pages = execute(project, "01_corpus", data="tones", listen=3)
    assert done.metrics["summary"]["captions"] == 120 and pages == ["log-mel"]
    html = "".join(str(o.get("data", {}).get("text/html", "")) for c in code(executed) for o in c.outputs)
    assert html.count("data:audio/wav;base64,") == 3


@pytest.mark.slow
def test_a_run_killed_in_training_goes_on_and_ends_with_the_same_weights(project):
    whole, *_ = execute(project, "02_train", objective="slap", **SMOKE)
    command = [sys.executable, "-m", "slapkit", "run", "02_train", "--quiet", "--runs-dir", "cut"]
    command += [
        word for name, value in {"data": "data/scores-smoke", **SMOKE}.items() for word in ("-p", f"{name}={value}")
    ]
    process = subprocess.Popen(command, cwd=project, stdout=subprocess.DEVNULL, start_new_session=True)
    end = time.monotonic() + 120
    while not any(p.read_text() for p in project.glob("cut/02_train/*/checkpoint/train.jsonl")):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    subprocess.run(command, cwd=project, stdout=subprocess.DEVNULL, check=True, timeout=200)
    [folder] = (project / "cut" / "02_train").iterdir()
    assert json.loads((folder / "run.json").read_text())["attempts"] == 2
    for name in ("checkpoint/model.safetensors", "checkpoint/config.json"):
        assert sha256_file(folder / name) == sha256_file(whole.folder / name)
