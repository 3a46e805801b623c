"""Ranking tracks by their windows: a track counts by its best window, or by the mean of all. Cosines of float16 rows
find what can be among the best, and those are computed anew in float32.

Scores are cosines, rounded to six decimals, about what float32 embeddings resolve; ties keep the order of ids. The
percentile of a score is the share of all tracks that score at least as high: 0.003 is the top 0.3 %.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from slapkit.config import nearest
from slapkit.errors import LibraryError, short
from slapkit.search.filters import Filters
from slapkit.search.store import Entry

if TYPE_CHECKING:
    from slapkit.search.cells import Cells

Pooling = Literal["best", "mean"]
ERROR = 2e-3  # of a cosine in float16: its two vectors and itself, rounded to 11 bits each, and sums
_DECIMALS = 6
_SMALL = 8_000_000  # values: up to here numpy, which is slow in float16, is done before torch is imported
_BLOCK = 8192  # rows whose exact cosines are computed at a time
_FEW = 20_000  # windows: up to here those that filters exclude are scored exactly too, for exact percentiles


def cosines(halves: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Return the cosines of float16 unit rows `[W, D]` with a query `[D]`, float32 `[W]`, within `ERROR`."""
    if halves.size <= _SMALL:
        return halves.astype(np.float32) @ query.astype(np.float32)
    import torch

    return torch.mv(torch.from_numpy(halves), torch.from_numpy(query).half()).float().numpy()


def top(scores: np.ndarray, k: int) -> np.ndarray:
    """Return the positions of the `k` highest scores `[N]`, best first; equal ones in their order."""
    kept = np.arange(len(scores))
    if k < len(scores):
        kept = np.flatnonzero(scores >= np.partition(scores, len(scores) - k)[len(scores) - k])
    return kept[np.argsort(-scores[kept], kind="stable")[:k]]


class Hits(NamedTuple):
    """Results, best first: indices of tracks, scores, percentiles in (0, 1], and each one's best window; all `[k]`."""

    tracks: np.ndarray
    scores: np.ndarray
    percentiles: np.ndarray
    windows: np.ndarray


class Ranking:
    """The windows of N tracks, in the order of `entries`, in whatever order their rows are.

    The float16 copy finds what can be among the best, and float32 decides: results are those of float32 alone.

    Args:
        vectors: float32 `[W, D]`, unit rows; rows that belong to no entry are passed over.
        halves: the same in float16.
        cells: propose windows where the whole library is searched by the best window; None looks at all.
    """

    def __init__(
        self, entries: Sequence[Entry], vectors: np.ndarray, halves: np.ndarray, filters: Filters,
        cells: Cells | None = None,
    ) -> None:  # fmt: skip
        self.vectors, self.size, self._filters, self._cells = vectors, len(entries), filters, cells
        self._halves = halves
        self._spans = np.array([(e.first, e.first + e.windows) for e in entries], dtype=np.int64).reshape(-1, 2)
        self._order = np.argsort(self._spans[:, 0])  # of tracks by their rows
        self._laid = self._spans[self._order]

    def search(
        self, query: np.ndarray, k: int, *, pooling: Pooling, where: Mapping[str, Any] | None = None
    ) -> Hits:  # fmt: skip
        """Return the `k` best tracks for a unit vector `[D]`, or fewer where fewer fit `where`."""
        check_pooling(pooling)
        allowed = self._filters.mask(where) if where else None
        if pooling == "mean":
            scores = rounded(self._means @ query)
        else:
            scores = self._best(query, k, allowed)
        chosen = np.arange(self.size) if allowed is None else np.flatnonzero(allowed)
        chosen = chosen[top(scores[chosen], k)]
        share = (self.size - np.searchsorted(np.sort(scores), scores[chosen], side="left")) / self.size
        windows = [rounded(np.vecdot(self.vectors[slice(*self._spans[t])], query)) for t in chosen]
        return Hits(chosen, scores[chosen], share, np.array([own.argmax() for own in windows], dtype=np.int64))

    def mean(self, track: int) -> np.ndarray:
        """Return the mean of one track's windows, of unit norm, float32 `[D]`."""
        return self._sums(self._spans[track : track + 1])[0]

    def _best(self, query: np.ndarray, k: int, allowed: np.ndarray | None, cells: bool = True) -> np.ndarray:
        """Return the score of every track by its best window, float32 `[N]`: exact for all that can be shown."""
        rows = self._cells.near(query) if cells and self._cells is not None and allowed is None else None
        tracks = np.full(self.size, -np.inf, dtype=np.float32)
        if rows is None:
            rough = cosines(self._halves, query)
            # reduceat takes pairs of begin and end; what lies between one track's end and the next begin is dropped.
            pairs = self._laid.ravel()
            tracks[self._order] = np.maximum.reduceat(rough[: pairs[-1]], pairs[:-1])[::2]
        else:
            rows = rows[self._owners(rows) >= 0]
            rough = cosines(self._halves[rows], query)
            np.maximum.at(tracks, self._owners(rows), rough)
        fitting = tracks if allowed is None else tracks[allowed]
        if not len(fitting):
            return tracks
        least = fitting[top(fitting, k)[-1]] - 2 * ERROR
        if least == -np.inf:  # the cells have too few tracks
            return self._best(query, k, allowed, cells=False)
        near = np.flatnonzero(rough >= least)
        near = near if rows is None else np.sort(rows[near])
        owners = self._owners(near)
        kept = owners >= 0 if allowed is None or len(near) <= _FEW else (owners >= 0) & allowed[owners]
        near, owners = near[kept], owners[kept]
        tracks[owners] = -np.inf
        for start in range(0, len(near), _BLOCK):
            block = slice(start, start + _BLOCK)
            np.maximum.at(tracks, owners[block], np.vecdot(self.vectors[near[block]], query))
        return rounded(tracks)

    def _owners(self, rows: np.ndarray) -> np.ndarray:
        """Return the track that each row belongs to, -1 for none."""
        place = np.searchsorted(self._laid[:, 0], rows, side="right") - 1
        return np.where((place >= 0) & (rows < self._laid[place, 1]), self._order[place], -1)

    @cached_property
    def _means(self) -> np.ndarray:
        means = np.empty((self.size, self.vectors.shape[1]), dtype=np.float32)
        for start in range(0, self.size, 256):
            means[self._order[start : start + 256]] = self._sums(self._laid[start : start + 256])
        if isinstance(self.vectors.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            self.vectors.base.madvise(mmap.MADV_DONTNEED)  # what was read once need not stay in memory
        return means

    def _sums(self, spans: np.ndarray) -> np.ndarray:
        """Return the means of spans of rows in their order, of unit norm, float32."""
        begin, pairs = spans[0, 0], spans.ravel() - spans[0, 0]
        sums = np.add.reduceat(self.vectors[begin : begin + pairs[-1]], pairs[:-1], axis=0, dtype=np.float64)[::2]
        return (sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)).astype(np.float32)


def rounded(scores: np.ndarray) -> np.ndarray:
    """Return cosines to the decimals that float32 embeddings resolve."""
    return np.round(scores, _DECIMALS)


def check_pooling(pooling: str) -> None:
    """Raise `LibraryError` unless `pooling` is a way to score a track."""
    if pooling not in ("best", "mean"):
        hint = nearest(str(pooling), ("best", "mean"))
        raise LibraryError(f"pooling={short(pooling)} is no way to score a track by its windows: {hint}")
