"""The report: the right runs side by side, every run listed, nothing of a run's texts becomes markup."""

import json
import shutil
from urllib.parse import unquote

import nbformat
import numpy as np
import pytest
from bs4 import BeautifulSoup

import slapkit
from slapkit.metrics.evaluate import evaluate
from slapkit.metrics.summary import over_seeds
from slapkit.runs import differences, list_runs
from slapkit.runs.report import comparable, intervals, table, write_report
from tests.training.tones import make_tones, run, tiny

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


def scores(recall):
    return {"R@1": recall / 5, "R@5": recall / 2, "R@10": recall, "median_rank": 0.05, "mean_rank": 0.1}


def make_run(root, name, objective="slap", *, recall=0.8, gap=0.07, status="done", started="2026-01-01", **parameters):
    """Write the folder of a run as the runner leaves it."""
    folder = root / "runs" / "02_train" / name
    (folder / "checkpoint").mkdir(parents=True)
    both = {"text_to_audio": scores(recall), "audio_to_text": scores(recall)}
    metrics = {
        "retrieval": {"q": both, "z": both},
        "gap": {"centroid_distance": gap, "linear_separability": 0.6},
        "health": {"effective_rank": 20.0},
        "protocol": {"candidates": 300, "queries": 1500, "split": "test"},
        "training": {"steps": 5, "time_s": 12.0},
    }
    record = {
        "status": status, "notebook": "02_train", "id": name, "data_fingerprint": "abc", "commit": None, "dirty": None,
        "parameters": {"objective": objective, "data": "d", "steps": 5, **parameters}, "packages": {"torch": "2"},
        "machine": {"cpu": HOSTILE, "cores": 2, "memory_bytes": 8 * 2**30, "accelerators": []}, "seed": 0,
        "process": None, "attempts": 1, "started": started, "finished": started, "wall_s": 20.0, "failure": None,
    }  # fmt: skip
    if status == "failed":
        record["failure"] = {"index": 3, "source": [HOSTILE], "error": "ValueError", "message": HOSTILE}
    else:
        (folder / "metrics.json").write_text(json.dumps(metrics))
    rows = [{"step": s, "loss": 1 / s, "validation": {"R@10": s / 10, "effective_rank": s}} for s in (1, 5)]
    (folder / "checkpoint" / "train.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows) + '{"step": 6, "lo')
    (folder / "run.json").write_text(json.dumps(record))
    cell = nbformat.v4.new_code_cell("1 + 1", outputs=[nbformat.v4.new_output("stream", text=HOSTILE)])
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), folder / "notebook.ipynb")
    return folder


def tags_and_text(page):
    soup = BeautifulSoup(page.read_text(), "html.parser")
    return [tag.name for tag in soup.find_all()], soup.get_text()


def test_the_newest_runs_that_differ_in_objective_alone_stand_side_by_side(tmp_path):
    make_run(tmp_path, "a", "clap", started="2026-01-01")
    make_run(tmp_path, "b", "slap", started="2026-01-02")
    make_run(tmp_path, "c", "clap", started="2026-01-03", recall=0.6, gap=0.12)
    make_run(tmp_path, "d", "slap", started="2026-01-04", tau=0.5)
    make_run(tmp_path, "e", "siglip", started="2026-01-05", status="failed")
    chosen = comparable(list_runs(tmp_path / "runs"))
    assert [r.folder.name for r in chosen] == ["b", "c"]
    rows = {row["what"]: row for row in table(chosen)}
    recall = rows["Text to audio R@10"]
    assert [c["text"] for c in recall["cells"]] == ["80.0 %", "60.0 %"] and recall["difference"] == "+20.0 points"
    assert [c["best"] for c in recall["cells"]] == [True, False]
    distance = rows["Distance of the centroids"]
    assert distance["difference"] == "−0.050" and [c["best"] for c in distance["cells"]] == [True, False]


@pytest.mark.parametrize(("other", "shown"), [(0.8004, "±0.0 points"), (0.8, "±0.0 points"), (0.801, "−0.1 points")])
def test_a_difference_that_rounds_to_nothing_has_no_sign(tmp_path, other, shown):
    make_run(tmp_path, "a", "slap", started="2026-01-01", recall=0.8)
    make_run(tmp_path, "b", "clap", started="2026-01-02", recall=other)
    rows = {row["what"]: row for row in table(comparable(list_runs(tmp_path / "runs")))}
    assert rows["Text to audio R@10"]["difference"] == shown


