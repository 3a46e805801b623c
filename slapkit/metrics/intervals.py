"""Bootstrap intervals and permutation tests that respect groups.

Queries about one work are not independent: *groups* (works) are resampled, or have their signs flipped, with all of
their queries. Everything is a pure function of its arguments and `seed`. Intervals are of 95 %.

Sources: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapters 13 and 14.3 (percentile and BCa
intervals; recalls near 0 or 1 are skewed); Davison and Hinkley, Bootstrap Methods (1997), 3.8 (clusters); Ernst,
Permutation Methods (2004) (the p-value counts the observed arrangement); Satterthwaite, An Approximate Distribution of
Estimates of Variance Components (1946) (training seeds beside groups).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from slapkit.errors import MetricError

_LEVEL = 0.95
_ONE_SIGMA = 0.6827  # share of a normal distribution within one standard deviation
_Z95 = 1.959964  # standard normal quantile of a two-sided interval of 95 %


class Interval(NamedTuple):
    """A figure with its interval, NaN where there is one group."""

    value: float
    low: float
    high: float


class Estimate(NamedTuple):
    """A mean and half the width of its interval, NaN where one group leaves none."""

    value: float
    half_width: float


class Comparison(NamedTuple):
    """Difference of a figure between two models, with its interval and two-sided p-value."""

    difference: float
    low: float
    high: float
    p_value: float


def bootstrap_mean(values: np.ndarray, *, group_of: np.ndarray, seed: int, draws: int = 2000) -> Interval:
    """Mean of `values [Q]` and its BCa interval over groups.

    Args:
        values: one figure a query.
        group_of: `[Q]`, the group of each query.
        draws: number of bootstrap samples.

    Raises:
        MetricError: shapes differ, no values, values that are not finite, or fewer than 100 draws.
    """
    value, sums, counts = _by_group(values, group_of, draws)
    if len(sums) < 2:
        return Interval(value, float("nan"), float("nan"))
    without = (sums.sum() - sums) / (counts.sum() - counts)
    return _bca(value, _drawn_means(sums, counts, seed, draws), without)


def bootstrap_error(statistic: Callable[[np.ndarray], float], *, group_of: np.ndarray, seed: int, draws: int) -> float:
    """Bootstrap standard error over groups of a statistic that is no mean: half the width of the middle 68 % of draws.

    Args:
        statistic: takes row indices `[R]`, with repetitions, and returns the figure on these rows. Draws on which it
            is NaN (a single class, say) are left out.
        group_of: `[Q]`, the group of each row.

    Returns:
        NaN where there is one group, or the statistic is defined on less than half of the draws.
    """
    _, number = _checked(np.zeros(len(group_of)), group_of, draws)
    rows_of = np.split(np.argsort(number, kind="stable"), np.cumsum(np.bincount(number))[:-1])
    count, rng = len(rows_of), np.random.default_rng(seed)
    samples = (np.concatenate([rows_of[g] for g in rng.integers(count, size=count)]) for _ in range(draws))
    drawn = np.array([statistic(rows) for rows in samples])
    drawn = drawn[np.isfinite(drawn)]
    if count < 2 or len(drawn) < draws / 2:
        return float("nan")
    low, high = np.quantile(drawn, [(1 - _ONE_SIGMA) / 2, (1 + _ONE_SIGMA) / 2])
    return float(high - low) / 2


def compare_means(
    ours: np.ndarray, theirs: np.ndarray, *, group_of: np.ndarray, seed: int, draws: int = 10_000
) -> Comparison:
    """Paired comparison of two models on the same queries: mean of `ours - theirs`, both `[Q]`, and its interval.

    The p-value is the share of sign flips of whole groups whose difference is at least as large as the observed one,
    which itself counts. Arguments and errors are otherwise those of `bootstrap_mean`.
    """
    if np.shape(ours) != np.shape(theirs):
        raise MetricError(f"figures of {np.shape(ours)} and {np.shape(theirs)} queries: the same queries are needed")
    difference = np.subtract(ours, theirs, dtype=np.float64)
    interval = bootstrap_mean(difference, group_of=group_of, seed=seed)
    _, sums, _ = _by_group(difference, group_of, draws)
    rng = np.random.default_rng([seed, 1])
    signs = rng.choice(np.array([-1.0, 1.0]), size=(draws, len(sums)))
    observed = abs(sums.sum())
    # Sums of the same terms in another order differ in their last digits: those are ties, not smaller.
    extreme = int((np.abs(signs @ sums) >= observed * (1 - 1e-12) - 1e-12).sum())
    return Comparison(*interval, (extreme + 1) / (draws + 1))


def standard_error(values: np.ndarray, *, group_of: np.ndarray, seed: int, draws: int = 1000) -> float:
    """Bootstrap standard error of the mean of `values [Q]` over groups; NaN where there is one group."""
    _, sums, counts = _by_group(values, group_of, draws)
    return float(_drawn_means(sums, counts, seed, draws).std(ddof=1)) if len(sums) > 1 else float("nan")


def _drawn_means(sums: np.ndarray, counts: np.ndarray, seed: int, draws: int) -> np.ndarray:
    """Means `[draws]` of groups drawn with replacement, which is to give each a multinomial weight."""
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=draws)
    return (weights @ sums) / (weights @ counts)


def estimate(values: np.ndarray, group_of: np.ndarray | None = None) -> Estimate:
    """Mean of `values [Q]` with half its interval, by the cluster-robust standard error of a mean.

    It is quick enough to be drawn at once; `bootstrap_mean` is more exact where values are skewed. By default each
    value is a group of its own.

    Raises:
        MetricError: shapes differ, no values, or values that are not finite.

    Examples:
        >>> found = [1, 1, 1, 0, 1, 0, 0, 1]  # by query; two about each of four works
        >>> share, half_width = estimate(found, group_of=[0, 0, 1, 1, 2, 2, 3, 3])
        >>> share, round(half_width, 3)
        (0.625, 0.245)
    """
    values, number = _checked(values, np.arange(len(values)) if group_of is None else group_of)
    sums = np.bincount(number, weights=values - values.mean())
    groups = len(sums)
    if groups < 2:
        return Estimate(float(values.mean()), float("nan"))
    error = np.sqrt((sums**2).sum() * groups / (groups - 1)) / len(values)
    return Estimate(float(values.mean()), float(_Z95 * error))


def over_seeds(values: np.ndarray, *, error: float, groups: int) -> Interval:
    """Mean of a figure over training seeds, with an interval for other seeds and other test data.

    All seeds share the test data, so its error does not shrink with more seeds; that of the seeds does. Both add up as
    variances, with Satterthwaite's degrees of freedom. With one seed the interval is that of the test data alone.

    Args:
        values: `[S]`, the figure for each seed.
        error: standard error due to the test data, such as `standard_error` of figures averaged over seeds.
        groups: number of groups of the test data.

    Raises:
        MetricError: no values, values that are not finite, or a negative error.
    """
    from scipy.stats import t

    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all() or error < 0:
        raise MetricError(f"values {values} must be [S], finite, with S >= 1, and error={error!r} at least 0")
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
    half = float(t.ppf((1 + _LEVEL) / 2, freedom)) * np.sqrt(variance)
    return Interval(mean, mean - half, mean + half)


def _by_group(values: np.ndarray, group_of: np.ndarray, draws: int) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the mean of all values, and sum and count of each group's."""
    values, number = _checked(values, group_of, draws)
    return float(values.mean()), np.bincount(number, weights=values), np.bincount(number)


