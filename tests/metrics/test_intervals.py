"""Intervals and tests by group: coverage in simulations, exact small cases, independent implementations."""

import itertools

import numpy as np
import pytest
from scipy import stats

from slapkit.errors import MetricError
from slapkit.metrics.gap import along_gap
from slapkit.metrics.intervals import bootstrap_error, estimate, over_seeds, sign_flip_p_value, standard_error

RNG = np.random.default_rng(0)


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
    found = sign_flip_p_value(ours - theirs, group_of=group_of, seed=0, draws=40_000)
    assert found == pytest.approx(exact, abs=0.01)


def test_the_same_seed_gives_the_same_in_any_order_of_queries():
    values, group_of, order = RNG.random(300), RNG.integers(0, 60, 300), RNG.permutation(300)
    for function in (standard_error, sign_flip_p_value):
        first = function(values - 0.5, group_of=group_of, seed=5)
        assert first == pytest.approx(function(values[order] - 0.5, group_of=group_of[order], seed=5))
        assert first != function(values - 0.5, group_of=group_of, seed=6)
    assert sign_flip_p_value(np.zeros(9), group_of=np.arange(9), seed=0) == 1
    assert np.isnan(standard_error(values, group_of=np.zeros(300), seed=0))


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
            standard_error(**{"values": np.ones(4), "group_of": np.arange(4), "seed": 0} | change)
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
