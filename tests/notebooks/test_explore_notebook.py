"""03_explore on two small runs: it measures what the runs measured, and stays small."""

from __future__ import annotations

import json

import numpy as np
import pytest

from slapkit.viz.maps import Map
from tests.notebooks.conftest import SMOKE, execute


@pytest.mark.slow
def test_the_runs_are_explored(project):
    names = ("slap", "clap")
    trained = {o: execute(project, "02_train", data="tones", objective=o, **SMOKE)[0] for o in names}
    done, executed, pages = execute(project, "03_explore", data="tones")  # a data set without any facts
    assert done.metrics["summary"]["points"] == 30
    for objective, before in trained.items():
        assert str(before.folder.relative_to(project)) in done.record["parameters"]["runs"]
        found = done.metrics["gap"][objective]["as_trained"]
        assert found["centroid_distance"] == pytest.approx(before.metrics["gap"]["centroid_distance"], abs=1e-6)
        assert found["retrieval"] == before.metrics["retrieval"]["q"]
        kept = Map.load(done.folder / "maps" / f"{objective}-q-2d.safetensors")
        assert len(kept) == 30 and np.isfinite(kept.coordinates).all() and kept.config.seed == 0
        assert done.metrics["maps"][objective.upper()]["key"] == kept.key
    assert set(pages) == {"map", "worst", "sentence", "recentring", "cosines", "spectra"}
    assert "data:audio" not in json.dumps(executed) and (done.folder / "notebook.ipynb").stat().st_size < 7_000_000
    assert (done.folder / "map.html").read_text().count('"title": "tone-') == 10
