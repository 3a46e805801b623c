"""Intervals and tests by group: coverage in simulations, exact small cases, independent implementations."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from slapkit.errors import MetricError
from slapkit.metrics.gap import along_gap
from slapkit.metrics.intervals import bootstrap, bootstrap_mean, compare_means, estimate, over_seeds, standard_error

RNG = np.random.default_rng(0)


def clustered(rng, groups=60, mean=0.3):
    """Hits of queries whose groups differ: the share of hits of a group is drawn around `mean`."""
    sizes = rng.integers(1, 12, groups)
    shares = rng.beta(4 * mean, 4 * (1 - mean), groups)
    group_of = np.repeat(np.arange(groups), sizes)
    return (rng.random(len(group_of)) < shares[group_of]).astype(float), group_of


@pytest.mark.parametrize("mean", [0.05, 0.3, 0.9])
def test_the_interval_covers_the_truth_as_often_as_it_says(mean):
    covered = np.zeros(2)
    for trial in range(300):
        hits, group_of = clustered(np.random.default_rng([trial, round(100 * mean)]), mean=mean)
        for i, groups in enumerate((group_of, np.arange(len(group_of)))):
            _, low, high = bootstrap_mean(hits, group_of=groups, seed=trial, draws=200)
            covered[i] += low <= mean <= high
    assert 0.90 <= covered[0] / 300 <= 0.98 and covered[1] < covered[0] - 10, "single queries would be too sure"


def test_groups_of_one_agree_with_scipy():
    values = np.random.default_rng(0).gamma(2.0, size=80)
    ours = bootstrap_mean(values, group_of=np.arange(80), seed=1, draws=20_000)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(2))
    assert ours.value == pytest.approx(values.mean())
    width = theirs.confidence_interval.high - theirs.confidence_interval.low
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.03 * width)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.03 * width)


def test_the_statistic_of_rows_sees_whole_groups():
    group_of = np.array([0, 0, 1, 1, 1, 2])
    seen = []

    def statistic(rows):
        seen.append(np.sort(rows))
        return float(rows.mean())

    bootstrap(statistic, group_of=group_of, seed=0, draws=100)
    whole = [np.flatnonzero(group_of == g) for g in range(3)]
    possible = {
        tuple(np.sort(np.concatenate([whole[g] for g in drawn])))
        for drawn in itertools.combinations_with_replacement(range(3), 3)
    }
    assert {tuple(rows) for rows in seen} <= possible and len({tuple(r) for r in seen}) > 5


def test_the_p_value_is_that_of_all_sign_flips():
    rng = np.random.default_rng(0)
    group_of = np.repeat(np.arange(9), rng.integers(1, 4, 9))
    ours, theirs = rng.random((2, len(group_of)))
    sums = [sum(o - t for o, t, g in zip(ours, theirs, group_of) if g == k) for k in range(9)]
    flips = [abs(sum(s * x for s, x in zip(signs, sums))) for signs in itertools.product([-1, 1], repeat=9)]
    exact = np.mean([f >= abs(sum(sums)) - 1e-12 for f in flips])
    found = compare_means(ours, theirs, group_of=group_of, seed=0, draws=40_000)
    assert found.p_value == pytest.approx(exact, abs=0.01)
    assert found.difference == pytest.approx((ours - theirs).mean())


def test_alike_models_rarely_differ_and_unlike_ones_nearly_always():
    alarms, found = 0, 0
    for trial in range(200):
        rng = np.random.default_rng([trial, 3])
        base, group_of = clustered(rng)
        noise = rng.normal(size=(2, len(base)))
        alarms += compare_means(base + noise[0], base + noise[1], group_of=group_of, seed=0, draws=200).p_value < 0.05
        found += compare_means(base + noise[0] + 0.5, base, group_of=group_of, seed=0, draws=200).p_value < 0.05
    assert 0.01 <= alarms / 200 <= 0.10 and found / 200 > 0.9


def test_equal_figures_differ_by_nothing():
    values, group_of = clustered(np.random.default_rng(0))
    assert compare_means(values, values, group_of=group_of, seed=0) == (0.0, 0.0, 0.0, 1.0)
    swapped = compare_means(values, 1 - values, group_of=group_of, seed=0)
    back = compare_means(1 - values, values, group_of=group_of, seed=0)
    assert swapped.difference == pytest.approx(-back.difference) and swapped.p_value == back.p_value


def test_the_same_seed_gives_the_same_interval_and_the_order_of_queries_does_not_matter():
    values, group_of = clustered(np.random.default_rng(0))
    first = bootstrap_mean(values, group_of=group_of, seed=5)
    order = np.random.default_rng(1).permutation(len(values))
    assert first == pytest.approx(bootstrap_mean(values[order], group_of=group_of[order], seed=5))
    assert first != bootstrap_mean(values, group_of=group_of, seed=6)


def test_the_estimate_of_the_gap_covers_the_truth_about_as_often_as_it_says():
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


def test_estimate_counts_groups_not_queries():
    hits, groups = np.repeat([1.0, 0.0, 1.0, 1.0], 5), np.repeat(np.arange(4), 5)
    once = estimate(hits[::5], np.arange(4))
    assert estimate(hits, groups) == pytest.approx(once), "five equal captions say no more than one"
    assert estimate(hits, np.arange(20)).half_width < once.half_width
    plain = estimate(hits, np.arange(20))
    assert plain.half_width == pytest.approx(1.96 * hits.std(ddof=1) / np.sqrt(20), rel=1e-3)


def test_perfect_scores_have_no_width_and_one_group_has_no_interval():
    assert bootstrap_mean(np.ones(20), group_of=np.arange(20), seed=0) == (1.0, 1.0, 1.0)
    value, low, high = bootstrap_mean(np.array([0.0, 1.0]), group_of=np.zeros(2), seed=0)
    assert value == 0.5 and np.isnan(low) and np.isnan(high)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"values": np.ones((2, 2))}, r"values \(2, 2\)"),
        ({"values": np.ones(3)}, r"groups \(4,\)"),
        ({"values": np.array([1.0, np.nan, 0.0, 1.0])}, "value 1"),
        ({"draws": 5}, "draws=5"),
        ({"level": 95}, "level=95"),
    ],
)
def test_bad_input_is_named(change, said):
    given = {"values": np.ones(4), "group_of": np.arange(4), "seed": 0} | change
    with pytest.raises(MetricError, match=said):
        bootstrap_mean(given.pop("values"), **given)


def test_a_figure_that_is_hardly_ever_defined_is_refused():
    with pytest.raises(MetricError, match="0 of 100"):
        bootstrap(lambda rows: float("nan"), group_of=np.arange(5), seed=0, draws=100)
    with pytest.raises(MetricError, match=r"\(3,\) and \(4,\)"):
        compare_means(np.ones(3), np.ones(4), group_of=np.arange(3), seed=0)


def seeds_of_one_setting(rng, seeds=3, groups=60, spread=0.04):
    """Per-query figures `[S, Q]` of several trainings on the same queries, around a true mean of 0.3."""
    sizes = rng.integers(1, 12, groups)
    group_of = np.repeat(np.arange(groups), sizes)
    hard = rng.normal(0.3, 0.2, groups)[group_of]
    trained = rng.normal(0.0, spread, (seeds, 1))
    return hard + trained + rng.normal(0, 0.3, (seeds, len(group_of))), group_of


@pytest.mark.parametrize(("seeds", "spread"), [(3, 0.04), (3, 0.0), (5, 0.1)])
def test_the_interval_over_seeds_covers_other_seeds_and_other_works(seeds, spread):
    covered, without = 0, 0
    for trial in range(300):
        figures, group_of = seeds_of_one_setting(np.random.default_rng([trial, seeds]), seeds, spread=spread)
        error = standard_error(figures.mean(axis=0), group_of=group_of, seed=trial, draws=300)
        value, low, high = over_seeds(figures.mean(axis=1), error=error, groups=60)
        covered += low <= 0.3 <= high
        without += abs(value - 0.3) <= stats.t.ppf(0.975, 59) * error
    assert 0.90 <= covered / 300 <= 0.995, "a little wide at worst: Satterthwaite's degrees are few for three seeds"
    if spread == 0.1:
        assert without / 300 < 0.90, "works alone are too sure of what seeds decide"


def test_over_seeds_agrees_with_its_parts():
    values = np.array([0.2, 0.3, 0.5])
    alone = over_seeds(values, error=0.0, groups=100)
    expected = stats.t.interval(0.95, 2, loc=values.mean(), scale=stats.sem(values))
    np.testing.assert_allclose(alone[1:], expected)
    one = over_seeds(values[:1], error=0.1, groups=11)
    np.testing.assert_allclose(one[1:], stats.t.interval(0.95, 10, loc=0.2, scale=0.1))
    assert over_seeds(np.full(3, 0.5), error=0.0, groups=9) == (0.5, 0.5, 0.5)
    assert np.isnan(over_seeds(values, error=0.1, groups=1).low), "one work tells nothing of others"
    for bad in ({"values": np.array([])}, {"values": np.array([np.nan])}, {"error": -1.0}, {"level": 1.0}):
        with pytest.raises(MetricError):
            over_seeds(**{"values": values, "error": 0.1, "groups": 5, **bad})


def test_the_standard_error_is_that_of_means_of_groups_of_one_size():
    rng = np.random.default_rng(3)
    means = rng.normal(size=50)
    group_of = np.repeat(np.arange(50), 4)
    found = standard_error(np.repeat(means, 4), group_of=group_of, seed=0, draws=4000)
    np.testing.assert_allclose(found, means.std() / np.sqrt(50), rtol=0.05)
    assert np.isnan(standard_error(means, group_of=np.zeros(50), seed=0))