def test_a_run_of_several_seeds_shows_their_mean_and_range(tmp_path):
    found, folder = {}, make_run(tmp_path, "slap", recall=0.6)
    for seed, recall in enumerate((0.6, 0.9, 0.6)):
        found[seed] = {"retrieval": {"q": {"text_to_audio": scores(recall)}}, "gap": {}, "protocol": {"seed": seed}}
        found[seed] |= {"registers": {"sentence": {"R@10": recall}} if seed else {}, "health": {"embedding_std": None}}
    metrics = json.loads((folder / "metrics.json").read_text()) | {"seeds": over_seeds(found)}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    assert metrics["seeds"]["seeds"] == [0, 1, 2] and "protocol" not in metrics["seeds"]["mean"]
    assert metrics["seeds"]["max"]["registers"] == metrics["seeds"]["max"]["health"] == {}, "numbers of all seeds alone"
    rows = {row["what"]: row["cells"][0]["text"] for row in table(list_runs(tmp_path / "runs"))}
    assert rows["Text to audio R@10"] == "70.0 % (60.0 % to 90.0 %)" and rows["Audio to text R@10"] == "60.0 %"
    page, lines = write_report(tmp_path / "runs")
    assert "seeds 0, 1, 2" in lines[0] and any("R@10 70.0 % (60.0 % to 90.0 %)" in line for line in lines)
    assert "seeds 0, 1, 2" in page.read_text()


def test_equal_figures_of_seeds_have_themselves_as_mean():
    found = over_seeds({seed: {"retrieval": {"median_rank": 0.1}} for seed in range(3)})  # 0.1 + 0.1 + 0.1 is no 0.3
    assert found["mean"] == found["min"] == found["max"] == {"retrieval": {"median_rank": 0.1}}


def test_differences_stand_with_their_intervals_over_works_and_seeds(tmp_path, monkeypatch, capsys):
    make_tones(tmp_path / "other" / "data" / "tones", clips=6, seconds=1)
    monkeypatch.chdir(tmp_path / "other")  # a project with other data of that name
    dataset, cache = make_tones(tmp_path / "data" / "tones", clips=36, seconds=1), tmp_path / "data" / "cache"
    recalls = {}
    for objective in ("slap", "clap"):
        folder = make_run(tmp_path, objective, objective, data="data/tones", seed=4)
        record = json.loads((folder / "run.json").read_text()) | {"data_fingerprint": dataset.fingerprint}
        (folder / "run.json").write_text(json.dumps(record))
        for seed, place in ((4, folder / "checkpoint"), (5, folder / "seeds" / "5")):
            run(tiny({"objective": objective, "seed": seed}), dataset, place, cache)
            found = evaluate(slapkit.load(place), dataset, cache_dir=cache, progress=False)
            recalls[objective, seed] = found["retrieval"]["q"]["text_to_audio"]["R@5"]
        shutil.copytree(folder / "seeds" / "5", folder / "seeds" / "5 (copy)")
    known, none = intervals(comparable(list_runs(tmp_path / "runs")))
    assert "Measuring SLAP" in capsys.readouterr().err
    found = known["retrieval", "q", "text_to_audio", "R@5"]
    apart = [recalls["slap", seed] - recalls["clap", seed] for seed in (4, 5)]
    assert not none and found.difference == pytest.approx(np.mean(apart)) and found.low < found.difference < found.high
    assert ("gap", "centroid_distance") in known and ("health", "effective_rank") in known
    page, _ = write_report(tmp_path / "runs", progress=False)
    assert not capsys.readouterr().err
    low = f"{100 * abs(found.low):.1f} to "
    assert low in tags_and_text(page)[1] and "95 % over works and seeds" in page.read_text()
    weights = (folder / "seeds" / "5" / "model.safetensors").rename(tmp_path / "kept")
    page, _ = write_report(tmp_path / "runs", progress=False)
    assert "without intervals: " in page.read_text() and "model.safetensors" in tags_and_text(page)[1]
    weights.rename(folder / "seeds" / "5" / "model.safetensors")
    (tmp_path / "data" / "tones" / "metadata.jsonl").write_text('{"file_name": "tone-000.wav", "caption": "other"}')
    page, _ = write_report(tmp_path / "runs")
    assert "without intervals: data/tones is not what it was" in page.read_text() and low not in page.read_text()


