"""The search notebook, executed on smoke runs: what it leaves, and that it finds what it says."""

from __future__ import annotations

import nbformat
import pytest

from tests.notebooks.conftest import SMOKE, code, execute, shown_figures


@pytest.fixture(scope="module")
def searched(project):
    """Both notebooks' runs: SLAP and CLAP trained for a few steps, then searched by the newest of them."""
    for objective in ("slap", "clap"):
        execute(project, "02_train", objective=objective, **SMOKE)
    return execute(project, "04_search", k=5, query="slow flute")


@pytest.mark.slow
def test_searching_leaves_its_measures_and_its_figure(searched):
    done, executed, pages = searched
    summary = done.metrics["summary"]
    assert summary["tracks"] == 120 and summary["models"] == ["SLAP", "CLAP"] and summary["failed_files"] == 0
    assert 0 < summary["search_ms"] < 1000
    for kind in ("q", "z"):
        scores = done.metrics["marks"][kind]
        assert scores["before"] == scores["after"], "nothing is marked yet"
        assert 0 <= scores["before"]["R@1"] <= scores["before"]["R@10"] <= 1
    assert done.metrics["queries"][0] == "slow flute"
    assert set(pages) <= {"asked-for"} and len(shown_figures(executed)) == len(pages)
    assert (done.folder / "notebook.ipynb").stat().st_size < 1_000_000
    outputs = [o.get("data", {}) for c in code(executed) for o in c.outputs]
    assert sum("application/vnd.jupyter.widget-view+json" in data for data in outputs) == 2, "the bench and the errors"
    assert any("score_percentile" in data.get("text/html", "") for data in outputs)


@pytest.mark.slow
def test_a_folder_of_ones_own_music_is_searched(project, searched):
    from tests.training.tones import make_tones

    make_tones(project / "music", clips=12, seconds=3)
    (project / "music" / "metadata.jsonl").unlink(missing_ok=True)
    done, executed, pages = execute(project, "04_search", folder=str(project / "music"), query="a high tone", k=3)
    assert done.metrics["summary"]["tracks"] == 12 and pages == []
    nbformat.validate(executed)
