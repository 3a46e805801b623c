"""Recentring, intervals and pairs against slow and obvious oracles."""

from __future__ import annotations

import numpy as np
import pytest

from slapkit.errors import MetricError
from slapkit.metrics import centroid_distance, effective_rank
from slapkit.metrics.gap import along_gap, matched_and_unmatched, recentred, spectrum
from slapkit.metrics.intervals import estimate

RNG = np.random.default_rng(0)


def test_recentring_takes_the_mean_away_row_by_row():
    audio, text = RNG.normal(size=(9, 4)), RNG.normal(size=(20, 4)) + 2
    moved = recentred(audio=audio, text=text)
    for rows, got in zip((audio, text), moved):
        unit = [row / np.sqrt((row**2).sum()) for row in rows]
        mean = sum(unit) / len(unit)
        for one, row in zip(unit, got):
            np.testing.assert_allclose(row, (one - mean) / np.sqrt(((one - mean) ** 2).sum()), atol=1e-12)
    far, near = centroid_distance(audio=audio, text=text), centroid_distance(audio=moved[0], text=moved[1])
    assert near < 0.5 * far


def test_recentring_a_collapsed_modality_is_refused_with_its_name():
    with pytest.raises(MetricError, match="^text"):
        recentred(audio=RNG.normal(size=(3, 4)), text=np.ones((3, 4)))


def test_the_gap_interval_covers_the_truth_about_as_often_as_it_says():
    centre, covered, truth = np.array([0.6, 0, 0, 0.8]), 0, None
    draws = RNG.normal(size=(200_000, 4)) * 0.5
    everything = draws + centre
    truth = np.linalg.norm((everything / np.linalg.norm(everything, axis=1, keepdims=True)).mean(0) - np.eye(4)[3])
    for _ in range(300):
        audio = np.tile(np.eye(4)[3], (60, 1))
        found = estimate(along_gap(audio=audio, text=RNG.normal(size=(60, 4)) * 0.5 + centre))
        covered += abs(found.value - truth) <= found.half_width
    assert 0.90 <= covered / 300 <= 0.99
    same = RNG.normal(size=(5, 3))
    assert estimate(along_gap(audio=same, text=same)) == (0.0, 0.0)
    assert np.isnan(estimate(along_gap(audio=same[:1], text=same[1:2])).half_width)


def test_recall_interval_counts_clips_not_captions():
    hits, groups = np.repeat([1.0, 0.0, 1.0, 1.0], 5), np.repeat(np.arange(4), 5)
    once = estimate(hits[::5], np.arange(4))
    assert estimate(hits, groups) == pytest.approx(once), "five equal captions say no more than one"
    assert estimate(hits, np.arange(20)).half_width < once.half_width
    plain = estimate(hits, np.arange(20))
    assert plain.half_width == pytest.approx(1.96 * hits.std(ddof=1) / np.sqrt(20), rel=1e-3)


@pytest.mark.parametrize("same", [True, False])
def test_pairs_are_counted_once_and_none_with_itself(same):
    x, of_x = RNG.normal(size=(6, 3)), np.array([0, 0, 1, 1, 2, 3])
    y, of_y = (x, of_x) if same else (RNG.normal(size=(4, 3)), np.array([0, 1, 2, 9]))
    matched, unmatched = [], []
    for i in range(len(x)):
        for j in range(len(y)):
            if same and j <= i:
                continue
            cosine = x[i] @ y[j] / np.linalg.norm(x[i]) / np.linalg.norm(y[j])
            (matched if of_x[i] == of_y[j] else unmatched).append(cosine)
    got = matched_and_unmatched(queries=x, candidates=y, query_of=of_x, candidate_of=of_y)
    np.testing.assert_allclose(np.sort(got[0]), np.sort(matched))
    np.testing.assert_allclose(np.sort(got[1]), np.sort(unmatched))


def test_the_spectrum_is_what_effective_rank_is_taken_of():
    x = RNG.normal(size=(30, 5))
    p = spectrum(x)
    assert p.sum() == pytest.approx(1) and (np.diff(p) <= 0).all()
    assert np.exp(-(p * np.log(p)).sum()) == pytest.approx(effective_rank(x))
