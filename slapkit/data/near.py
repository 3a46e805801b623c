"""Pairs of embeddings that are nearly the same, found by matrix products block by block."""

from __future__ import annotations

import numpy as np

from slapkit.config import require
from slapkit.errors import DataError

_BLOCK = 2048  # rows multiplied at a time: 16 MB of cosines
_ROUNDING = 1e-6  # equal rows of float32 reach cosines this much below 1


def near_duplicates(
    embeddings: np.ndarray, *, threshold: float = 0.98, part_of: np.ndarray | None = None, limit: int = 10_000
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the pairs of rows whose cosine reaches a threshold.

    Args:
        embeddings: `[N, D]`.
        threshold: in (0, 1].
        part_of: `[N]`; pairs within a part are left out. None takes all pairs.
        limit: pairs returned at most, the closest; which of equally close ones is not said.

    Returns:
        rows: int64 `[P, 2]`, the smaller first, by falling cosine and then by rows.
        cosines: float32 `[P]`.
        total: how many pairs there are, whatever the limit.

    Raises:
        ConfigError: `threshold` or `limit` is out of range.
        DataError: not a matrix, rows that are not finite or are zero, or `part_of` has another length.
    """
    require(0 < threshold <= 1, "threshold", threshold, "a cosine in (0, 1]")
    require(isinstance(limit, int) and limit > 0, "limit", limit, "a number of pairs, at least 1")
    x = np.asarray(embeddings, dtype=np.float64)
    if x.ndim != 2 or not x.size or not np.isfinite(x).all() or not x.any(axis=1).all():
        raise DataError(f"embeddings of shape {list(x.shape)} must be [N, D], with finite rows that are not zero")
    x = x / np.abs(x).max(axis=1, keepdims=True)  # first: squares of very large or small values leave float64's range
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    if part_of is not None and np.shape(part_of) != (len(x),):
        raise DataError(f"part_of has shape {np.shape(part_of)}: one part for each of the {len(x)} embeddings needed")
    closest, total = _Closest(limit), 0
    for first in range(0, len(x), _BLOCK):
        for second in range(first, len(x), _BLOCK):
            rows, columns = slice(first, first + _BLOCK), slice(second, second + _BLOCK)
            cosines = x[rows] @ x[columns].T
            near = cosines >= threshold - _ROUNDING
            if first == second:
                near = np.triu(near, 1)
            if part_of is not None:
                near &= part_of[rows, None] != part_of[None, columns]
            if found := int(np.count_nonzero(near)):
                total += found
                closest.take(cosines, near, first, second)
    return *closest.ordered(), total


class _Closest:
    """The closest pairs so far, at most `limit` once sifted: a collapsed model makes every pair a near one."""

    def __init__(self, limit: int) -> None:
        self.limit, self.bar = limit, -np.inf  # cosine that a later pair must exceed
        self.rows, self.cosines = np.empty((0, 2), np.int64), np.empty(0, np.float32)

    def take(self, cosines: np.ndarray, near: np.ndarray, first: int, second: int) -> None:
        """Take in the near pairs of a block of cosines that begins at row `first` and column `second`."""
        left, right = np.nonzero(near & (cosines > self.bar))
        values = cosines[left, right]
        if len(values) > self.limit:  # before their rows are written out: a block may hold millions
            best = np.argpartition(-values, self.limit - 1)[: self.limit]
            left, right, values = left[best], right[best], values[best]
        self.rows = np.concatenate([self.rows, np.stack([left + first, right + second], axis=1)])
        self.cosines = np.concatenate([self.cosines, values])
        if len(self.cosines) >= self.limit:
            self.rows, self.cosines = self.ordered()
            self.bar = self.cosines[-1]

    def ordered(self) -> tuple[np.ndarray, np.ndarray]:
        """Return rows and cosines, the closest first and equal ones by their rows."""
        order = np.lexsort((self.rows[:, 1], self.rows[:, 0], -self.cosines))[: self.limit]
        return self.rows[order], np.minimum(self.cosines[order], 1)
