"""The gap panel against plain calls and loops."""

import json

import numpy as np
import pytest

from slapkit.metrics import retrieval_scores, text_to_audio_ranks
from slapkit.metrics.gap import recentred
from slapkit.viz.maps import gap_report


def test_the_report_measures_before_and_after(models):
    slap, clap = (gap_report(model) for model in models)
    assert clap.trained.distance.value > 3 * clap.recentred.distance.value
    assert clap.trained.distance.value > slap.trained.distance.value
    moved = dict(zip(("audio", "text"), recentred(audio=models[1].audio(), text=models[1].text())))
    ranks = text_to_audio_ranks(**moved, clip_of_caption=models[1].clip_of_caption)
    assert clap.recentred.retrieval["text_to_audio"] == retrieval_scores(ranks)
    cosines = clap.trained.cosines
    assert all(0 <= found.auc <= 1 for found in cosines.values()) and cosines["audio"].matched is not None
    audio, text = models[1].audio().astype(float), models[1].text().astype(float)
    assert cosines["across"].auc == pytest.approx(_share(audio, text, models[1].clip_of_caption), abs=1e-6)
    numbers = json.loads(json.dumps(clap.numbers(), allow_nan=False))
    assert numbers["as_trained"]["centroid_distance"] == clap.trained.distance.value


def _share(audio, text, clip_of):
    """How often any matched cosine beats any unmatched one, by comparing all."""
    cosines, matched = text @ audio.T, clip_of[:, None] == np.arange(len(audio))
    right, wrong = cosines[matched], cosines[~matched]
    return np.mean([np.mean((r > wrong) + 0.5 * (r == wrong)) for r in right])
