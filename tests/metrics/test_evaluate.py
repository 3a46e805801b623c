"""A model on held-out clips: the parts of one evaluation agree with the pure functions, in the model's precision."""

import numpy as np
import pytest

from slapkit import metrics
from slapkit.errors import DataError
from slapkit.metrics.embedded import embed_split
from slapkit.metrics.evaluate import evaluate
from slapkit.metrics.probing import represent_clips
from slapkit.models.inference import Model
from slapkit.models.joint import JointModel
from tests.training.tones import make_tones, tiny


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    return make_tones(tmp_path_factory.mktemp("tones"), clips=24)


@pytest.fixture(scope="module")
def joint(tones):
    return JointModel.build(tiny().model, "slap", captions=tones.captions_flat()[0])


def test_a_split_is_embedded_by_windows_and_measured_as_by_the_pure_functions(tones, joint, tmp_path):
    model, options = Model(joint), {"cache_dir": tmp_path, "progress": False}
    found = embed_split(model, tones, split="test", **options)
    result = evaluate(model, tones, seed=3, **options)
    halves = found.arrays["z_first"] + found.arrays["z_last"]  # clips of 2 s: two windows of 1 s
    np.testing.assert_allclose(halves / np.linalg.norm(halves, axis=1, keepdims=True), found.audio("z"), atol=1e-5)
    np.testing.assert_allclose(model.embed_text(found.captions), found.text("q"), atol=1e-6)
    rank = {"text_to_audio": metrics.text_to_audio_ranks, "audio_to_text": metrics.audio_to_text_ranks}
    for kind, gap in (("q", "gap"), ("z", "gap_z")):
        space = {"audio": found.audio(kind), "text": found.text(kind), "clip_of_caption": found.clip_of_caption}
        for way, scores in result["retrieval"][kind].items():
            assert scores == metrics.retrieval_scores(rank[way](**space))
        pairs = {"audio": space["audio"], "text": space["text"][::2]}
        assert result[gap]["centroid_distance"] == pytest.approx(metrics.centroid_distance(**pairs))
        assert result[gap]["linear_separability"] == metrics.linear_separability(**pairs, folds=4, seed=3)
    ranks = [metrics.effective_rank(found.audio()), metrics.effective_rank(found.text())]
    assert result["health"]["effective_rank"] == pytest.approx(min(ranks))
    assert result["protocol"]["queries"] == 8 and result["protocol"]["candidates"] == 4
    with pytest.raises(DataError, match="'nowhere'"):
        evaluate(model, tones, split="nowhere", **options)


def test_evaluation_keeps_the_precision_of_the_model(tones, joint, tmp_path):
    options = {"cache_dir": tmp_path, "progress": False}
    exact, half = Model(joint), Model(joint, precision="bf16")
    found = {model.precision: embed_split(model, tones, split="test", **options) for model in (exact, half)}
    assert not np.array_equal(found["no"].audio(), found["bf16"].audio())
    np.testing.assert_allclose(half.embed_text(found["bf16"].captions), found["bf16"].text(), atol=1e-6)
    assert (found["no"].audio() * found["bf16"].audio()).sum(axis=1).min() > 0.99
    values = [evaluate(model, tones, **options) for model in (exact, half)]
    assert values[0]["gap"] != values[1]["gap"]
    assert [value["protocol"]["precision"] for value in values] == ["float32", "bf16"]
    h = [represent_clips(model, tones, **options)[0] for model in (exact, half)]
    assert h[0].shape == h[1].shape and not np.array_equal(*h)
