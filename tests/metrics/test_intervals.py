"""Intervals and tests by group: coverage in simulations, exact small cases, independent implementations."""

import itertools

import numpy as np
import pytest
from scipy import stats

from slapkit.errors import MetricError
from slapkit.metrics.gap import along_gap
from slapkit.metrics.intervals import (
    bootstrap_error,
    bootstrap_mean,
    compare_means,
    estimate,
    over_seeds,
    standard_error,
)

RNG = np.random.default_rng(0)


def clustered(seed, mean=0.3):
    """Hits of queries whose groups differ: the share of hits of a group is drawn around `mean`."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 12, 60)
    shares = rng.beta(4 * mean, 4 * (1 - mean), 60)
    group_of = np.repeat(np.arange(60), sizes)
    return (rng.random(len(group_of)) < shares[group_of]).astype(float), group_of


@pytest.mark.parametrize("mean", [0.05, 0.3])
def test_the_interval_covers_the_truth_as_often_as_it_says(mean):
    covered = np.zeros(2)
    for trial in range(200):
        hits, group_of = clustered([trial, round(100 * mean)], mean)
        for i, groups in enumerate((group_of, np.arange(len(group_of)))):
            _, low, high = bootstrap_mean(hits, group_of=groups, seed=trial, draws=200)
            covered[i] += low <= mean <= high
    assert 0.90 <= covered[0] / 200 <= 0.98 and covered[1] < covered[0] - 6, "single queries would be too sure"


def test_groups_of_one_agree_with_scipy():
    values = np.random.default_rng(0).gamma(2.0, size=80)
    ours = bootstrap_mean(values, group_of=np.arange(80), seed=1, draws=20_000)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(2))
    assert ours.value == pytest.approx(values.mean())
    low, high = theirs.confidence_interval
    assert ours[1:] == pytest.approx((low, high), abs=0.03 * (high - low))


def test_the_statistic_of_rows_sees_whole_groups():
    group_of, seen = np.array([0, 0, 1, 1, 1, 2]), []
    bootstrap_error(lambda rows: seen.append(np.sort(rows)) or rows.mean(), group_of=group_of, seed=0, draws=100)
    whole = [np.flatnonzero(group_of == g) for g in range(3)]
    drawn = itertools.combinations_with_replacement(whole, 3)
    possible = {tuple(np.sort(np.concatenate(groups))) for groups in drawn}
    assert {tuple(rows) for rows in seen} <= possible and len({tuple(r) for r in seen}) > 5
    values, given = RNG.normal(size=400), {"group_of": np.arange(400), "seed": 0, "draws": 1000}
    error = bootstrap_error(lambda rows: values[rows].mean(), **given)
    assert error == pytest.approx(stats.sem(values), rel=0.1)
    assert np.isnan(bootstrap_error(lambda rows: values[0] if rows[0] % 3 == 0 else float("nan"), **given))


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


def test_the_same_seed_gives_the_same_interval_in_any_order_of_queries():
    values, group_of = clustered(0)
    first, order = bootstrap_mean(values, group_of=group_of, seed=5), np.random.default_rng(1).permutation(len(values))
    assert first == pytest.approx(bootstrap_mean(values[order], group_of=group_of[order], seed=5))
    assert first != bootstrap_mean(values, group_of=group_of, seed=6)
    assert bootstrap_mean(np.ones(20), group_of=np.arange(20), seed=0) == (1.0, 1.0, 1.0)
    assert compare_means(values, values, group_of=group_of, seed=0) == (0.0, 0.0, 0.0, 1.0)
    one_group = {"values": values, "group_of": np.zeros(len(values)), "seed": 0}
    assert np.isnan([*bootstrap_mean(**one_group)[1:], standard_error(**one_group)]).all()


def test_the_estimate_of_the_gap_covers_the_truth_about_as_often_as_it_says():
    centre, covered = np.array([0.6, 0, 0, 0.8]), 0
    everything = RNG.normal(size=(200_000, 4)) * 0.5 + centre
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
    plain = estimate(hits).half_width
    assert plain == pytest.approx(1.96 * hits.std(ddof=1) / np.sqrt(20), rel=1e-3) and plain < once.half_width


def test_bad_input_is_named():
    for change, said in (
        ({"values": np.ones((2, 2))}, r"values \(2, 2\)"),
        ({"values": np.ones(3)}, r"groups \(4,\)"),
        ({"values": np.array([1.0, np.nan, 0.0, 1.0])}, "value 1 .*nan"),
        ({"draws": 5}, "draws=5"),
    ):
        with pytest.raises(MetricError, match=said):
            bootstrap_mean(**{"values": np.ones(4), "group_of": np.arange(4), "seed": 0} | change)
    with pytest.raises(MetricError, match=r"\(3,\) and \(4,\)"):
        compare_means(np.ones(3), np.ones(4), group_of=np.arange(3), seed=0)
    for bad in ({"values": np.array([])}, {"values": np.array([np.nan])}, {"error": -1.0}):
        with pytest.raises(MetricError):
            over_seeds(**{"values": np.ones(3), "error": 0.1, "groups": 5, **bad})


@pytest.mark.parametrize(("seeds", "spread"), [(3, 0.04), (5, 0.1)])
def test_the_interval_over_seeds_covers_other_seeds_and_other_works(seeds, spread):
    covered, without = 0, 0
    for trial in range(300):
        rng = np.random.default_rng([trial, seeds])
        group_of = np.repeat(np.arange(60), rng.integers(1, 12, 60))
        trained = rng.normal(0.3, 0.2, 60)[group_of] + rng.normal(0.0, spread, (seeds, 1))
        figures = trained + rng.normal(0, 0.3, (seeds, len(group_of)))
        error = standard_error(figures.mean(axis=0), group_of=group_of, seed=trial, draws=300)
        value, low, high = over_seeds(figures.mean(axis=1), error=error, groups=60)
        covered += low <= 0.3 <= high
        without += abs(value - 0.3) <= stats.t.ppf(0.975, 59) * error
    assert 0.90 <= covered / 300 <= 0.995, "a little wide at worst: Satterthwaite's degrees are few for three seeds"
    assert spread < 0.1 or without / 300 < 0.90, "works alone are too sure of what seeds decide"


def test_over_seeds_agrees_with_its_parts():
    values = np.array([0.2, 0.3, 0.5])
    alone = over_seeds(values, error=0.0, groups=100)
    np.testing.assert_allclose(alone[1:], stats.t.interval(0.95, 2, loc=values.mean(), scale=stats.sem(values)))
    one = over_seeds(values[:1], error=0.1, groups=11)
    np.testing.assert_allclose(one[1:], stats.t.interval(0.95, 10, loc=0.2, scale=0.1))
    assert over_seeds(np.full(3, 0.5), error=0.0, groups=9) == (0.5, 0.5, 0.5)
    assert np.isnan(over_seeds(values, error=0.1, groups=1).low), "one work says nothing of others"
