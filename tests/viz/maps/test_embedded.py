"""A run's embeddings: those of the evaluation, and read the second time."""

import numpy as np
import pytest

from slapkit.errors import CheckpointError, DataError
from slapkit.metrics.embedded import require_same_clips
from slapkit.viz.maps import embed_run, points
from tests.training.tones import make_tones, tiny


def test_a_run_is_embedded_as_it_is_evaluated_and_then_read(tmp_path, monkeypatch):
    from slapkit import training

    tones = make_tones(tmp_path / "tones", clips=24)
    settings = tiny(train={"steps": 2, "objective": "slap"})
    folder = tmp_path / "run" / "checkpoint"
    training.train(
        model=settings.model, config=settings.train, dataset=tones, out_dir=folder, cache_dir=tmp_path, progress=False
    )
    options = {"cache_dir": tmp_path, "progress": False}
    found = embed_run(tmp_path / "run", tones, **options)
    assert found.name == "SLAP" and found.candidates == len(found.clips) == tones.splits["test"]
    halves = found.arrays["z_first"] + found.arrays["z_last"]  # clips of 2 s: two windows of 1 s
    np.testing.assert_allclose(halves / np.linalg.norm(halves, axis=1, keepdims=True), found.audio("z"), atol=1e-5)
    assert not np.allclose(found.arrays["z_first"], found.arrays["z_last"])

    def never(*_, **__):
        raise AssertionError("embedded again")

    monkeypatch.setattr(points, "embed_split", never)
    again = embed_run(folder, tones, **options)
    assert all(np.array_equal(again.arrays[name], found.arrays[name]) for name in found.arrays)
    with pytest.raises(AssertionError, match="embedded again"):
        embed_run(folder, tones, split="train", **options)
    with pytest.raises(CheckpointError, match="no trained model"):
        embed_run(tmp_path / "tones", tones, **options)


def test_models_of_other_clips_do_not_stand_side_by_side(models):
    require_same_clips(models)
    with pytest.raises(DataError, match="different clips"):
        require_same_clips([models[0], models[1].sample(9)])
    with pytest.raises(DataError, match="no model"):
        require_same_clips([])


def test_a_sample_keeps_clips_whole_and_ranks_as_they_were(models):
    model = models[0]
    part = model.sample(15, seed=3)
    assert len(part) == 15 and len(part.frame) == 5 and part.sample(None) is part and part.sample(15) is part
    for caption, clip, rank in zip(part.captions, part.clip_of_caption, part.text_ranks["q"]):
        whole = model.captions.index(caption)
        assert part.frame["id"][clip] == model.frame["id"][model.clip_of_caption[whole]]
        assert rank == model.text_ranks["q"][whole]
    assert list(part.sample(9, seed=1).frame["id"]) == list(part.sample(9, seed=1).frame["id"])
    with pytest.raises(DataError, match="no room for one clip"):
        model.sample(2)
