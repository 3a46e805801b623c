"""Measurements against slow oracles (loops, all orders of ties enumerated), and what must hold for any input."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slapkit.errors import MetricError
from slapkit.metrics import (
    Ranks,
    audio_to_text_ranks,
    centroid_distance,
    effective_rank,
    embedding_std,
    linear_separability,
    ranks_of_positives,
    retrieval,
    retrieval_scores,
    text_to_audio_ranks,
)

examples = settings(deadline=None, max_examples=40, derandomize=True, database=None)
DIRECTIONS = {"text_to_audio": text_to_audio_ranks, "audio_to_text": audio_to_text_ranks}


def first_right_places(values, right) -> list[int]:
    """Place of the best right answer in every order of the candidates that the values allow."""
    places = []
    for order in itertools.permutations(range(len(values))):
        ranking = sorted(order, key=lambda c: -values[c])  # stable: equal values keep the order of the permutation
        places.append(1 + next(place for place, c in enumerate(ranking) if right[c]))
    return places


def cosine(a, b) -> float:
    return math.fsum(x * y for x, y in zip(a, b)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def unit(row) -> list[float]:
    norm = math.sqrt(math.fsum(v * v for v in row))
    return [v / norm for v in row]


def scores_oracle(queries, candidates, is_right, at) -> dict[str, float]:
    """Retrieval without ties: sort, look, count."""
    ranks = []
    for q, query in enumerate(queries):
        ranking = sorted(range(len(candidates)), key=lambda c: -cosine(query, candidates[c]))
        ranks.append(1 + next(place for place, c in enumerate(ranking) if is_right(q, c)))
    scores = {f"R@{k}": sum(rank <= k for rank in ranks) / len(ranks) for k in at}
    normalised = sorted(rank / len(candidates) for rank in ranks)
    middle = len(normalised) // 2
    median = normalised[middle] if len(normalised) % 2 else (normalised[middle - 1] + normalised[middle]) / 2
    return scores | {"median_rank": median, "mean_rank": sum(normalised) / len(normalised)}


def captioned(seed: int = 0, tracks: int = 7, d: int = 5) -> dict[str, np.ndarray]:
    """Tracks with one to three captions each, near enough that retrieval is neither perfect nor chance."""
    rng = np.random.default_rng(seed)
    audio = rng.normal(size=(tracks, d))
    clip_of_caption = rng.permutation(np.repeat(np.arange(tracks), rng.integers(1, 4, size=tracks)))
    text = audio[clip_of_caption] + 1.5 * rng.normal(size=(len(clip_of_caption), d))
    return {"audio": audio, "text": text, "clip_of_caption": clip_of_caption}


# --- retrieval -------------------------------------------------------------------------------------------------------


@examples
@given(data=st.data(), candidates=st.integers(1, 6))
def test_ties_equal_the_average_over_all_orders(data, candidates):
    values = data.draw(st.lists(st.integers(0, 2), min_size=candidates, max_size=candidates))
    right = data.draw(st.lists(st.booleans(), min_size=candidates, max_size=candidates).filter(any))
    found = ranks_of_positives(np.array([values], dtype=float) / 2, np.array([right]))
    places = first_right_places(values, right)
    assert found.candidates == candidates
    assert found.expected[0] == pytest.approx(sum(places) / len(places), abs=1e-12)
    for k in range(candidates + 3):
        expected = sum(place <= k for place in places) / len(places)
        assert found.hit_probability(k)[0] == pytest.approx(expected, abs=1e-12), k


def test_every_pattern_of_five_candidates_and_three_levels():
    patterns = [p for p in itertools.product([(0, False), (0, True), (1, False), (1, True)], repeat=5)]
    patterns = [p for p in patterns if any(right for _, right in p)][::17]  # a part of them, two levels each
    values, right = ([[c[i] for c in p] for p in patterns] for i in range(2))
    found = ranks_of_positives(np.array(values, dtype=float), np.array(right))
    places = [first_right_places(v, r) for v, r in zip(values, right)]
    np.testing.assert_allclose(found.expected, [np.mean(p) for p in places], atol=1e-12)
    for k in (1, 2, 4):
        expected = [np.mean([place <= k for place in p]) for p in places]
        np.testing.assert_allclose(found.hit_probability(k), expected, atol=1e-12)


@pytest.mark.parametrize("seed", range(8))
def test_both_directions_equal_the_oracle(seed):
    data = captioned(seed)
    audio, text, of = data["audio"].tolist(), data["text"].tolist(), data["clip_of_caption"].tolist()
    at = (1, 2, 3, 50)
    found = retrieval_scores(text_to_audio_ranks(**data), at=at)
    assert found == pytest.approx(scores_oracle(text, audio, lambda q, c: of[q] == c, at), abs=1e-12)
    found = retrieval_scores(audio_to_text_ranks(**data), at=at)
    assert found == pytest.approx(scores_oracle(audio, text, lambda q, c: of[c] == q, at), abs=1e-12)


def test_directions_are_not_exchanged():
    # Track 1's caption lies nearest to track 0, and track 1 hears its own caption first all the same.
    audio = np.array([[1.0, 0.0], [0.0, 1.0]])
    text = np.array([[1.0, 0.1], [1.0, 0.5]])
    data = {"audio": audio, "text": text, "clip_of_caption": np.array([0, 1])}
    assert text_to_audio_ranks(**data).expected.tolist() == [1, 2]
    assert audio_to_text_ranks(**data).expected.tolist() == [1, 1]


def test_a_track_without_caption_is_a_candidate_and_no_query():
    data = {"audio": np.eye(3), "text": np.eye(3)[[0, 2]], "clip_of_caption": np.array([0, 1])}
    ranks = text_to_audio_ranks(**data)
    # The second caption looks like track 2, its own and track 0 share what is left.
    assert ranks.candidates == 3 and ranks.expected.tolist() == [1, 2.5]
    with pytest.raises(MetricError, match="clip 2"):
        audio_to_text_ranks(**data)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_blocks_change_nothing(direction, monkeypatch):
    data = captioned(3, tracks=23)
    data["audio"][5] = data["audio"][6]  # with ties
    data["text"][5] = data["text"][6]
    whole = DIRECTIONS[direction](**data)
    for size in (1, 4, 23):
        monkeypatch.setattr(retrieval, "_BLOCK", size)
        blocked = DIRECTIONS[direction](**data)
        assert all(np.array_equal(a, b) for a, b in zip(whole, blocked))
        assert blocked.candidates == whole.candidates


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_order_and_norms_of_rows_do_not_matter(direction):
    data, rng = captioned(4, tracks=9), np.random.default_rng(0)
    tracks, captions = rng.permutation(9), rng.permutation(len(data["text"]))
    shuffled = {
        "audio": data["audio"][tracks] * rng.uniform(1e-3, 1e3, size=(9, 1)),
        "text": data["text"][captions] * rng.uniform(1e-3, 1e3, size=(len(captions), 1)),
        "clip_of_caption": np.argsort(tracks)[data["clip_of_caption"][captions]],
    }
    scores = [retrieval_scores(DIRECTIONS[direction](**d), at=(1, 2, 5)) for d in (data, shuffled)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-12)
    assert 0 < scores[0]["R@1"] < 1  # else nothing was shown


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_low_precision_embeddings_are_ranked_by_their_own_values(direction, dtype):
    data = captioned(6, tracks=12) | {}
    low = {k: v.astype(dtype) if k != "clip_of_caption" else v for k, v in data.items()}
    wide = {k: v.astype(np.float64) if k != "clip_of_caption" else v for k, v in low.items()}
    assert all(np.array_equal(a, b) for a, b in zip(DIRECTIONS[direction](**low), DIRECTIONS[direction](**wide)))


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("n", [1, 2, 10])
def test_perfect_retrieval_is_best_and_its_rank_is_one_over_candidates(direction, n):
    data = {"audio": np.eye(n), "text": 3 * np.eye(n), "clip_of_caption": np.arange(n)}
    expected = {"R@1": 1, "R@5": 1, "R@10": 1, "median_rank": 1 / n, "mean_rank": 1 / n}
    assert retrieval_scores(DIRECTIONS[direction](**data)) == pytest.approx(expected, abs=1e-12)


def test_ranks_are_divided_by_the_number_of_candidates_not_by_the_worst_rank():
    ranks = Ranks(np.array([0, 1]), np.array([1, 1]), np.array([1, 1]), 8)
    scores = retrieval_scores(ranks, at=(1,))
    assert scores == {"R@1": 0.5, "median_rank": 1.5 / 8, "mean_rank": 1.5 / 8}


CONSTANT = {
    "equal": lambda x, rng: x,
    "noise of 1e-8": lambda x, rng: x + 1e-8 * rng.normal(size=x.shape),
    "any norm, float32": lambda x, rng: (x * rng.uniform(1e-2, 1e2, size=(len(x), 1))).astype(np.float32),
    "float16": lambda x, rng: x.astype(np.float16),
}


@pytest.mark.parametrize("kind", CONSTANT)
@pytest.mark.parametrize("dim", [1, 64, 512])
def test_a_constant_embedding_scores_exactly_chance(kind, dim):
    rng = np.random.default_rng(1)
    counts = np.array([1, 5, 2, 5, 3, 1, 7])  # captions of each track
    n, m = len(counts), counts.sum()
    point = rng.normal(size=dim)
    data = {
        "audio": CONSTANT[kind](np.tile(point, (n, 1)), rng),
        "text": CONSTANT[kind](np.tile(point, (m, 1)), rng),
        "clip_of_caption": rng.permutation(np.repeat(np.arange(n), counts)),
    }
    at = (1, 5, 10, 1000)
    scores = retrieval_scores(text_to_audio_ranks(**data), at=at)
    assert [scores[f"R@{k}"] for k in at] == pytest.approx([min(1, k / n) for k in at], abs=1e-12)
    assert scores["mean_rank"] == pytest.approx((n + 1) / 2 / n, abs=1e-12)
    assert scores["median_rank"] == pytest.approx((n + 1) / 2 / n, abs=1e-12)
    scores = retrieval_scores(audio_to_text_ranks(**data), at=at)
    for k in at:  # hypergeometric: not all of a track's c captions miss the first k of m
        chance = np.mean([1 - math.comb(m - int(c), min(k, m)) / math.comb(m, min(k, m)) for c in counts])
        assert scores[f"R@{k}"] == pytest.approx(chance, abs=1e-12), k
    places = [(m + 1) / (c + 1) / m for c in counts]
    assert scores["mean_rank"] == pytest.approx(np.mean(places), abs=1e-12)
    assert scores["median_rank"] == pytest.approx(np.median(places), abs=1e-12)


def test_one_collapsed_modality_scores_chance_too():
    data = captioned(2, tracks=8) | {"audio": np.tile([1.0, 2, 3, 4, 5], (8, 1))}
    scores = retrieval_scores(text_to_audio_ranks(**data), at=(1, 3))
    assert (scores["R@1"], scores["R@3"]) == (pytest.approx(1 / 8), pytest.approx(3 / 8))


def test_many_right_answers_among_many_ties_stay_exact():
    m, right = 500, 120
    ranks = ranks_of_positives(np.zeros((1, m)), np.arange(m)[None] < right)
    for k in (1, 5, 10, 100, 380, 381, 500):
        chance = 1 - math.comb(m - right, k) / math.comb(m, k)
        assert ranks.hit_probability(k)[0] == pytest.approx(chance, abs=1e-9)


def retrieval_arguments(**changes):
    return {"audio": np.eye(3), "text": np.eye(3), "clip_of_caption": np.arange(3)} | changes


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"audio": np.full((3, 3), np.nan)}, "audio.*not finite.*row 0"),
        ({"text": np.array([[1, 0, 0], [0, np.inf, 0], [0, 0, 1]])}, "text.*not finite.*row 1"),
        ({"text": np.diag([1.0, 0, 1])}, "text: row 1 is zero"),
        ({"audio": np.eye(3)[:, :2] + 1}, "2 dimensions and text 3"),
        ({"audio": np.ones(3)}, r"audio must be a matrix.*\(3,\)"),
        ({"audio": np.ones((0, 3))}, r"audio.*\(0, 3\)"),
        ({"text": np.ones((3, 0))}, r"text.*\(3, 0\)"),
        ({"text": [[1.0, 2.0], [3.0]]}, "text"),
        ({"text": [["a", "b"]]}, "text"),
        ({"clip_of_caption": np.arange(2)}, "one a caption"),
        ({"clip_of_caption": np.array([0.0, 1.0, 2.0])}, "integers"),
        ({"clip_of_caption": np.array([0, 1, 3])}, r"0\.\.3 of 3"),
        ({"clip_of_caption": np.array([-1, 1, 2])}, r"-1\.\.2"),
    ],
)
def test_retrieval_refuses_what_it_cannot_rank(direction, changes, words):
    with pytest.raises(MetricError, match=words):
        DIRECTIONS[direction](**retrieval_arguments(**changes))


@pytest.mark.parametrize(
    ("similarities", "positives", "words"),
    [
        (np.zeros((2, 3)), np.ones((3, 2), bool), "must both be"),
        (np.zeros((0, 3)), np.ones((0, 3), bool), "Q, C >= 1"),
        (np.zeros((2, 0)), np.ones((2, 0), bool), "Q, C >= 1"),
        (np.array([[0, np.nan]]), np.array([[True, False]]), "not finite"),
        (np.zeros((2, 2)), np.array([[True, False], [False, False]]), "query 1 has no right answer"),
    ],
)
def test_ranks_refuse_what_has_no_answer(similarities, positives, words):
    with pytest.raises(MetricError, match=words):
        ranks_of_positives(similarities, positives)


# --- gap and health --------------------------------------------------------------------------------------------------


def centroid_oracle(audio, text) -> float:
    means = []
    for rows in (audio, text):
        rows = [unit(row) for row in rows]
        means.append([math.fsum(row[j] for row in rows) / len(rows) for j in range(len(rows[0]))])
    return math.sqrt(sum((a - b) ** 2 for a, b in zip(*means)))


def std_oracle(rows) -> float:
    rows, deviations = [unit(row) for row in rows], []
    for j in range(len(rows[0])):
        mean = math.fsum(row[j] for row in rows) / len(rows)
        deviations.append(math.sqrt(math.fsum((row[j] - mean) ** 2 for row in rows) / len(rows)))
    return sum(deviations) / len(deviations) * math.sqrt(len(deviations))


def effective_rank_oracle(rows) -> float:
    rows = [unit(row) for row in rows]
    gram = [[math.fsum(a * b for a, b in zip(x, y)) for y in rows] for x in rows]  # its eigenvalues are s ** 2
    singular = [math.sqrt(max(value, 0)) for value in np.linalg.eigvalsh(gram)]
    entropy = -sum(s / sum(singular) * math.log(s / sum(singular)) for s in singular if s > 0)
    return math.exp(entropy)


@examples
@given(seed=st.integers(0, 10_000), n=st.integers(1, 8), m=st.integers(1, 8), d=st.integers(1, 6))
def test_gap_and_health_equal_the_oracles(seed, n, m, d):
    rng = np.random.default_rng(seed)
    audio, text = rng.normal(size=(n, d)), rng.normal(size=(m, d))
    expected = centroid_oracle(audio.tolist(), text.tolist())
    assert centroid_distance(audio=audio, text=text) == pytest.approx(expected, abs=1e-12)
    assert embedding_std(audio) == pytest.approx(std_oracle(audio.tolist()), abs=1e-12)
    assert effective_rank(audio) == pytest.approx(effective_rank_oracle(audio.tolist()), abs=1e-5)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e3])
def test_gap_and_health_do_not_depend_on_order_norm_or_precision(dtype, scale):
    rng = np.random.default_rng(0)
    audio, text = rng.normal(size=(2, 40, 12)).astype(np.float16)
    changed = [(x[rng.permutation(40)] * np.float64(scale)).astype(dtype) for x in (audio, text)]
    tolerance = 1e-3 if dtype == np.float16 else 1e-6
    before, after = (
        (centroid_distance(audio=a, text=t), effective_rank(a), embedding_std(t)) for a, t in ((audio, text), changed)
    )
    assert after == pytest.approx(before, rel=tolerance)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_extreme_norms_are_norms_like_others(scale):
    assert effective_rank(scale * np.eye(3)) == pytest.approx(3)
    assert centroid_distance(audio=scale * np.eye(2), text=-np.eye(2)) == pytest.approx(math.sqrt(2))


def test_effective_rank_of_known_matrices():
    assert effective_rank(np.tile(np.random.default_rng(0).normal(size=64), (50, 1))) == pytest.approx(1, abs=1e-9)
    assert effective_rank(np.tile([[3.0], [-2.0]], (5, 1))) == pytest.approx(1, abs=1e-9)  # one line, both directions
    orthonormal = np.linalg.qr(np.random.default_rng(0).normal(size=(32, 20)))[0].T
    assert effective_rank(orthonormal) == pytest.approx(20, abs=1e-9)
    assert effective_rank(np.repeat(orthonormal, 3, axis=0)) == pytest.approx(20, abs=1e-9)
    angle = 0.7  # two unit vectors: singular values sqrt(1 +- cos)
    p = math.sqrt(1 + math.cos(angle)), math.sqrt(1 - math.cos(angle))
    p = [value / sum(p) for value in p]
    expected = math.exp(-sum(value * math.log(value) for value in p))
    assert effective_rank([[1, 0], [math.cos(angle), math.sin(angle)]]) == pytest.approx(expected, abs=1e-12)


def test_embedding_std_of_known_matrices():
    assert embedding_std(np.tile([1.0, 2, 3], (9, 1))) == pytest.approx(0, abs=1e-12)
    assert embedding_std(np.concatenate([np.eye(6), -np.eye(6)])) == pytest.approx(1, abs=1e-12)


def test_centroid_distance_of_known_matrices():
    x = np.random.default_rng(0).normal(size=(9, 4))
    assert centroid_distance(audio=x, text=x[::-1] * 2) == pytest.approx(0, abs=1e-12)
    assert centroid_distance(audio=np.tile([0, 3.0], (4, 1)), text=np.tile([0, -1.0], (2, 1))) == pytest.approx(2)
    assert centroid_distance(audio=[[1, 0]], text=[[0, 5]]) == pytest.approx(math.sqrt(2))


def test_separability_of_one_distribution_is_about_chance():
    rng = np.random.default_rng(0)
    audio, text = rng.normal(size=(2, 400, 8))
    assert linear_separability(audio=audio, text=text) == pytest.approx(0.5, abs=0.06)


def test_separability_of_two_distributions_is_one():
    rng = np.random.default_rng(0)
    audio, text = rng.normal(size=(2, 60, 8))
    audio[:, 0] += 30
    text[:, 0] -= 30
    assert linear_separability(audio=audio, text=text) == 1.0


def test_separability_grows_with_the_gap():
    rng = np.random.default_rng(0)
    audio, text = rng.normal(size=(2, 200, 8))
    found = [linear_separability(audio=audio + gap * np.eye(8)[0], text=text) for gap in (0.0, 1.5, 6.0)]
    assert found[0] < found[1] - 0.1 and found[1] < found[2] - 0.1


@pytest.mark.parametrize("noise", [0.0, 1e-9])
@pytest.mark.parametrize("dim", [4, 100])
def test_identical_rows_cannot_be_told_apart(noise, dim):
    rng = np.random.default_rng(0)
    audio = rng.normal(size=(60, dim))
    text = audio + noise * rng.normal(size=audio.shape)
    assert linear_separability(audio=audio, text=text) == pytest.approx(0.5, abs=0.0 if noise == 0 else 0.15)


def test_a_pair_is_never_in_training_and_held_out_at_once():
    # Every pair has a dimension of its own, with opposite signs: whoever has seen one half knows the other.
    sign = np.random.default_rng(0).choice([-1.0, 1.0], size=50)
    audio = np.diag(sign)
    assert linear_separability(audio=audio, text=-audio) == 0.5


def test_separability_is_seeded():
    rng = np.random.default_rng(0)
    audio, text = rng.normal(size=(2, 40, 12))
    found = [linear_separability(audio=audio, text=text, seed=seed) for seed in (0, 0, 1, 2, 3, 4)]
    assert found[0] == found[1]
    assert len(set(found)) > 1  # the seed does decide about folds


def test_the_global_generator_is_left_alone():
    rng = np.random.default_rng(0)
    audio, text = rng.normal(size=(2, 40, 12))
    np.random.seed(3)
    expected = np.random.random()
    np.random.seed(3)
    linear_separability(audio=audio, text=text)
    assert np.random.random() == expected


ONE = {
    "effective_rank": effective_rank,
    "embedding_std": embedding_std,
    "centroid_distance": lambda x: centroid_distance(audio=np.eye(3), text=x),
    "linear_separability": lambda x: linear_separability(audio=x, text=x),
}


@pytest.mark.parametrize("metric", ONE)
@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (np.array([[1.0, 0, 0], [np.nan, 0, 0]]), "row 1"),
        (np.array([[1.0, 0, 0], [0, -np.inf, 0]]), "row 1"),
        (np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 0]]), "row 2 is zero"),
        (np.ones(3), r"\(3,\)"),
        (np.ones((2, 3, 1)), r"\(2, 3, 1\)"),
        (np.ones((0, 3)), r"\(0, 3\)"),
        (np.ones((3, 0)), r"\(3, 0\)"),
        ([], r"\(0,\)"),
        ([[1.0, 2.0], [3.0]], "matrix"),
        ([["a", "b"]], "matrix"),
    ],
)
def test_gap_and_health_refuse_what_they_cannot_measure(metric, rows, words):
    with pytest.raises(MetricError, match=words):
        ONE[metric](rows)


def test_two_spaces_have_no_gap():
    with pytest.raises(MetricError, match="3 dimensions and text 2"):
        centroid_distance(audio=np.eye(3), text=np.eye(2))


@pytest.mark.parametrize(("pairs", "folds"), [(1, 5), (4, 5), (1, 1), (6, 1), (6, 0)])
def test_separability_needs_two_folds_and_a_pair_for_each(pairs, folds):
    x = np.random.default_rng(0).normal(size=(pairs, 3))
    with pytest.raises(MetricError, match="folds"):
        linear_separability(audio=x, text=x, folds=folds)


def test_separability_needs_pairs():
    with pytest.raises(MetricError, match="one pair"):
        linear_separability(audio=np.eye(6), text=np.eye(6)[:5])


def test_one_row_is_the_lower_bound_of_health():
    assert (effective_rank([[1.0, 2.0]]), embedding_std([[1.0, 2.0]])) == (1.0, 0.0)
