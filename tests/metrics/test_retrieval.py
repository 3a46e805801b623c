"""Retrieval against slow oracles (loops, all orders of ties enumerated) and an independent library."""

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


def captioned(seed: int = 0, clips: int = 7, d: int = 5) -> dict[str, np.ndarray]:
    """Tracks with one to three captions each, near enough that retrieval is neither perfect nor chance."""
    rng = np.random.default_rng(seed)
    audio = rng.normal(size=(clips, d))
    clip_of_caption = rng.permutation(np.repeat(np.arange(clips), rng.integers(1, 4, size=clips)))
    text = audio[clip_of_caption] + 1.5 * rng.normal(size=(len(clip_of_caption), d))
    return {"audio": audio, "text": text, "clip_of_caption": clip_of_caption}


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
    # The caption of clip 1 is nearest to clip 0, and clip 1 still ranks its own caption first.
    audio = np.array([[1.0, 0.0], [0.0, 1.0]])
    text = np.array([[1.0, 0.1], [1.0, 0.5]])
    data = {"audio": audio, "text": text, "clip_of_caption": np.array([0, 1])}
    assert text_to_audio_ranks(**data).expected.tolist() == [1, 2]
    assert audio_to_text_ranks(**data).expected.tolist() == [1, 1]


def test_a_track_without_caption_is_a_candidate_and_no_query():
    data = {"audio": np.eye(3), "text": np.eye(3)[[0, 2]], "clip_of_caption": np.array([0, 1])}
    ranks = text_to_audio_ranks(**data)
    # The second caption equals clip 2; its own and clip 0 share the rest.
    assert ranks.candidates == 3 and ranks.expected.tolist() == [1, 2.5]
    with pytest.raises(MetricError, match="clip 2"):
        audio_to_text_ranks(**data)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_blocks_change_nothing(direction, monkeypatch):
    data = captioned(3, clips=23)
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
    data, rng = captioned(4, clips=9), np.random.default_rng(0)
    clips, captions = rng.permutation(9), rng.permutation(len(data["text"]))
    shuffled = {
        "audio": data["audio"][clips] * rng.uniform(1e-3, 1e3, size=(9, 1)),
        "text": data["text"][captions] * rng.uniform(1e-3, 1e3, size=(len(captions), 1)),
        "clip_of_caption": np.argsort(clips)[data["clip_of_caption"][captions]],
    }
    scores = [retrieval_scores(DIRECTIONS[direction](**d), at=(1, 2, 5)) for d in (data, shuffled)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-12)
    assert 0 < scores[0]["R@1"] < 1  # else nothing was shown


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_low_precision_embeddings_are_ranked_by_their_own_values(direction, dtype):
    data = captioned(6, clips=12)
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
    counts = np.array([1, 5, 2, 5, 3, 1, 7])  # captions of each clip
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
    for k in at:  # hypergeometric: not all of a clip's c captions miss the first k of m
        chance = np.mean([1 - math.comb(m - int(c), min(k, m)) / math.comb(m, min(k, m)) for c in counts])
        assert scores[f"R@{k}"] == pytest.approx(chance, abs=1e-12), k
    places = [(m + 1) / (c + 1) / m for c in counts]
    assert scores["mean_rank"] == pytest.approx(np.mean(places), abs=1e-12)
    assert scores["median_rank"] == pytest.approx(np.median(places), abs=1e-12)


def test_many_right_answers_among_many_ties_stay_exact():
    m, right = 500, 120
    ranks = ranks_of_positives(np.zeros((1, m)), np.arange(m)[None] < right)
    for k in (1, 5, 10, 100, 380, 381, 500):
        chance = 1 - math.comb(m - right, k) / math.comb(m, k)
        assert ranks.hit_probability(k)[0] == pytest.approx(chance, abs=1e-9)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"audio": np.full((3, 3), np.nan)}, "audio.*row 0"),
        ({"audio": np.eye(3)[:, :2] + 1}, "2.*3"),
        ({"clip_of_caption": np.arange(2)}, r"\(2,\)"),
        ({"clip_of_caption": np.array([0.0, 1.0, 2.0])}, "float64"),
        ({"clip_of_caption": np.array([0, 1, 3])}, r"0\.\.3 of 3"),
        ({"clip_of_caption": np.array([-1, 1, 2])}, r"-1\.\.2"),
    ],
)
def test_retrieval_refuses_what_it_cannot_rank(direction, changes, words):
    with pytest.raises(MetricError, match=words):
        DIRECTIONS[direction](**{"audio": np.eye(3), "text": np.eye(3), "clip_of_caption": np.arange(3)} | changes)


@pytest.mark.parametrize(
    ("similarities", "positives", "words"),
    [
        (np.zeros((2, 3)), np.ones((3, 2), bool), r"\(2, 3\)"),
        (np.zeros((0, 3)), np.ones((0, 3), bool), r"\(0, 3\)"),
        (np.zeros((2, 0)), np.ones((2, 0), bool), r"\(2, 0\)"),
        (np.array([[0, np.nan]]), np.array([[True, False]]), "not finite"),
        (np.zeros((2, 2)), np.array([[True, False], [False, False]]), "query 1"),
    ],
)
def test_ranks_refuse_what_has_no_answer(similarities, positives, words):
    with pytest.raises(MetricError, match=words):
        ranks_of_positives(similarities, positives)


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


def test_first_hits_and_first_right_ranks_agree_with_pytorch_metric_learning():
    rng, clips = np.random.default_rng(5), np.arange(60)
    clip_of_caption = np.sort(np.concatenate([clips, rng.integers(60, size=140)]))
    audio = rng.normal(size=(60, 24))
    text = audio[clip_of_caption] + 1.5 * rng.normal(size=(200, 24))
    pairs = {"audio": audio, "text": text, "clip_of_caption": clip_of_caption}
    for ranks, arguments in (
        (text_to_audio_ranks(**pairs), (pairs["text"], pairs["clip_of_caption"], pairs["audio"], clips)),
        (audio_to_text_ranks(**pairs), (pairs["audio"], clips, pairs["text"], pairs["clip_of_caption"])),
    ):
        found = elsewhere(*arguments)
        assert ranks.hit_probability(1).mean() == pytest.approx(found["precision_at_1"])
        assert (1 / ranks.expected).mean() == pytest.approx(found["mean_reciprocal_rank"])
        assert 0.05 < found["precision_at_1"] < 0.95, "neither trivial nor impossible"
