"""The notebooks: committed without outputs, built as the house style says, and executed with smoke parameters."""

import ast
import importlib
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import nbformat
import numpy as np
import pytest
import torch

import slapkit
from slapkit import data
from slapkit._io import sha256_file
from slapkit.errors import RunError
from slapkit.metrics.evaluate import evaluate
from slapkit.metrics.summary import main_figures
from slapkit.runs import claims
from slapkit.runs.parameters import notebook_parameters
from slapkit.training.config import TrainConfig
from slapkit.viz.maps import Map
from tests.hub.checkpoints.published_files import laion_names, make_clap, save_tokenizer
from tests.notebooks.conftest import ROOT, SMOKE, code, execute
from tests.training.tones import make_tones

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PLOTLY = "application/vnd.plotly.v1+json"


def figures(outputs):
    """Every plotly figure in the outputs, by its title."""
    drawn = [o.data[PLOTLY] for o in outputs if o.output_type == "display_data" and PLOTLY in o.data]
    return {figure["layout"]["title"]["text"]: figure for figure in drawn}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_question_short_cells_explained_parameters_and_no_outputs(path):
    node = nbformat.read(path, as_version=4)
    nbformat.validate(node)
    assert all(not c.outputs and c.execution_count is None for c in code(node))
    command = [sys.executable, "-m", "nbstripout", "--verify", "--keep-id", str(path)]
    assert subprocess.run(command, capture_output=True).returncode == 0
    first = node.cells[0].source
    assert first.startswith("# ") and first.splitlines()[0].endswith("?")
    assert re.search(r"^Takes .*(minute|second)", first, re.MULTILINE)
    for cell in code(node):
        assert len(cell.source.splitlines()) <= 15 + (cell is node.cells[1]), cell.source
        assert not re.search(r"^\s*(def|class) ", cell.source, re.MULTILINE), "library code"
        ast.parse(cell.source)
    ids = [cell.id for cell in node.cells]
    assert len(set(ids)) == len(ids) and all(re.fullmatch(r"[a-z-]+", i) for i in ids), "ids that diffs can be read by"
    assert "write_metrics" in node.cells[-1].source and "parameters" in node.cells[1].metadata.tags
    declared = notebook_parameters(node, path.stem)
    assert list(declared)[-1] == "run_dir" and {"seed", "data"} <= set(declared)
    assert all(p.comment for p in declared.values())
    if path.stem == "02_train":
        assert set(declared) - {"data", "shares", "preset", "tokenizer", "seeds", "run_dir"} <= set(
            TrainConfig.__dataclass_fields__
        )
        for key in ("objective", "device"):
            assert [TrainConfig(**{key: choice}) for choice in declared[key].choices]


