"""Recentring, intervals and the gap panel against slow and obvious oracles."""

from __future__ import annotations

import json

import numpy as np
import pytest

from slapkit.errors import MetricError
from slapkit.metrics import centroid_distance, effective_rank, retrieval_scores, text_to_audio_ranks
from slapkit.metrics.recentre import gap_interval, matched_and_unmatched, recall_interval, recentred, spectrum
from slapkit.viz import figures
from slapkit.viz.maps import found_words, gap_report
from tests.viz.maps.fakes import make_clips, make_embedded

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
    with pytest.raises(MetricError, match="text: row 0 of 3"):
        recentred(audio=RNG.normal(size=(3, 4)), text=np.ones((3, 4)))


def test_the_gap_interval_covers_the_truth_about_as_often_as_it_says():
    centre, covered, truth = np.array([0.6, 0, 0, 0.8]), 0, None
    draws = RNG.normal(size=(200_000, 4)) * 0.5
    everything = draws + centre
    truth = np.linalg.norm((everything / np.linalg.norm(everything, axis=1, keepdims=True)).mean(0) - np.eye(4)[3])
    for _ in range(300):
        audio = np.tile(np.eye(4)[3], (60, 1))
        found = gap_interval(audio=audio, text=RNG.normal(size=(60, 4)) * 0.5 + centre)
        covered += abs(found.value - truth) <= found.half_width
    assert 0.90 <= covered / 300 <= 0.99
    same = RNG.normal(size=(5, 3))
    assert gap_interval(audio=same, text=same) == (0.0, 0.0)
    assert np.isnan(gap_interval(audio=same[:1], text=same[1:2]).half_width)


def test_recall_interval_counts_clips_not_captions():
    hits, groups = np.repeat([1.0, 0.0, 1.0, 1.0], 5), np.repeat(np.arange(4), 5)
    once = recall_interval(hits[::5], np.arange(4))
    assert recall_interval(hits, groups) == pytest.approx(once), "five equal captions say no more than one"
    assert recall_interval(hits, np.arange(20)).half_width < once.half_width
    plain = recall_interval(hits, np.arange(20))
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


def test_the_report_measures_before_and_after(models):
    slap, clap = (gap_report(model) for model in models)
    assert clap.trained.distance.value > 3 * clap.recentred.distance.value
    assert clap.trained.distance.value > slap.trained.distance.value
    moved = dict(zip(("audio", "text"), recentred(audio=models[1].audio(), text=models[1].text())))
    ranks = text_to_audio_ranks(**moved, track_of_text=models[1].track_of_text)
    assert clap.recentred.retrieval["text_to_audio"] == retrieval_scores(ranks)
    cosines = clap.trained.cosines
    assert all(0 <= found.auc <= 1 for found in cosines.values()) and cosines["audio"].matched is not None
    audio, text = models[1].audio().astype(float), models[1].text().astype(float)
    assert cosines["across"].auc == pytest.approx(_share(audio, text, models[1].track_of_text), abs=1e-6)
    numbers = json.loads(json.dumps(clap.numbers(), allow_nan=False))
    assert numbers["as_trained"]["centroid_distance"] == clap.trained.distance.value
    assert "**SLAP** leaves" in found_words([slap, clap]) and "recentred" in found_words([slap, clap])


def _share(audio, text, clip_of):
    """How often any matched cosine beats any unmatched one, by comparing all."""
    cosines, matched = text @ audio.T, clip_of[:, None] == np.arange(len(audio))
    right, wrong = cosines[matched], cosines[~matched]
    return np.mean([np.mean((r > wrong) + 0.5 * (r == wrong)) for r in right])


def test_figures_draw_what_the_reports_hold(models):
    reports = [gap_report(model) for model in models]
    moved = figures.recentring(reports)
    for report, trace in zip(reports, moved.data[::3]):
        np.testing.assert_allclose(trace.y, [report.trained.distance.value, report.recentred.distance.value])
        np.testing.assert_allclose(trace.error_y.array[0], report.trained.distance.half_width)
    assert "R@10" in moved.layout.title.text
    drawn = figures.cosines(reports)
    assert len([t for t in drawn.data if t.name == "matched"]) == 2 * 2 * 3
    area = [np.sum(t.y) * 2 / len(t.x) for t in drawn.data if t.name == "matched"]
    np.testing.assert_allclose(area, 1, atol=1e-3)
    assert len(figures.spectra(reports).data) == 8 and "effective rank" in figures.spectra(reports).layout.title.text


def test_a_collapsed_model_is_shown_as_far_as_it_can_be_measured():
    dataset = make_clips(None)
    model = make_embedded(dataset)
    for kind in "qz":
        model.arrays[f"{kind}_text"][:] = model.arrays[f"{kind}_text"][0]
    report = gap_report(model)
    assert report.recentred is None and report.numbers()["recentred"] is None
    assert "has collapsed" in figures.recentring([report]).layout.title.text
    assert "collapsed" in found_words([report]) and figures.cosines([report]).data and figures.spectra([report]).data


def test_clips_of_one_window_have_no_matched_pair_of_sound(models):
    model = make_embedded(make_clips(None))
    for kind in "qz":
        model.arrays[f"{kind}_last"] = model.arrays[f"{kind}_first"]
    found = gap_report(model).trained.cosines["audio"]
    assert found.matched is None and np.isnan(found.auc)
    assert figures.cosines([gap_report(model)]).data
