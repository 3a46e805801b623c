"""Retrieval as an independent library measures it: pytorch-metric-learning's accuracy calculator."""

from __future__ import annotations

import numpy as np
import pytest

from slapkit.metrics import audio_to_text_ranks, text_to_audio_ranks


@pytest.fixture
def pairs():
    rng = np.random.default_rng(5)
    clip_of_caption = np.sort(np.concatenate([np.arange(60), rng.integers(60, size=140)]))
    audio = rng.normal(size=(60, 24))
    text = audio[clip_of_caption] + 1.5 * rng.normal(size=(200, 24))
    return {"audio": audio, "text": text, "clip_of_caption": clip_of_caption}


def elsewhere(query, query_of, reference, reference_of):
    """Precision at one, and the mean of one over the rank of the first right answer."""
    import torch
    from pytorch_metric_learning.distances import CosineSimilarity
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
    from pytorch_metric_learning.utils.inference import CustomKNN

    calculator = AccuracyCalculator(
        include=("precision_at_1", "mean_reciprocal_rank"), k=len(reference), knn_func=CustomKNN(CosineSimilarity())
    )
    arrays = [torch.from_numpy(a) for a in (query, query_of, reference, reference_of)]
    return calculator.get_accuracy(*arrays)


def test_first_hits_and_first_right_ranks_agree(pairs):
    clips = np.arange(60)
    for ranks, arguments in (
        (text_to_audio_ranks(**pairs), (pairs["text"], pairs["clip_of_caption"], pairs["audio"], clips)),
        (audio_to_text_ranks(**pairs), (pairs["audio"], clips, pairs["text"], pairs["clip_of_caption"])),
    ):
        found = elsewhere(*arguments)
        assert ranks.hit_probability(1).mean() == pytest.approx(found["precision_at_1"])
        assert (1 / ranks.expected).mean() == pytest.approx(found["mean_reciprocal_rank"])
        assert 0.05 < found["precision_at_1"] < 0.95, "neither trivial nor impossible"
