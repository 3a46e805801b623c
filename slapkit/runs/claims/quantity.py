"""Figures of runs, with what an interval around them needs, alone or against another run's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slapkit.errors import MetricError


@dataclass(frozen=True)
class Quantity:
    """One figure of one run.

    Attributes:
        value: the figure.
        units: `[n]`, figures of single queries, clips or pairs whose mean is `value`; None where it is no mean.
        groups: `[n]`, the work of each unit; without units `[G]`, all works.
        error: standard error over works where there are no units; None where only training seeds give one.
        about: fields of the protocol that differ between figures of one run, such as "direction".
    """

    value: float
    units: np.ndarray | None
    groups: np.ndarray
    error: float | None
    about: dict[str, str | int]

    @classmethod
    def mean(cls, units: np.ndarray, groups: np.ndarray, **about: str | int) -> Quantity:
        """Return the figure that is the mean of `units [n]`.

        Raises:
            MetricError: units and groups are not both `[n]`.
        """
        units = np.asarray(units, dtype=np.float64)
        if units.shape != np.shape(groups) or not len(units):
            raise MetricError(f"units {units.shape} and groups {np.shape(groups)} must both be [n] with n >= 1")
        return cls(float(units.mean()), units, np.asarray(groups), None, about)

    @classmethod
    def other(cls, value: float, error: float | None, groups: np.ndarray, **about: str | int) -> Quantity:
        """Return a figure that is no mean, with its standard error."""
        return cls(float(value), None, np.unique(groups), None if error is None else float(error), about)


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