def _checked(values: np.ndarray, group_of: np.ndarray, draws: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """Return values as float64 and groups as numbers from 0."""
    values, group_of = np.asarray(values, dtype=np.float64), np.asarray(group_of)
    if values.ndim != 1 or values.shape != group_of.shape or not len(values):
        raise MetricError(f"values {values.shape} and groups {group_of.shape} must both be [Q] with Q >= 1")
    if not np.isfinite(values).all():
        first = int(np.argmin(np.isfinite(values)))
        raise MetricError(f"value {first} is not finite: {values[first]}")
    if draws < 100:
        raise MetricError(f"draws={draws!r}: at least 100 are needed for an interval")
    return values, np.unique(group_of, return_inverse=True)[1]


def _bca(value: float, drawn: np.ndarray, without: np.ndarray) -> Interval:
    """Bias-corrected and accelerated interval from bootstrap means and leave-one-group-out means."""
    from scipy.stats import norm

    below = ((drawn < value).sum() + 0.5 * (drawn == value).sum()) / len(drawn)
    if not 0 < below < 1 or np.ptp(drawn) == 0:
        return Interval(value, float(drawn.min()), float(drawn.max()))
    bias = norm.ppf(below)
    deviation = without.mean() - without
    squares = (deviation**2).sum()
    acceleration = (deviation**3).sum() / (6 * squares**1.5) if squares > 0 else 0.0
    tails = norm.ppf([(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    shares = norm.cdf(bias + (bias + tails) / (1 - acceleration * (bias + tails)))
    return Interval(value, *map(float, np.quantile(drawn, shares)))
