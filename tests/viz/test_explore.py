"""The notebook 03_explore on two small runs: what it measures is what the runs measured, and it stays small."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nbformat
import numpy as np
import pytest

from slapkit.runs import run
from slapkit.viz.maps.umap import Map
from tests.training.tones import make_tones

ROOT = Path(__file__).parents[2]
SMOKE = {"steps": 12, "batch_size": 16, "micro_batch": 8, "device": "cpu"}


@pytest.mark.slow
def test_the_notebook_explores_the_runs_that_it_finds(tmp_path):
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks", ignore=shutil.ignore_patterns(".*"))
    data = make_tones(tmp_path / "data" / "tones", clips=60, seconds=5)  # a data set without any facts
    options = {"progress": False, "data": str(data.root)}
    trained = {
        o: run(tmp_path / "notebooks" / "02_train.ipynb", objective=o, **SMOKE, **options) for o in ("slap", "clap")
    }
    done = run(tmp_path / "notebooks" / "03_explore.ipynb", **options)
    assert done.record["status"] == "done" and done.metrics["summary"]["points"] == 30
    for objective, before in trained.items():
        assert str(before.folder.relative_to(tmp_path)) in done.record["parameters"]["runs"]
        found = done.metrics["gap"][objective]["as_trained"]
        assert found["centroid_distance"] == pytest.approx(before.metrics["gap"]["centroid_distance"], abs=1e-6)
        assert found["retrieval"] == before.metrics["retrieval"]["q"]
        kept = Map.load(done.folder / "maps" / f"{objective}-q-2d")
        assert len(kept) == 30 and np.isfinite(kept.coordinates).all() and kept.config.seed == 0
        assert done.metrics["maps"][objective.upper()]["key"] == kept.key
    pages = {p.stem for p in (done.folder / "figures").glob("*.html")}
    assert pages == {"map", "worst", "sentence", "recentring", "cosines", "spectra"}
    executed = nbformat.read(done.folder / "notebook.ipynb", as_version=4)
    outputs = [o for c in executed.cells if c.cell_type == "code" for o in c.outputs]
    assert not [o.text for o in outputs if o.output_type == "stream" and o.name == "stderr"]
    assert "data:audio" not in json.dumps(executed) and (done.folder / "notebook.ipynb").stat().st_size < 7_000_000
    page = (done.folder / "map.html").read_text()
    assert page.count('"title": "tone-') == 10 and "tone-" in page
