"""What the claims measure of a real run is what the run itself has measured, and is measured once."""

import importlib
from dataclasses import replace

import numpy as np
import pytest

from slapkit import data
from slapkit.runs import claims
from tests.notebooks.conftest import SMOKE, execute


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
