"""A figure of one run, with what is needed to put an interval around it, alone or against another run's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from slapkit.errors import MetricError


@dataclass(frozen=True)
class Quantity:
    """One figure.

    Attributes:
        value: the figure.
        units: `[n]`, figures of single queries, clips or pairs whose mean is `value`; None where it is no mean.
        groups: `[n]`, number of the work of each unit; without units `[G]`, one of each work.
        error: standard error over works where there are no units; None where only training seeds tell it.
        about: fields of the protocol card that differ between figures of one run, such as "direction".
    """

    value: float
    units: np.ndarray | None
    groups: np.ndarray
    error: float | None
    about: dict[str, str | int]

    @classmethod
    def mean(cls, units: np.ndarray, groups: np.ndarray, **about: str | int) -> Quantity:
        """Return the figure that is the mean of `units [n]`."""
        units = np.asarray(units, dtype=np.float64)
        if units.shape != np.shape(groups) or not len(units):
            raise MetricError(f"units {units.shape} and groups {np.shape(groups)} must both be [n] with n >= 1")
        return cls(float(units.mean()), units, np.asarray(groups), None, about)

    @classmethod
    def other(cls, value: float, error: float | None, groups: np.ndarray, **about: str | int) -> Quantity:
        """Return a figure that is no mean, with its standard error."""
        return cls(float(value), None, np.unique(groups), None if error is None else float(error), about)
