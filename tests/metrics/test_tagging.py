"""Tagging metrics against slow loops and scikit-learn, and what they must be worth at their ends."""

import itertools
import random

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from slapkit.errors import MetricError
from slapkit.metrics import tagging


def random_case(seed, clips=17, labels=5, ties=True):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 4, (clips, labels)) if ties else rng.normal(size=(clips, labels))
    tags = rng.random((clips, labels)) < 0.4
    tags[np.arange(clips), rng.integers(0, labels, clips)] = True
    tags[:labels] |= np.eye(labels, dtype=bool)
    tags[labels : 2 * labels] &= ~np.eye(labels, dtype=bool)
    tags[~tags.any(axis=1), 0] = True
    return scores.astype(float), tags


def slow_recall(scores, tags, orders):
    """Rank the labels in many random orders of the ties, and count."""
    chance, total = random.Random(0), 0.0
    for row, truth in zip(scores, tags):
        for _ in range(orders):
            order = sorted(range(len(row)), key=lambda c: (-row[c], chance.random()))
            found = itertools.accumulate(bool(truth[c]) for c in order)
            total += sum(f / truth.sum() for f in found) / len(row) / orders
    return total / len(scores)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("ties", [True, False])
def test_tag_metrics_agree_with_scikit_learn_and_only_the_order_matters(seed, ties):
    scores, tags = random_case(seed, clips=60, labels=9, ties=ties)
    auc, precision = tagging.roc_auc, tagging.mean_average_precision
    assert auc(scores=scores, tags=tags) == pytest.approx(roc_auc_score(tags, scores, average="macro"))
    expected = average_precision_score(tags, scores, average="macro")
    assert precision(scores=scores, tags=tags) == pytest.approx(expected)
    order = np.random.default_rng(0).permutation(len(scores))
    for metric in (auc, precision, tagging.mean_average_recall):
        value = metric(scores=np.exp(scores)[order], tags=tags[order])
        assert value == pytest.approx(metric(scores=scores, tags=tags))


@pytest.mark.parametrize(("ties", "orders", "tolerance"), [(True, 3000, 3e-3), (False, 1, 1e-12)])
def test_average_recall_agrees_with_rankings_drawn_at_random(ties, orders, tolerance):
    scores, tags = random_case(1, clips=11, ties=ties)
    expected = slow_recall(scores, tags, orders)
    assert tagging.mean_average_recall(scores=scores, tags=tags) == pytest.approx(expected, abs=tolerance)


def test_ties_count_at_their_expected_value_and_a_perfect_score_is_worth_everything():
    scores = np.array([[1.0, 2.0, 2.0], [3.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 5.0, 1.0]])
    assert tagging.hits(scores=scores, labels=np.array([2, 0, 1, 0])) == pytest.approx([1 / 2, 1, 1 / 3, 0])
    _, tags = random_case(0)
    labels = np.arange(len(tags)) % tags.shape[1]
    constant = np.zeros(tags.shape)
    assert tagging.accuracy(scores=constant, labels=labels) == pytest.approx(1 / tags.shape[1])
    assert tagging.roc_auc(scores=constant, tags=tags) == pytest.approx(0.5)
    assert tagging.mean_average_recall(scores=constant, tags=tags) == pytest.approx(0.5 + 0.5 / tags.shape[1])
    assert tagging.mean_average_precision(scores=constant, tags=tags) == pytest.approx(tags.mean(0).mean())
    perfect = tags + 0.0
    assert tagging.roc_auc(scores=perfect, tags=tags) == tagging.mean_average_precision(scores=perfect, tags=tags) == 1
    one_hot = np.eye(tags.shape[1])[labels]
    assert tagging.accuracy(scores=one_hot, labels=labels) == 1
    assert tagging.mean_average_recall(scores=one_hot, tags=one_hot.astype(bool)) == 1


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda s, t: tagging.roc_auc(scores=s, tags=t & [True, True, False, True, True]), "tag 2 is in no clip"),
        (lambda s, t: tagging.roc_auc(scores=s, tags=t | [True, False, False, False, False]), "tag 0 is in every clip"),
        (lambda s, t: tagging.roc_auc(scores=s[:, :1], tags=t[:, :1]), r"\(17, 1\)"),
        (lambda s, t: tagging.mean_average_recall(scores=s, tags=t & False), "clip 0 has no tag"),
        (lambda s, t: tagging.accuracy(scores=s * np.nan, labels=np.zeros(len(s), int)), "not finite"),
        (lambda s, t: tagging.accuracy(scores=s, labels=np.full(len(s), 5)), "5..5"),
        (lambda s, t: tagging.accuracy(scores=s, labels=np.zeros(3, int)), r"integers \[17\]"),
        (lambda s, t: tagging.mean_average_precision(scores=s, tags=t[:3]), r"\(3, 5\).*\(17, 5\)"),
        (lambda s, t: tagging.mean_average_precision(scores=s, tags=t * 0.5), "float64"),
        (lambda s, t: tagging.accuracy(scores=s[:0], labels=np.zeros(0, int)), r"\(0, 5\)"),
    ],
)
def test_bad_input_is_named(call, said):
    with pytest.raises(MetricError, match=said):
        call(*random_case(0))
