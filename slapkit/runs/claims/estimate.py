"""Figures of runs, combined over training seeds and compared on the same queries, with their intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from slapkit.errors import MetricError
from slapkit.metrics.intervals import Comparison, Interval, compare_means, over_seeds, standard_error
from slapkit.metrics.protocol import Protocol, Score

_SEED = 0  # of what is drawn again
SHARES = ("R@1", "R@5", "R@10", "mean_rank", "separability")  # figures from 0 to 1, with those of abilities


@dataclass(frozen=True)
class Quantity:
    """One figure of one run.

    `units [n]` are figures of single queries, clips or pairs whose mean is `value`, None where it is no mean; `groups`
    is the work of each unit, or `[G]` all works. `error` is the standard error over works where there are no units,
    None where only training seeds give one. `about` are the fields of the protocol in which figures of one run differ.
    """

    value: float
    units: np.ndarray | None
    groups: np.ndarray
    error: float | None
    about: dict[str, str | int]

    @classmethod
    def mean(cls, units: np.ndarray, groups: np.ndarray, **about: str | int) -> Self:
        """Return the figure that is the mean of `units [n]`; raise `MetricError` unless `groups` are `[n]` too."""
        units = np.asarray(units, dtype=np.float64)
        if units.shape != np.shape(groups) or not len(units):
            raise MetricError(f"units {units.shape} and groups {np.shape(groups)} must both be [n] with n >= 1")
        return cls(float(units.mean()), units, np.asarray(groups), None, about)

    @classmethod
    def other(cls, value: float, error: float | None, groups: np.ndarray, **about: str | int) -> Self:
        """Return a figure that is no mean, with its standard error."""
        return cls(float(value), None, np.unique(groups), None if error is None else float(error), about)

    def standard_error(self) -> float:
        if self.units is not None:
            return standard_error(self.units, group_of=self.groups, seed=_SEED)
        return self.error or 0.0


@dataclass(frozen=True)
class Measured:
    """The figures of one run by name, such as "q.text_to_audio.R@10"; `card` are the protocol fields they share."""

    folder: Path
    seed: int
    figures: dict[str, Quantity]
    card: dict[str, Any]

    def __getitem__(self, name: str) -> Quantity:
        if name not in self.figures:
            why = ": too few clips share a label" if name.startswith(("zero.", "probe.")) else ""
            raise MetricError(f"{self.folder.name}: {name!r} was not measured{why}")
        return self.figures[name]


Term = tuple[float, Sequence[Measured], str]  # weight, runs of one setting by seed, name of the figure


def estimate(runs: Sequence[Measured], name: str) -> Interval:
    """Return a figure's mean over the runs' seeds, with its interval over works and seeds; raise `MetricError` where
    there are no runs, or it was not measured, or not on the same works."""
    return Interval(*contrast([(1.0, runs, name)])[:3])


def compare(ours: Sequence[Measured], theirs: Sequence[Measured], name: str) -> Comparison:
    """Return how much larger a figure is for `ours` than for `theirs`, both on the same queries."""
    return contrast([(1.0, ours, name), (-1.0, theirs, name)])


def contrast(terms: Sequence[Term]) -> Comparison:
    """Return a weighted sum of figures with its interval and two-sided p-value.

    Where all are means of the same units, the units are combined first, so that what is hard for both sides cancels;
    the p-value is that of flipping signs of whole works. Elsewhere errors add up as if they were independent, and there
    is no p-value. The training seeds that all terms have count; where there are none, or the runs were measured on
    different data, a `MetricError` says so, as in `estimate`.
    """
    _require_same_data([run for _, runs, _ in terms for run in runs])
    common = set.intersection(*({run.seed for run in runs} for _, runs, _ in terms)) if terms else set()
    if not common:
        raise MetricError("no training seed is common to all runs: train the missing ones, or name runs that exist")
    parts = [
        (weight, [run[name] for run in sorted(runs, key=lambda r: r.seed) if run.seed in common])
        for weight, runs, name in terms
    ]
    everything = [figure for _, figures in parts for figure in figures]
    values = np.sum([weight * np.array([f.value for f in figures]) for weight, figures in parts], axis=0)
    groups = everything[0].groups
    if all(figure.units is not None and np.array_equal(figure.groups, groups) for figure in everything):
        units = np.sum([weight * np.mean([f.units for f in figures], axis=0) for weight, figures in parts], axis=0)
        error = standard_error(units, group_of=groups, seed=_SEED)
        p_value = compare_means(units, np.zeros_like(units), group_of=groups, seed=_SEED).p_value
    else:
        errors = [weight * np.mean([f.standard_error() for f in figures]) for weight, figures in parts]
        error, p_value = float(np.hypot.reduce(errors)), float("nan")
    # A figure of one seed and without an error of its own has no interval at all.
    error = error if error > 0 or len(values) > 1 else float("nan")
    return Comparison(*over_seeds(values, error=error, groups=len(np.unique(groups))), p_value)


def _require_same_data(runs: Sequence[Measured]) -> None:
    for run in runs[1:]:
        if unlike := [f"{k} ({runs[0].card[k]} and {run.card[k]})" for k in run.card if run.card[k] != runs[0].card[k]]:
            raise MetricError(
                f"{runs[0].folder.name} and {run.folder.name} were measured on different data, or otherwise: they "
                f"differ in {', '.join(unlike)}; name runs of one data set"
            )


def score(runs: Sequence[Measured], name: str) -> Score:
    """Return a figure as a protocol card: value, interval and how it was measured; raise `MetricError` as `estimate`,
    or where the runs were measured on different data."""
    if not runs:
        raise MetricError(f"no run is given: {name!r} cannot be estimated")
    figure = runs[0][name]
    seeds = f"{len(runs)} training seed{'s' if len(runs) > 1 else ''}"
    alone = figure.units is None and figure.error is None
    over = f"95 %, over {seeds} alone" if alone else f"95 %, bootstrap by work, over works and {seeds}"
    card = {**runs[0].card, **figure.about, "interval": f"{over}, Student's t"}
    found = estimate(runs, name)
    share = name.endswith(SHARES) or name.startswith(("zero.", "probe."))
    least, most = (0.0 if share or name.endswith("distance") else -np.inf), (1.0 if share else np.inf)
    ends = (float(np.clip(end, least, most)) for end in found[1:])  # cut at the ends of the figure's scale
    return Score.of(Interval(found.value, *ends), Protocol.from_dict(card))
