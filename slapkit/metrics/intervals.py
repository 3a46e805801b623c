"""How sure is a figure? Bootstrap intervals and permutation tests that respect groups.

Queries about one work are not independent: the unit that is drawn again, or whose sign is flipped, is the *group*
(the work), with all of its queries. Everything is a pure function of its arguments and `seed`.

Sources: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapters 13 and 14.3 (percentile and BCa
intervals, BCa being the default, for recalls near 0 or 1 are skewed); Davison and Hinkley, Bootstrap Methods (1997),
3.8 (clusters); Ernst, Permutation Methods (2004), for the p-value that counts the observed arrangement; Satterthwaite,
An Approximate Distribution of Estimates of Variance Components (1946), for training seeds beside groups.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from slapkit.errors import MetricError


class Interval(NamedTuple):
    """A figure with the interval that it lies in; NaN where one group alone leaves none."""

    value: float
    low: float
    high: float


class Comparison(NamedTuple):
    """How much larger a figure is for one model than for another, with its interval and two-sided p-value."""

    difference: float
    low: float
    high: float
    p_value: float


def bootstrap_mean(
    values: np.ndarray, *, group_of: np.ndarray, seed: int, draws: int = 2000, level: float = 0.95
) -> Interval:
    """Mean of `values [Q]` and its BCa interval, groups drawn again with all of their values.

    Args:
        values: one figure a query, such as whether the right clip was among the first ten.
        group_of: `[Q]`, the group of each query.
        seed: of the draws.
        draws: bootstrap samples.
        level: nominal coverage, in (0, 1).

    Raises:
        MetricError: shapes differ, no values, values that are not finite, or settings out of range.
    """
    values, number = _checked(values, group_of, draws, level)
    sums, counts = np.bincount(number, weights=values), np.bincount(number)
    if len(sums) < 2:
        return Interval(float(values.mean()), float("nan"), float("nan"))
    rng = np.random.default_rng(seed)
    # Drawing groups with replacement means giving each a multinomial weight: no copies of the queries are made.
    weights = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=draws)
    drawn = (weights @ sums) / (weights @ counts)
    without = (sums.sum() - sums) / (counts.sum() - counts)
    return _bca(float(values.mean()), drawn, without, level)


def bootstrap(
    statistic: Callable[[np.ndarray], float],
    *,
    group_of: np.ndarray,
    seed: int,
    draws: int = 1000,
    level: float = 0.95,
) -> Interval:
    """A statistic of rows and its percentile interval, groups drawn again with all of their rows.

    Args:
        statistic: takes row numbers `[R]`, some of them several times, and returns the figure on these rows. NaN means
            that the figure is not defined on a draw (a single class, say); such draws are left out.
        group_of: `[Q]`, the group of each row.
        seed, draws, level: as in `bootstrap_mean`.

    Raises:
        MetricError: as in `bootstrap_mean`, or the statistic is defined on less than half of the draws.
    """
    _, number = _checked(np.zeros(len(group_of)), group_of, draws, level)
    value = float(statistic(np.arange(len(number))))
    order = np.argsort(number, kind="stable")
    rows_of = np.split(order, np.cumsum(np.bincount(number))[:-1])
    if len(rows_of) < 2:
        return Interval(value, float("nan"), float("nan"))
    rng = np.random.default_rng(seed)
    drawn = np.array(
        [
            statistic(np.concatenate([rows_of[g] for g in rng.integers(len(rows_of), size=len(rows_of))]))
            for _ in range(draws)
        ]
    )
    drawn = drawn[np.isfinite(drawn)]
    if len(drawn) < draws / 2:
        raise MetricError(
            f"the figure is defined on {len(drawn)} of {draws} bootstrap samples of {len(rows_of)} groups: take more "
            "data, or labels that are less rare"
        )
    tail = (1 - level) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Interval(value, float(low), float(high))


def compare_means(
    ours: np.ndarray,
    theirs: np.ndarray,
    *,
    group_of: np.ndarray,
    seed: int,
    draws: int = 10_000,
    level: float = 0.95,
) -> Comparison:
    """Paired comparison of two models on the same queries: mean of `ours - theirs`, interval and p-value.

    Under the hypothesis that the models are alike, the two figures of a group could be exchanged: the p-value is the
    share of sign flips of whole groups whose difference is at least as large as the observed one, which itself counts.

    Args:
        ours, theirs: `[Q]`, one figure a query for each model, in the same order.
        group_of, seed, draws, level: as in `bootstrap_mean`.

    Raises:
        MetricError: as in `bootstrap_mean`, or the two have different lengths.
    """
    if np.shape(ours) != np.shape(theirs):
        raise MetricError(f"figures of {np.shape(ours)} and {np.shape(theirs)} queries: the same queries are needed")
    difference, number = _checked(np.subtract(ours, theirs, dtype=np.float64), group_of, draws, level)
    interval = bootstrap_mean(difference, group_of=number, seed=seed, level=level)
    sums = np.bincount(number, weights=difference)
    rng = np.random.default_rng([seed, 1])
    signs = rng.choice(np.array([-1.0, 1.0]), size=(draws, len(sums)))
    observed = abs(sums.sum())
    # Sums of the same terms in another order differ in their last digits: those are ties, not smaller.
    extreme = int((np.abs(signs @ sums) >= observed * (1 - 1e-12) - 1e-12).sum())
    return Comparison(*interval, (extreme + 1) / (draws + 1))


def standard_error(values: np.ndarray, *, group_of: np.ndarray, seed: int, draws: int = 1000) -> float:
    """Bootstrap standard error of the mean of `values [Q]`, groups drawn again; NaN where there is one group alone.

    Raises:
        MetricError: as in `bootstrap_mean`.
    """
    values, number = _checked(values, group_of, draws, 0.95)
    sums, counts = np.bincount(number, weights=values), np.bincount(number)
    if len(sums) < 2:
        return float("nan")
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=draws)
    return float(((weights @ sums) / (weights @ counts)).std(ddof=1))


def over_seeds(values: np.ndarray, *, error: float, groups: int, level: float = 0.95) -> Interval:
    """Mean of a figure over training seeds, with an interval for other seeds and other test data.

    The test data is the same for every seed, so its error does not shrink with more seeds; that of the seeds does. Both
    add up as variances, with Satterthwaite's degrees of freedom for Student's t. One seed tells nothing of the
    others: then the interval is for the test data alone.

    Args:
        values: `[S]`, the figure for each seed.
        error: standard error of the seeds' mean that is due to the test data, such as `standard_error` of per-query
            figures averaged over seeds.
        groups: number of groups (works) that the error was taken over.

    Raises:
        MetricError: no values, values that are not finite, a negative error, or `level` out of range.
    """
    from scipy.stats import t

    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise MetricError(f"values {values} must be [S], finite, with S >= 1")
    if error < 0 or not 0 < level < 1:
        raise MetricError(f"error={error!r} must be at least 0 and level={level!r} between 0 and 1")
    mean, seeds = float(values.mean()), len(values)
    parts = [(error**2, groups - 1)]
    if seeds > 1:
        parts.append((float(values.var(ddof=1)) / seeds, seeds - 1))
    variance = sum(part for part, _ in parts)
    if not np.isfinite(variance) or groups < 2:
        return Interval(mean, float("nan"), float("nan"))
    if variance == 0:
        return Interval(mean, mean, mean)
    freedom = variance**2 / sum(part**2 / degrees for part, degrees in parts)
    half = float(t.ppf((1 + level) / 2, freedom)) * np.sqrt(variance)
    return Interval(mean, mean - half, mean + half)


def _checked(values: np.ndarray, group_of: np.ndarray, draws: int, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Return values as float64 and groups as numbers from 0."""
    values, group_of = np.asarray(values, dtype=np.float64), np.asarray(group_of)
    if values.ndim != 1 or values.shape != group_of.shape or not len(values):
        raise MetricError(f"values {values.shape} and groups {group_of.shape} must both be [Q] with Q >= 1")
    if not np.isfinite(values).all():
        raise MetricError(
            f"value {int(np.argmin(np.isfinite(values)))} is not finite: {values[~np.isfinite(values)][0]}"
        )
    if draws < 100:
        raise MetricError(f"draws={draws!r}: at least 100 are needed for an interval")
    if not 0 < level < 1:
        raise MetricError(f"level={level!r} must lie between 0 and 1, such as 0.95")
    return values, np.unique(group_of, return_inverse=True)[1]


def _bca(value: float, drawn: np.ndarray, without: np.ndarray, level: float) -> Interval:
    """Bias-corrected and accelerated interval from bootstrap means and leave-one-group-out means."""
    from scipy.stats import norm

    below = ((drawn < value).sum() + 0.5 * (drawn == value).sum()) / len(drawn)
    if not 0 < below < 1 or np.ptp(drawn) == 0:
        return Interval(value, float(drawn.min()), float(drawn.max()))
    bias = norm.ppf(below)
    deviation = without.mean() - without
    spread = (deviation**2).sum()
    acceleration = (deviation**3).sum() / (6 * spread**1.5) if spread > 0 else 0.0
    tails = norm.ppf([(1 - level) / 2, (1 + level) / 2])
    shares = norm.cdf(bias + (bias + tails) / (1 - acceleration * (bias + tails)))
    low, high = np.quantile(drawn, shares)
    return Interval(value, float(low), float(high))
