"""Gap and health against slow oracles, at known ends, and after recentring and whitening."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slapkit.errors import MetricError
from slapkit.metrics import centroid_distance, effective_rank, embedding_std, linear_separability
from slapkit.metrics.gap import matched_and_unmatched, recentred, spectrum, whitened
from slapkit.metrics.microscope import distribution_gap

RNG = np.random.default_rng(0)
examples = settings(deadline=None, max_examples=40, derandomize=True, database=None)


def unit(row) -> list[float]:
    norm = math.sqrt(math.fsum(v * v for v in row))
    return [v / norm for v in row]


def mean(rows) -> list[float]:
    return [math.fsum(column) / len(rows) for column in zip(*rows)]


def centroid_oracle(audio, text) -> float:
    return math.dist(*(mean([unit(row) for row in rows]) for rows in (audio, text)))


def std_oracle(rows) -> float:
    rows = [unit(row) for row in rows]
    squares = mean([[(v - m) ** 2 for v, m in zip(row, mean(rows))] for row in rows])
    return sum(math.sqrt(v) for v in squares) / math.sqrt(len(squares))


def effective_rank_oracle(rows) -> float:
    rows = [unit(row) for row in rows]
    gram = [[math.fsum(a * b for a, b in zip(x, y)) for y in rows] for x in rows]  # its eigenvalues are s ** 2
    singular = [math.sqrt(max(value, 0)) for value in np.linalg.eigvalsh(gram)]
    return math.exp(-sum(s / sum(singular) * math.log(s / sum(singular)) for s in singular if s > 0))


@examples
@given(seed=st.integers(0, 10_000), n=st.integers(1, 8), m=st.integers(1, 8), d=st.integers(1, 6))
def test_gap_and_health_equal_the_oracles(seed, n, m, d):
    rng = np.random.default_rng(seed)
    audio, text = rng.normal(size=(n, d)), rng.normal(size=(m, d))
    expected = centroid_oracle(audio.tolist(), text.tolist())
    assert centroid_distance(audio=audio, text=text) == pytest.approx(expected, abs=1e-12)
    assert embedding_std(audio) == pytest.approx(std_oracle(audio.tolist()), abs=1e-12)
    assert effective_rank(audio) == pytest.approx(effective_rank_oracle(audio.tolist()), abs=1e-5)
    shares = spectrum(audio)
    assert shares.sum() == pytest.approx(1) and (np.diff(shares) <= 0).all()


def test_gap_and_std_of_known_matrices():
    x = np.random.default_rng(0).normal(size=(9, 4))
    assert centroid_distance(audio=x, text=x[::-1] * 2) == pytest.approx(0, abs=1e-12)
    assert centroid_distance(audio=np.tile([0, 3.0], (4, 1)), text=np.tile([0, -1.0], (2, 1))) == pytest.approx(2)
    for scale in (1e-200, 1.0, 1e200):
        assert centroid_distance(audio=[[scale, 0]], text=[[0, 5]]) == pytest.approx(math.sqrt(2))
    assert embedding_std(np.tile([1.0, 2, 3], (9, 1))) == pytest.approx(0, abs=1e-12)
    assert embedding_std(np.concatenate([np.eye(6), -np.eye(6)])) == pytest.approx(1, abs=1e-12)


def test_effective_rank_of_known_matrices():
    assert effective_rank(np.tile(np.random.default_rng(0).normal(size=64), (50, 1))) == pytest.approx(1, abs=1e-9)
    assert effective_rank(np.tile([[3.0], [-2.0]], (5, 1))) == pytest.approx(1, abs=1e-9)  # one line, both directions
    orthonormal = np.linalg.qr(np.random.default_rng(0).normal(size=(32, 20)))[0].T
    assert effective_rank(np.repeat(orthonormal, 3, axis=0)) == pytest.approx(20, abs=1e-9)
    angle = 0.7  # two unit vectors: singular values sqrt(1 +- cos)
    p = math.sqrt(1 + math.cos(angle)), math.sqrt(1 - math.cos(angle))
    expected = math.exp(-sum(value / sum(p) * math.log(value / sum(p)) for value in p))
    assert effective_rank([[1, 0], [math.cos(angle), math.sin(angle)]]) == pytest.approx(expected, abs=1e-12)


def test_separability_grows_from_chance_to_one_and_is_seeded():
    rng = np.random.default_rng(0)
    (audio, text), axis = rng.normal(size=(2, 200, 8)), np.eye(8)[0]
    found = [linear_separability(audio=audio + g * axis, text=text - g * axis) for g in (0.0, 0.7, 3.0, 30.0)]
    assert found == sorted(found) and found[0] == pytest.approx(0.5, abs=0.08) and found[3] == 1.0
    state = np.random.get_state()[1].copy()
    seeded = [linear_separability(audio=audio, text=text, seed=seed) for seed in (0, 0, 1, 2, 3, 4)]
    assert seeded[0] == seeded[1] and len(set(seeded)) > 1
    assert np.array_equal(np.random.get_state()[1], state), "the global generator is left alone"


@pytest.mark.parametrize(("noise", "tolerance"), [(0.0, 0.0), (1e-9, 0.15)])
@pytest.mark.parametrize("dim", [4, 100])
def test_identical_rows_are_not_separable(noise, tolerance, dim):
    rng = np.random.default_rng(0)
    audio = rng.normal(size=(60, dim))
    text = audio + noise * rng.normal(size=audio.shape)
    assert linear_separability(audio=audio, text=text) == pytest.approx(0.5, abs=tolerance)
    # Every pair has a dimension of its own, with opposite signs: one half in training would give the other away.
    audio = np.diag(rng.choice([-1.0, 1.0], size=50))
    assert linear_separability(audio=audio, text=-audio) == 0.5


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (np.array([[1.0, 0, 0], [np.nan, 0, 0]]), "row 1"),
        (np.array([[1.0, 0, 0], [0, -np.inf, 0]]), "row 1"),
        (np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 0]]), "row 2"),
        (np.ones((2, 3, 1)), r"\(2, 3, 1\)"),
        (np.ones((0, 3)), r"\(0, 3\)"),
        ([[1.0, 2.0], [3.0]], "matrix"),
        ([["a", "b"]], "matrix"),
    ],
)
def test_gap_and_health_refuse_what_they_cannot_measure(rows, words):
    for metric in (
        effective_rank,
        embedding_std,
        lambda x: centroid_distance(audio=np.eye(3), text=x),
        lambda x: linear_separability(audio=x, text=x),
    ):
        with pytest.raises(MetricError, match=words):
            metric(rows)


@pytest.mark.parametrize(
    ("metric", "audio", "text", "settings", "words"),
    [
        (centroid_distance, np.eye(3), np.eye(2), {}, "3.*2"),
        (linear_separability, np.ones((6, 6)), np.ones((5, 6)), {}, r"\(6, 6\).*\(5, 6\)"),
        (linear_separability, np.eye(4), np.eye(4), {"folds": 5}, "4 pairs.*5 folds"),
        (recentred, np.eye(4), np.ones((3, 4)), {}, "^text"),
        (whitened, np.eye(4)[:1], np.eye(4), {}, "^audio"),
    ],
)
def test_what_does_not_fit_or_has_collapsed_is_refused(metric, audio, text, settings, words):
    with pytest.raises(MetricError, match=words):
        metric(audio=audio, text=text, **settings)


def test_recentring_takes_the_mean_away_row_by_row():
    audio, text = RNG.normal(size=(9, 4)), RNG.normal(size=(20, 4)) + 2
    moved = recentred(audio=audio, text=text)
    for rows, got in zip((audio, text), moved):
        rows = [unit(row) for row in rows]
        expected = [unit([v - m for v, m in zip(row, mean(rows))]) for row in rows]
        np.testing.assert_allclose(got, expected, atol=1e-12)
    far, near = centroid_distance(audio=audio, text=text), centroid_distance(audio=moved[0], text=moved[1])
    assert near < 0.5 * far


@pytest.mark.parametrize("same", [True, False])
def test_pairs_are_counted_once_and_none_with_itself(same):
    x, of_x = RNG.normal(size=(6, 3)), np.array([0, 0, 1, 1, 2, 3])
    y, of_y = (x, of_x) if same else (RNG.normal(size=(4, 3)), np.array([0, 1, 2, 9]))
    matched, unmatched = [], []
    for i in range(len(x)):
        for j in range(i + 1 if same else 0, len(y)):
            cosine = x[i] @ y[j] / np.linalg.norm(x[i]) / np.linalg.norm(y[j])
            (matched if of_x[i] == of_y[j] else unmatched).append(cosine)
    got = matched_and_unmatched(queries=x, candidates=y, query_of=of_x, candidate_of=of_y)
    np.testing.assert_allclose(np.sort(got[0]), np.sort(matched))
    np.testing.assert_allclose(np.sort(got[1]), np.sort(unmatched))


def test_whitening_gives_all_directions_the_same_variance_and_takes_the_gap_away(monkeypatch):
    monkeypatch.setattr("slapkit.metrics.gap._SHRINKAGE", 1e-6)
    audio, text = RNG.normal(size=(2, 4000, 4)) * [[[4, 1, 1, 0.5]], [[1, 2, 1, 1]]] + [[[1.0]], [[-1.0]]]
    before = distribution_gap(audio=audio, text=text)
    white = whitened(audio=audio, text=text)
    after = distribution_gap(audio=white[0], text=white[1])
    assert after["covariance"] < 0.3 * before["covariance"] and after["spectrum"] < 0.3 * before["spectrum"]
    for x in white:
        assert np.linalg.norm(x, axis=1) == pytest.approx(np.ones(4000)) and np.linalg.norm(x.mean(0)) < 0.2
    monkeypatch.setattr("slapkit.metrics.gap._SHRINKAGE", 1.0)
    plain = whitened(audio=audio, text=text)[0]
    np.testing.assert_allclose(plain, recentred(audio=audio, text=text)[0], atol=1e-9)
