"""Standard errors, intervals and permutation tests that respect groups.

Queries about one work are not independent: *groups* (works) are resampled, or have their signs flipped, with all of
their queries. Everything is a pure function of its arguments and `seed`. Intervals are of 95 %.

Sources: Davison and Hinkley, Bootstrap Methods (1997), 3.8 (clusters); Ernst, Permutation Methods (2004) (the p-value
counts the observed arrangement); Satterthwaite, An Approximate Distribution of Estimates of Variance Components (1946)
(training seeds beside groups).
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


def sign_flip_p_value(differences: np.ndarray, *, group_of: np.ndarray, seed: int, draws: int = 10_000) -> float:
    """Two-sided p-value of the mean of `differences [Q]` of two models on the same queries, `group_of [Q]`.

    It is the share of sign flips of whole groups whose mean is at least as far from 0 as the observed one, which itself
    counts.

    Raises:
        MetricError: shapes differ, no values, values that are not finite, or fewer than 100 draws.
    """
    sums, _ = _by_group(differences, group_of, draws)
    signs = np.random.default_rng([seed, 1]).choice(np.array([-1.0, 1.0]), size=(draws, len(sums)))
    # Sums of the same terms in another order differ in their last digits: those are ties, not smaller.
    extreme = int((np.abs(signs @ sums) >= abs(sums.sum()) * (1 - 1e-12) - 1e-12).sum())
    return (extreme + 1) / (draws + 1)


def standard_error(values: np.ndarray, *, group_of: np.ndarray, seed: int, draws: int = 1000) -> float:
    """Bootstrap standard error of the mean of `values [Q]` over groups, `group_of [Q]`; NaN where there is one group.

    Raises:
        MetricError: as `sign_flip_p_value`.
    """
    sums, counts = _by_group(values, group_of, draws)
    if len(sums) < 2:
        return float("nan")
    # To draw groups with replacement is to give each a multinomial weight.
    weights = np.random.default_rng(seed).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=draws)
    return float(((weights @ sums) / (weights @ counts)).std(ddof=1))


def estimate(values: np.ndarray, group_of: np.ndarray | None = None) -> Estimate:
    """Mean of `values [Q]` with half its interval, by the cluster-robust standard error of a mean.

    By default each value is a group of its own.

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


def _by_group(values: np.ndarray, group_of: np.ndarray, draws: int) -> tuple[np.ndarray, np.ndarray]:
    """Return sum and count of the values of each group."""
    values, number = _checked(values, group_of, draws)
    return np.bincount(number, weights=values), np.bincount(number)


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
