"""Retrieval against slow oracles (loops, all orders of ties enumerated) and an independent library."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slapkit.errors import MetricError
from slapkit.metrics import audio_to_text_ranks, ranks_of_positives, retrieval, retrieval_scores, text_to_audio_ranks

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
        values = [cosine(query, candidate) for candidate in candidates]
        ranking = sorted(range(len(candidates)), key=lambda c: -values[c])
        ranks.append(1 + next(place for place, c in enumerate(ranking) if is_right(q, c)))
    scores = {f"R@{k}": sum(rank <= k for rank in ranks) / len(ranks) for k in at}
    normalised = [rank / len(candidates) for rank in ranks]
    return scores | {"median_rank": np.median(normalised), "mean_rank": np.mean(normalised)}


def captioned(seed: int = 0, clips: int = 7) -> dict[str, np.ndarray]:
    """Tracks with one to three captions each, near enough that retrieval is neither perfect nor chance."""
    rng = np.random.default_rng(seed)
    audio = rng.normal(size=(clips, 5))
    clip_of_caption = rng.permutation(np.repeat(np.arange(clips), rng.integers(1, 4, size=clips)))
    text = audio[clip_of_caption] + 1.5 * rng.normal(size=(len(clip_of_caption), 5))
    return {"audio": audio, "text": text, "clip_of_caption": clip_of_caption}


@examples
@given(data=st.data(), candidates=st.integers(1, 6))
def test_ties_equal_the_average_over_all_orders(data, candidates):
    values = data.draw(st.lists(st.integers(0, 2), min_size=candidates, max_size=candidates))
    right = data.draw(st.lists(st.booleans(), min_size=candidates, max_size=candidates).filter(any))
    found = ranks_of_positives(np.array([values], dtype=float) / 2, np.array([right]))
    places = first_right_places(values, right)
    assert found.expected[0] == pytest.approx(sum(places) / len(places), abs=1e-12)
    for k in range(candidates + 3):
        expected = sum(place <= k for place in places) / len(places)
        assert found.hit_probability(k)[0] == pytest.approx(expected, abs=1e-12), k


@pytest.mark.parametrize("seed", range(4))
def test_both_directions_equal_the_oracle(seed):
    data, at = captioned(seed), (1, 2, 3, 50)
    audio, text, of = data["audio"].tolist(), data["text"].tolist(), data["clip_of_caption"].tolist()
    found = retrieval_scores(text_to_audio_ranks(**data), at=at)
    assert found == pytest.approx(scores_oracle(text, audio, lambda q, c: of[q] == c, at), abs=1e-12)
    found = retrieval_scores(audio_to_text_ranks(**data), at=at)
    assert found == pytest.approx(scores_oracle(audio, text, lambda q, c: of[c] == q, at), abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_clips_that_share_a_caption_are_right_answers_alike(seed):
    data, at = captioned(seed, clips=9), (1, 2, 3)
    words = [f"caption {i}" for i in np.random.default_rng(seed).integers(0, 8, len(data["text"]))]
    audio, text, of = data["audio"].tolist(), data["text"].tolist(), data["clip_of_caption"].tolist()
    having = [{word for word, clip in zip(words, of) if clip == n} for n in range(9)]
    found = retrieval_scores(text_to_audio_ranks(**data, captions=words), at=at)
    assert found == pytest.approx(scores_oracle(text, audio, lambda q, c: words[q] in having[c], at), abs=1e-12)
    assert found != retrieval_scores(text_to_audio_ranks(**data), at=at)
    found = retrieval_scores(audio_to_text_ranks(**data, captions=words), at=at)
    assert found == pytest.approx(scores_oracle(audio, text, lambda q, c: words[c] in having[q], at), abs=1e-12)
    with pytest.raises(MetricError, match="2 captions"):
        text_to_audio_ranks(**data, captions=["a", "b"])


def test_a_track_without_caption_is_a_candidate_and_no_query():
    data = {"audio": np.eye(3), "text": np.eye(3)[[0, 2]], "clip_of_caption": np.array([0, 1])}
    ranks = text_to_audio_ranks(**data)
    # The second caption equals clip 2; its own and clip 0 share the rest.
    assert ranks.candidates == 3 and ranks.expected.tolist() == [1, 2.5]
    with pytest.raises(MetricError, match="clip 2"):
        audio_to_text_ranks(**data)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_neither_blocks_nor_order_nor_norms_of_rows_matter(direction, monkeypatch):
    data, rng = captioned(3, clips=23), np.random.default_rng(0)
    data["audio"][5], data["text"][5] = data["audio"][6], data["text"][6]  # with ties
    whole = DIRECTIONS[direction](**data)
    clips, captions = rng.permutation(23), rng.permutation(len(data["text"]))
    shuffled = {
        "audio": data["audio"][clips] * rng.uniform(1e-3, 1e3, size=(23, 1)),
        "text": data["text"][captions] * rng.uniform(1e-3, 1e3, size=(len(captions), 1)),
        "clip_of_caption": np.argsort(clips)[data["clip_of_caption"][captions]],
    }
    scores = retrieval_scores(DIRECTIONS[direction](**shuffled))
    assert scores == pytest.approx(retrieval_scores(whole), abs=1e-12) and 0 < scores["R@1"] < 1
    for size in (1, 4):
        monkeypatch.setattr(retrieval, "_BLOCK", size)
        assert all(np.array_equal(a, b) for a, b in zip(whole, DIRECTIONS[direction](**data)))


@pytest.mark.parametrize(
    "change",
    [
        lambda x, rng: x,
        lambda x, rng: x + 1e-7 * rng.normal(size=x.shape),
        lambda x, rng: (x * rng.uniform(1e-2, 1e2, size=(len(x), 1))).astype(np.float32),
        lambda x, rng: x.astype(np.float16),
    ],
    ids=["exact", "noise of float32", "any norm", "float16"],
)
def test_a_constant_embedding_scores_exactly_chance(change):
    rng, point = np.random.default_rng(1), np.random.default_rng(2).normal(size=64)
    counts = np.array([1, 5, 2, 5, 3, 1, 7])  # captions of each clip
    n, m = len(counts), counts.sum()
    data = {
        "audio": change(np.tile(point, (n, 1)), rng),
        "text": change(np.tile(point, (m, 1)), rng),
        "clip_of_caption": rng.permutation(np.repeat(np.arange(n), counts)),
    }
    at = (1, 5, 10, 1000)
    scores = retrieval_scores(text_to_audio_ranks(**data), at=at)
    assert [scores[f"R@{k}"] for k in at] == pytest.approx([min(1, k / n) for k in at], abs=1e-12)
    assert scores["mean_rank"] == scores["median_rank"] == pytest.approx((n + 1) / 2 / n, abs=1e-12)
    scores = retrieval_scores(audio_to_text_ranks(**data), at=at)
    for k in at:  # hypergeometric: not all of a clip's c captions miss the first k of m
        chance = np.mean([1 - math.comb(m - int(c), min(k, m)) / math.comb(m, min(k, m)) for c in counts])
        assert scores[f"R@{k}"] == pytest.approx(chance, abs=1e-12), k
    places = [(m + 1) / (c + 1) / m for c in counts]
    assert scores["mean_rank"] == pytest.approx(np.mean(places), abs=1e-12)
    assert scores["median_rank"] == pytest.approx(np.median(places), abs=1e-12)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"audio": np.full((3, 3), np.nan)}, "audio.*row 0"),
        ({"audio": np.eye(3)[:, :2] + 1}, "2.*3"),
        ({"clip_of_caption": np.arange(2)}, r"\(2,\)"),
        ({"clip_of_caption": np.array([0.0, 1.0, 2.0])}, "float64"),
        ({"clip_of_caption": np.array([-1, 1, 2])}, r"-1\.\.2 of 3"),
    ],
)
def test_retrieval_refuses_what_it_cannot_rank(changes, words):
    for rank in DIRECTIONS.values():
        with pytest.raises(MetricError, match=words):
            rank(**{"audio": np.eye(3), "text": np.eye(3), "clip_of_caption": np.arange(3)} | changes)


def test_ranks_refuse_what_has_no_answer():
    for similarities, positives, words in (
        (np.zeros((2, 3)), np.ones((3, 2), bool), r"\(2, 3\)"),
        (np.zeros((2, 0)), np.ones((2, 0), bool), r"\(2, 0\)"),
        (np.array([[0, np.nan]]), np.array([[True, False]]), "not finite"),
        (np.zeros((2, 2)), np.array([[True, False], [False, False]]), "query 1"),
    ):
        with pytest.raises(MetricError, match=words):
            ranks_of_positives(similarities, positives)


def test_first_hits_and_first_right_ranks_agree_with_pytorch_metric_learning():
    from pytorch_metric_learning.distances import CosineSimilarity
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
    from pytorch_metric_learning.utils.inference import CustomKNN

    measures = ("precision_at_1", "mean_reciprocal_rank")
    data = captioned(5, clips=60)
    audio, text, of = (torch.from_numpy(array) for array in data.values())
    arguments = [(text, of, audio, torch.arange(60)), (audio, torch.arange(60), text, of)]
    for rank, asked in zip(DIRECTIONS.values(), arguments):
        theirs = AccuracyCalculator(measures, k=len(asked[2]), knn_func=CustomKNN(CosineSimilarity()))
        expected, ranks = theirs.get_accuracy(*asked), rank(**data)
        assert ranks.hit_probability(1).mean() == pytest.approx(expected["precision_at_1"])
        assert (1 / ranks.expected).mean() == pytest.approx(expected["mean_reciprocal_rank"])
        assert 0.05 < expected["precision_at_1"] < 0.95, "neither trivial nor impossible"