def test_the_page_is_whole_and_its_links_lead_somewhere(tmp_path):
    make_run(tmp_path, "slap #1 100%", "slap")
    make_run(tmp_path, "clap", "clap")
    page, lines = write_report(tmp_path / "runs")
    assert page == tmp_path / "runs" / "index.html" and any("R@10 80.0 %" in line for line in lines)
    text = page.read_text()
    links = [tag["href"] for tag in BeautifulSoup(text, "html.parser").find_all("a")]
    assert len(links) >= 8
    for link in links:
        assert "://" not in link and (page.parent / unquote(link)).is_file()
    assert text.count('class="figure"') == 7
    assert 'src="http' not in text and "prefers-color-scheme" in text


def test_every_run_is_found_from_a_folder_of_the_project_and_listed_though_its_metrics_are_damaged(
    tmp_path, monkeypatch
):
    make_run(tmp_path, "whole")
    (make_run(tmp_path, "torn", started="2025-01-01") / "metrics.json").write_text('{"retrieval": ')
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert [(run.folder.name, bool(run.metrics)) for run in list_runs()] == [("torn", False), ("whole", True)]
    page, _ = write_report(progress=False)
    assert page == tmp_path / "runs" / "index.html" and "02_train / torn" in tags_and_text(page)[1]


def test_hostile_texts_stay_texts(tmp_path):
    make_run(tmp_path, "x", "slap", words=HOSTILE)
    make_run(tmp_path, "y", "clap", words=HOSTILE)
    make_run(tmp_path, "z", HOSTILE, words=HOSTILE)
    make_run(tmp_path, "f", status="failed")
    page, _ = write_report(tmp_path / "runs")
    tags, text = tags_and_text(page)
    assert tags.count("script") == 2 and "img" not in tags and HOSTILE in text, "shown as text"
    tags, text = tags_and_text(tmp_path / "runs/02_train/x/notebook.html")
    assert "img" not in tags and HOSTILE in text


def test_figures_of_the_other_notebooks_stand_below_their_question(tmp_path):
    make_run(tmp_path, "slap")
    for name, started in (("old", "2026-01-01"), ("new", "2026-01-02")):
        folder = tmp_path / "runs" / "03_explore" / name
        (folder / "figures").mkdir(parents=True)
        figure = {
            "data": [{"type": "scatter", "y": [1], "text": [HOSTILE]}],
            "layout": {"title": {"text": f"map {name}"}},
        }
        (folder / "figures" / "00-map.json").write_text(json.dumps(figure))
        record = json.loads((tmp_path / "runs" / "02_train" / "slap" / "run.json").read_text())
        record |= {"notebook": "03_explore", "id": name, "started": started, "parameters": {}}
        (folder / "run.json").write_text(json.dumps(record))
        (folder / "metrics.json").write_text(json.dumps({"summary": {"points": 3}}))
        cells = [nbformat.v4.new_markdown_cell(f"# Where is it {HOSTILE}?\n\nTakes a minute.")]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "notebook.ipynb")
        (folder / "map.html").write_text("<p>a map</p>")
    path, _ = write_report(tmp_path / "runs")
    [frame] = BeautifulSoup(path.read_text(), "html.parser").find_all("iframe")
    assert (path.parent / unquote(frame["src"])).read_text() == "<p>a map</p>" and frame["sandbox"] == ["allow-scripts"]
    assert "map new" in path.read_text() and "map old" not in path.read_text()
    tags, text = tags_and_text(path)
    assert "Where is it </script>" in text and "img" not in tags and tags.count("script") == 2


def test_captions_of_a_model_are_named_wherever_a_run_is_shown(tmp_path):
    folder = make_run(tmp_path, "a")
    record = json.loads((folder / "run.json").read_text())
    note = "a model (musicnn) wrote the captions of 7 of 9 clips"
    (folder / "run.json").write_text(json.dumps(record | {"data_note": note}))
    page, lines = write_report(tmp_path / "runs")
    assert f"SLAP: {note}" in lines and f"SLAP: {note}" in differences([folder])
    text = tags_and_text(page)[1]
    assert note[1:] in text.split("Side by side")[0], "at the head of the page"
    assert text.count(note) >= 2, "in the list of runs, and among the conditions"