@pytest.mark.slow
@pytest.mark.parametrize(("objective", "loss_at_most"), [("slap", 4.0), ("clap", 4.2)])
def test_training_leaves_its_measures_figures_and_model(project, objective, loss_at_most):
    done, outputs, pages = execute(project, "02_train", objective=objective, **SMOKE)
    assert pages == ["effective-rank", "gap", "loss", "recall", "retrieval-audio_to_text", "retrieval-text_to_audio"]
    rows = [json.loads(line) for line in (done.folder / "checkpoint" / "train.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows if "loss" in row]
    assert rows[-1]["step"] == 12 and all(math.isfinite(v) and 0 <= v <= loss_at_most for v in losses)
    for scores in (done.metrics["retrieval"][k][d] for k in "qz" for d in ("text_to_audio", "audio_to_text")):
        assert 0 <= scores["R@1"] <= scores["R@5"] <= scores["R@10"] <= 1 and 0 < scores["median_rank"] <= 1
    assert 0 <= done.metrics["gap"]["centroid_distance"] <= 2 and 0 <= done.metrics["gap"]["linear_separability"] <= 1
    protocol = done.metrics["protocol"]
    assert protocol["split"] == "test" and protocol["queries"] >= 5 * protocol["candidates"] >= 50
    assert done.record["seed"] == 0 and len(done.record["data_fingerprint"]) == 64
    assert len(figures(outputs)) == 6
    assert slapkit.load(done.folder, device="cpu").embed_text(["a tone"]).shape == (1, 256)


@pytest.mark.slow
def test_seeds_are_trained_apart_and_all_together_are_the_runs_model(project):
    one, *_ = execute(project, "02_train", objective="slap", **SMOKE)
    two, *_ = execute(project, "02_train", objective="slap", **SMOKE | {"seeds": 2})
    assert len({sha256_file(run.folder / "checkpoint" / "model.safetensors") for run in (one, two)}) == 1
    apart = ("training", "seeds", "together")
    first, both = ({k: v for k, v in run.metrics.items() if k not in apart} for run in (one, two))
    assert first == both and not one.metrics.keys() & {"seeds", "together"}
    dataset, other = data.read(project / "data" / "scores-smoke"), slapkit.load(two.folder / "seeds" / "1")
    second = evaluate(other, dataset, cache_dir=project / "data" / "cache", progress=False)
    recalls = [found["retrieval"]["q"]["text_to_audio"]["R@10"] for found in (first, second)]
    spread = [two.metrics["seeds"][name]["retrieval"]["q"]["text_to_audio"]["R@10"] for name in ("mean", "min", "max")]
    assert spread == pytest.approx([np.mean(recalls), min(recalls), max(recalls)]) and recalls[0] != recalls[1]
    whole, alone = slapkit.load(two.folder), slapkit.load(two.folder / "checkpoint")
    words = ["slow flute", "drums"]
    members = np.stack([model.embed_text(words) for model in (alone, other)])
    assert whole.dim == 2 * alone.dim and not (one.folder / "together").exists()
    cosine, each = whole.embed_text(words)[0] @ whole.embed_text(words)[1], (members[:, 0] * members[:, 1]).sum(1)
    assert each.min() - 0.02 <= cosine <= each.max() + 0.02
    found = evaluate(whole, dataset, cache_dir=project / "data" / "cache", progress=False)
    assert found["retrieval"] == two.metrics["together"]["retrieval"]
    assert any("the seeds together" in line for line in main_figures(two.record, two.metrics))


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


def clips_of(project) -> int:
    """Clips of the corpus: 120, and those of the split "shift" where a third SoundFont is installed."""
    splits = data.read(project / "data" / "scores-smoke").splits
    assert sum(splits.values()) - splits.get("shift", 0) == 120
    return sum(splits.values())


@pytest.mark.slow
def test_the_corpus_shows_its_facts_and_its_clean_splits(project):
    done, outputs, pages = execute(project, "01_corpus", listen=2)
    summary = done.metrics["summary"]
    assert summary["clips"] == clips_of(project) and summary["captions"] >= 600
    assert summary["works_in_two_splits"] == 0 and summary["caption_frames_of_test_in_train"] == 0
    assert pages == ["instruments", "log-mel", "style", "tempo", "tempo_class"]
    styles = next(f for title, f in figures(outputs).items() if "styles" in title)
    assert sum(styles["data"][0]["x"]) == clips_of(project), "every clip has one style"
    assert (done.folder / "notebook.ipynb").stat().st_size < 2_000_000


@pytest.mark.slow
def test_a_data_set_without_facts_is_shown_trained_on_and_explored(project):
    done, outputs, pages = execute(project, "01_corpus", data="tones", listen=3)
    assert done.metrics["summary"]["captions"] == 120 and pages == ["log-mel"]
    html = "".join(str(o.get("data", {}).get("text/html", "")) for o in outputs)
    assert html.count("data:audio/wav;base64,") == 3
    trained = {o: execute(project, "02_train", data="tones", objective=o, **SMOKE)[0] for o in ("slap", "clap")}
    done, outputs, pages = execute(project, "03_explore", data="tones")
    assert done.metrics["summary"]["points"] == 30
    for objective, before in trained.items():
        assert str(before.folder.relative_to(project)) in done.record["parameters"]["runs"]
        found = done.metrics["gap"][objective]["as_trained"]
        assert found["centroid_distance"] == pytest.approx(before.metrics["gap"]["centroid_distance"], abs=1e-6)
        assert found["retrieval"] == before.metrics["retrieval"]["q"]
        key = done.metrics["maps"][objective.upper()]["key"]
        kept = Map.load(project / "data" / "cache" / "maps" / f"{objective}-q-2d-{key[:16]}.safetensors")
        assert len(kept) == 30 and np.isfinite(kept.coordinates).all() and kept.config.seed == 0
        assert key == kept.key
    assert set(pages) == {"map", "worst", "sentence", "recentring", "cosines", "spectra"}
    assert "data:audio" not in json.dumps(outputs) and (done.folder / "notebook.ipynb").stat().st_size < 7_000_000
    assert (done.folder / "map.html").read_text().count('"title": "tone-') == 10


@pytest.mark.slow
def test_several_data_sets_are_trained_on_at_once_and_measured_apart(project):
    mine = data.read(project / "data" / "tones")
    shutil.copytree(mine.root, project / "data" / "mine")
    rows = [{"file_name": c.id, "captions": c.captions, "split": c.split, "source": "musicnn"} for c in mine]
    lines = (json.dumps(row) + "\n" for row in rows)
    (project / "data" / "mine" / "metadata.jsonl").write_text("".join(lines))
    both = f"scores-smoke,{project / 'data' / 'mine'}"
    done, outputs, _ = execute(project, "02_train", data=both, shares="3,1", objective="slap", **SMOKE)
    assert done.record["parameters"]["data"] == "data/scores-smoke,data/mine"
    assert "scores-smoke-mine" in done.folder.name
    assert done.metrics["protocol"]["data"] == "scores-smoke" and {*done.metrics["data_sets"]} == {"mine"}
    found = done.metrics["data_sets"]["mine"]["protocol"]
    note = "a model (musicnn) wrote the captions of "
    assert found["candidates"] == mine.splits["test"] and note in found["captions_by"]
    assert note in done.record["data_note"] and note in slapkit.load(done.folder).note
    printed = "".join(o.text for o in outputs if o.output_type == "stream")
    assert "on mine, text to audio" in printed and "scores-smoke 75 %, mine 25 %" in printed


@pytest.mark.slow
def test_a_run_that_starts_from_another_is_named_after_it_and_says_what_it_kept(project):
    given = SMOKE | {"data": "tones", "preset": "tiny", "steps": 2}
    first, *_ = execute(project, "02_train", objective="slap", **given)
    done, outputs, _ = execute(project, "02_train", objective="clap", init=str(first.folder), **given | {"seeds": 2})
    assert done.folder.name.startswith("tones-clap-tiny-steps2-") and "-seeds2-from-tones-slap-" in done.folder.name
    assert json.loads((done.folder / "checkpoint" / "config.json").read_text())["train"]["lr"] == 1e-4
    said = f"started from {first.folder}: kept audio encoder, text encoder, audio projector, text projector; drawn "
    printed = "".join(o.text for o in outputs if o.output_type == "stream")
    assert printed.count(said) == 1 and done.metrics["start"].startswith(said)
    assert [line for line in main_figures(done.record, done.metrics) if line.startswith(f"CLAP: {said}")]
    known = done.metrics["before_and_after"]["tones"]
    assert not known["own"] and known["after"]["retrieval"] == done.metrics["retrieval"]
    assert known["before"]["retrieval"] == first.metrics["retrieval"], "two steps of the start itself"


@pytest.mark.slow
def test_what_a_start_forgot_is_measured_on_its_own_data(project, tmp_path):
    given = SMOKE | {"preset": "tiny", "steps": 2}
    first, *_ = execute(project, "02_train", objective="slap", **given)
    make_tones(tmp_path / "mine", clips=24, seconds=3)
    start = str(first.folder / "checkpoint")
    done, outputs, _ = execute(
        project, "02_train", objective="slap", init=start, **given | {"data": str(tmp_path / "mine")}
    )
    own, mine = (done.metrics["before_and_after"][name] for name in ("scores-smoke", "mine"))
    assert own["own"] and not mine["own"] and own["before"]["retrieval"] == first.metrics["retrieval"]
    assert own["after"]["protocol"]["candidates"] == first.metrics["protocol"]["candidates"]
    printed = "".join(o.text for o in outputs if o.output_type == "stream")
    assert "on scores-smoke, which the start was trained on, text to audio" in printed


@pytest.mark.slow
def test_a_run_starts_from_a_published_file_with_its_tokenizer(project, tmp_path):
    torch.save(laion_names(make_clap(audio={"spec_size": 128})), tmp_path / "clap.pt")
    given = SMOKE | {"data": "tones", "preset": "tiny", "steps": 2, "init": str(tmp_path / "clap.pt")}
    with pytest.raises(RunError, match="-p tokenizer=FOLDER"):
        execute(project, "02_train", objective="clap", **given)
    words = save_tokenizer(tmp_path / "words", words=400)
    done, *_ = execute(project, "02_train", objective="clap", tokenizer=str(words), **given)
    assert "-from-clap.pt-" in done.folder.name and "drawn anew: nothing" in done.metrics["start"]


@pytest.mark.slow
def test_music_is_searched_in_a_corpus_and_in_a_folder_of_ones_own(project):
    for objective in ("slap", "clap"):
        execute(project, "02_train", objective=objective, **SMOKE)
    done, outputs, pages = execute(project, "04_search", k=5, query="slow flute")
    summary = done.metrics["summary"]
    assert (
        summary["tracks"] == clips_of(project)
        and summary["models"] == ["SLAP", "CLAP"]
        and summary["failed_files"] == 0
    )
    assert 0 < summary["search_ms"] < 1000
    for scores in (done.metrics["marks"][kind] for kind in "qz"):
        assert scores["before"] == scores["after"], "nothing is marked yet"
        assert 0 <= scores["before"]["R@1"] <= scores["before"]["R@10"] <= 1
    assert done.metrics["queries"][0] == "slow flute"
    assert set(pages) <= {"asked-for"} and len(figures(outputs)) == len(pages)
    searches = (done.folder / "searches.html").read_text(encoding="utf-8")
    assert "drums" not in done.folder.name
    assert searches.count("<section>") == 10 and "disabled" not in searches.split("<main>")[1]
    assert (done.folder / "notebook.ipynb").stat().st_size < 1_000_000
    shown = [o.get("data", {}) for o in outputs]
    assert sum("application/vnd.jupyter.widget-view+json" in data for data in shown) == 2, "the bench and the errors"
    assert any("score_percentile" in data.get("text/html", "") for data in shown)
    make_tones(project / "music", clips=12, seconds=3)
    (project / "music" / "metadata.jsonl").unlink()
    own = {"folder": str(project / "music"), "hear": True, "query": "a high tone", "k": 3}
    done, outputs, pages = execute(project, "04_search", **own)
    assert done.metrics["summary"]["tracks"] == 12 and pages == []
    assert "among the 12 tracks of this folder" in "".join(o.get("text", "") for o in outputs)


@pytest.mark.slow
def test_a_run_is_measured_as_it_measured_itself_and_only_once(project, monkeypatch):
    done, *_ = execute(project, "02_train", objective="slap", **SMOKE)
    dataset = data.read(project / "data" / "scores-smoke")
    given = {"cache_dir": project / "data" / "cache", "detail": True, "epochs": 5, "least": 1}
    found = claims.measure(done, dataset, **given)
    for kind in ("q", "z"):
        for way in ("text_to_audio", "audio_to_text"):
            told = done.metrics["retrieval"][kind][way]
            for name in ("R@1", "R@5", "R@10", "mean_rank"):
                assert found[f"{kind}.{way}.{name}"].value == pytest.approx(told[name], abs=1e-6)
    gap = done.metrics["gap"]
    assert found["q.distance"].value == pytest.approx(gap["centroid_distance"], abs=1e-6)
    assert found["q.separability"].value == pytest.approx(gap["linear_separability"])
    assert found["q.effective_rank"].value == pytest.approx(done.metrics["health"]["effective_rank"], rel=1e-4)
    assert found["space.trained.distance"].value == found["q.distance"].value
    assert abs(found["space.recentred.unmatched"].value) < 0.1 < found["space.trained.unmatched"].value
    for name in (
        "zero.style.accuracy.best",
        "zero.tags.mAR.ensemble",
        "probe.mlp.instruments.mAP",
        "probe.linear.style.accuracy",
    ):
        assert 0 <= found[name].value <= 1
    assert found["zero.style.accuracy.best"].value >= found["zero.style.accuracy.mean"].value
    works = {clip.group for clip in dataset.split("test")}
    assert set(np.unique(found["q.text_to_audio.R@1"].groups)) == set(range(len(works)))
    module = importlib.import_module("slapkit.runs.claims.measure")  # the package calls its function so, too
    with monkeypatch.context() as patch:
        patch.setattr(module, "embed_run", lambda *a, **k: pytest.fail("measured again"))
        again = claims.measure(done, dataset, **given)
    assert again.card == found.card and again.figures.keys() == found.figures.keys()
    for name, figure in found.figures.items():
        assert again[name].value == figure.value and again[name].about == figure.about
        assert figure.units is None or np.array_equal(again[name].units, figure.units)
    styles = [clip.facts["style"] for clip in dataset]
    corrected = dataset.with_clips(
        replace(clip, facts=clip.facts | {"style": style}) for clip, style in zip(dataset, styles[1:] + styles[:1])
    )
    other = claims.measure(done, corrected, **given)
    changed = {name for name in found.figures if other[name].value != found[name].value}
    assert {name.split(".")[0] for name in changed if "style" in name} >= {"zero", "probe"}, "corrected labels count"
    assert not any(name.startswith(("q.", "z.")) for name in changed)
