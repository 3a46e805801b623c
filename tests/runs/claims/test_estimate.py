import numpy as np
import pytest
from scipy import stats

from slapkit.errors import MetricError
from slapkit.metrics.intervals import standard_error
from slapkit.runs.claims.estimate import Quantity, compare, estimate, score
from tests.runs.claims.made import CARD, WORKS, run

RECALL = "q.text_to_audio.R@10"
SEEDS = (0, 1, 2)


def runs(shift=0.0, salt=0, seeds=SEEDS, **settings):
    return [run(shift, salt=salt, seed=seed, **settings) for seed in seeds]


def test_the_mean_over_seeds_lies_in_an_interval_of_works_and_seeds():
    ours = runs()
    found = estimate(ours, RECALL)
    values = [one[RECALL].value for one in ours]
    assert found.value == pytest.approx(np.mean(values))
    error = standard_error(np.mean([one[RECALL].units for one in ours], axis=0), group_of=WORKS, seed=0)
    variance = error**2 + np.var(values, ddof=1) / 3
    freedom = variance**2 / (error**4 / 79 + (np.var(values, ddof=1) / 3) ** 2 / 2)
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, freedom) * np.sqrt(variance))


def test_what_is_hard_for_both_cancels_in_a_comparison():
    ours, theirs = runs(0.05, salt=1), runs(salt=2)
    found = compare(ours, theirs, RECALL)
    assert found.difference == pytest.approx(0.05, abs=0.03) and found.low > 0 and found.p_value < 0.01
    alone = [estimate(side, RECALL) for side in (ours, theirs)]
    assert found.high - found.low < (alone[0].high - alone[0].low), "pairing removes what the works share"
    back = compare(theirs, ours, RECALL)
    assert (back.difference, back.low, back.high) == pytest.approx((-found.difference, -found.high, -found.low))


def test_figures_that_are_no_means_add_their_errors():
    def made(value, error, seed):
        return run(seed=seed, extra={"mAP": Quantity.other(value, error, WORKS)})

    ours, theirs = [made(0.5, 0.03, s) for s in SEEDS], [made(0.4, 0.04, s) for s in SEEDS]
    found = compare(ours, theirs, "mAP")
    assert found.difference == pytest.approx(0.1)
    assert found.high - found.difference == pytest.approx(stats.t.ppf(0.975, 79) * 0.05), "3-4-5"
    assert np.isnan(found.p_value)


def test_only_seeds_that_all_have_are_compared():
    some = runs(0.05, salt=1, seeds=(0, 2))
    assert compare(some, runs(), RECALL) == compare(some, runs(seeds=(0, 2)), RECALL)
    with pytest.raises(MetricError, match="no training seed is common"):
        compare(runs(seeds=(5,)), runs(), RECALL)
    with pytest.raises(MetricError, match="no training seed"):
        estimate([], RECALL)


def test_a_score_carries_its_card():
    found = score(runs(), RECALL)
    card = found.protocol
    assert (card.data_hash, card.direction, card.embedding, card.candidates) == ("abc", "text_to_audio", "q", 100)
    assert "bootstrap by work" in card.interval and "3 training seeds" in card.interval
    assert "alone" in score(runs(), "q.effective_rank").protocol.interval
    assert found.low < found.value < found.high
    with pytest.raises(MetricError, match="data_hash"):
        score([*runs(seeds=(0,)), run(seed=1, card=CARD | {"data_hash": "other"})], RECALL)
    with pytest.raises(MetricError, match="no run"):
        score([], RECALL)
