"""The gap microscope against independent formulas, and at the ends where the answer is known."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from slapkit.errors import MetricError
from slapkit.metrics.microscope import distribution_gap, joint_v_measure, modality_preference


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def cloud(seed, rows=200, dim=6, scale=1.0, centre=0.0):
    return unit(np.random.default_rng(seed).normal(size=(rows, dim)) * scale + centre)


def test_the_distance_of_covariances_agrees_with_matrix_roots():
    audio, text = cloud(0, scale=[3, 1, 1, 1, 0.5, 0.2]), cloud(1, rows=150, scale=[1, 1, 2, 1, 1, 1])
    a, t = (np.cov(x.T, bias=True) for x in (audio, text))
    root = sqrtm(a)
    squared = np.trace(a + t - 2 * np.real(sqrtm(root @ t @ root)))
    expected = np.sqrt(squared / ((np.trace(a) + np.trace(t)) / 2))
    found = distribution_gap(audio=audio, text=text)
    assert found["covariance"] == pytest.approx(expected, abs=1e-6)
    spectra = [np.sort(np.linalg.eigvalsh(c))[::-1] for c in (a, t)]
    variation = 0.5 * sum(abs(x - y) for x, y in zip(*(s / s.sum() for s in spectra)))
    assert found["spectrum"] == pytest.approx(variation, abs=1e-9)


def test_neither_the_centroids_nor_a_rotation_of_both_matter():
    audio, text = cloud(0), cloud(1, scale=[2, 1, 1, 1, 1, 1])
    base = distribution_gap(audio=audio, text=text)
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))[0]
    assert distribution_gap(audio=audio @ rotation, text=text @ rotation) == pytest.approx(base)
    assert distribution_gap(audio=text, text=audio) == pytest.approx(base)
    assert distribution_gap(audio=audio, text=audio[::-1]) == pytest.approx({"covariance": 0, "spectrum": 0}, abs=1e-6)
    apart = distribution_gap(audio=audio, text=audio @ rotation)
    assert apart["spectrum"] == pytest.approx(0, abs=1e-9) and apart["covariance"] > 0.01
    audio, text = np.zeros((2, 100, 6))
    audio[:, :3], text[:, 3:] = cloud(0, 100, 3), cloud(1, 100, 3)  # orthogonal: as far apart as can be
    assert distribution_gap(audio=audio, text=text)["covariance"] == pytest.approx(np.sqrt(2), abs=1e-6)


def grouped(groups, modality):
    """Groups of clips and captions; `modality` moves the captions away."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, groups, 120)
    shift = modality * np.eye(8)[7]
    audio, text = (3 * np.eye(groups, 8)[labels] + 0.2 * rng.normal(size=(120, 8)) + s * shift for s in (1, -1))
    named = [f"style {n}" for n in labels]
    return {"audio": audio, "text": text, "audio_labels": named, "text_labels": named}


@pytest.mark.parametrize(
    ("groups", "modality", "follows", "other"), [(3, 0.0, "label", "modality"), (2, 30.0, "modality", "label")]
)
def test_clusters_follow_the_music_without_a_gap_and_the_modality_with_one(groups, modality, follows, other):
    given = grouped(groups, modality)
    found = joint_v_measure(**given, seed=0)
    assert found[follows] > 0.95 and found[other] < 0.05
    assert found == joint_v_measure(**given, seed=0)


@pytest.mark.parametrize("k", [1, 7, 50])
def test_the_preference_agrees_with_counting(k):
    queries, own, other = cloud(0, 20, centre=0.3), cloud(1, 40, centre=0.3), cloud(2, 60)
    total = 0.0
    for query in queries:
        ranked = sorted([*((-(query @ c), True) for c in own), *((-(query @ c), False) for c in other)])
        total += sum(mine for _, mine in ranked[:k]) / k
    found = modality_preference(queries=queries, own=own, other=other, k=k)
    assert found == pytest.approx(total / 20 - 40 / 100, abs=1e-12)


def test_a_gap_shows_as_a_preference_and_a_collapse_as_none():
    queries, own, other = cloud(0, 50, centre=5.0), cloud(1, 30, centre=5.0), cloud(2, 60, centre=-5.0)
    assert modality_preference(queries=queries, own=own, other=other) == pytest.approx(1 - 30 / 90)
    assert modality_preference(queries=queries, own=other, other=own) == pytest.approx(-60 / 90)
    same = np.ones((30, 4))
    assert modality_preference(queries=same, own=same, other=np.ones((10, 4))) == pytest.approx(0)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda x: distribution_gap(audio=x, text=np.ones((5, 6))), "text"),
        (lambda x: distribution_gap(audio=x, text=cloud(0, dim=3)), "6.*3"),
        (lambda x: modality_preference(queries=x, own=x, other=x, k=500), "k=500"),
        (lambda x: modality_preference(queries=x, own=x, other=x[:, :3]), "6, 6 and 3"),
        (lambda x: joint_v_measure(audio=x, text=x, audio_labels=["a"], text_labels=["b"], seed=0), "1 and 1"),
        (lambda x: joint_v_measure(audio=x[:1], text=x[:1], audio_labels="a", text_labels="a", seed=0), "1 group"),
    ],
)
def test_bad_input_is_named(call, said):
    with pytest.raises(MetricError, match=said):
        call(cloud(0))
