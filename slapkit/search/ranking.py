"""Ranking tracks by their windows: a track counts by its best window, or by the mean of all.

Scores are cosines, rounded to six decimals, about what float32 embeddings resolve; ties keep the order of ids. The
percentile of a score is the share of all tracks that score at least as high: 0.003 is the top 0.3 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from slapkit.config import nearest
from slapkit.errors import LibraryError
from slapkit.models.embed import mean_by_clip
from slapkit.search.index.exact import ExactIndex, top
from slapkit.search.store import Entry

Pooling = Literal["best", "mean"]
DECIMALS = 6


class Hits(NamedTuple):
    """Results, best first: indices of tracks, scores, percentiles in (0, 1], and each one's best window; all `[k]`."""

    tracks: np.ndarray
    scores: np.ndarray
    percentiles: np.ndarray
    windows: np.ndarray


class Ranking:
    """The windows of N tracks, in the order of `entries`.

    Args:
        vectors: `[W, D]`, unit rows; rows that belong to no entry are passed over.
        index: over the same rows. An exact one scores all tracks; another proposes windows, which are then scored
            exactly, where the whole library is searched by the best window.
    """

    def __init__(self, entries: Sequence[Entry], vectors: np.ndarray, index: ExactIndex) -> None:
        self.vectors, self.index, self.size = vectors, index, len(entries)
        self.first = np.array([entry.first for entry in entries], dtype=np.int64)
        self.count = np.array([entry.windows for entry in entries], dtype=np.int64)

    def search(self, query: np.ndarray, k: int, *, pooling: Pooling, allowed: np.ndarray | None = None) -> Hits:
        """Return the `k` best tracks for a unit vector `[D]`, or fewer where fewer are `allowed` (bool `[N]`)."""
        if pooling not in ("best", "mean"):
            hint = nearest(str(pooling), ("best", "mean"))
            raise LibraryError(f"pooling={pooling!r} is no way to score a track by its windows: {hint}")
        if self.index.kind != "exact" and pooling == "best" and allowed is None:
            return self._proposed(query, min(k, self.size))
        scores = self.scores(query, pooling)
        chosen = np.arange(self.size) if allowed is None else np.flatnonzero(allowed)
        chosen = chosen[top(scores[chosen], k)]
        share = (self.size - np.searchsorted(np.sort(scores), scores[chosen], side="left")) / self.size
        return Hits(chosen, scores[chosen], share, self._best_windows(query, chosen))

    def scores(self, query: np.ndarray, pooling: Pooling = "best") -> np.ndarray:
        """Return the score of every track, float32 `[N]`, for a unit vector `[D]`."""
        if pooling == "mean":
            return np.round(self.means @ query, DECIMALS)
        windows = np.append(self.index.scores(query), np.float32(-np.inf))
        # reduceat takes pairs of begin and end; what lies between one track's end and the next begin is dropped.
        bounds = np.stack([self.first, self.first + self.count], axis=1).ravel()
        return np.round(np.maximum.reduceat(windows, bounds)[::2], DECIMALS)

    @cached_property
    def means(self) -> np.ndarray:
        """The mean of each track's windows, of unit norm, float32 `[N, D]`."""
        return np.stack([self.mean(track) for track in range(self.size)])

    def mean(self, track: int) -> np.ndarray:
        """Return the mean of one track's windows, of unit norm, float32 `[D]`."""
        windows = self.windows(track)
        return mean_by_clip(windows, np.zeros(len(windows), dtype=np.int64), 1)[0]

    def windows(self, track: int) -> np.ndarray:
        """Return the vectors of one track's windows, float32 `[windows, D]`."""
        return np.asarray(self.vectors[self.first[track] : self.first[track] + self.count[track]])

    def _best_windows(self, query: np.ndarray, tracks: np.ndarray) -> np.ndarray:
        best = [int(np.argmax(np.round(self.windows(track) @ query, DECIMALS))) for track in tracks]
        return np.array(best, dtype=np.int64)

    @cached_property
    def _owners(self) -> np.ndarray:
        """The track that each row belongs to, int64 `[W]`, -1 for none."""
        owners = np.full(len(self.vectors), -1, dtype=np.int64)
        for track in range(self.size):
            owners[self.first[track] : self.first[track] + self.count[track]] = track
        return owners

    def _proposed(self, query: np.ndarray, k: int) -> Hits:
        """Rank the tracks whose windows the index proposes; it is asked for more until `k` tracks are among them."""
        wanted = max(64, 4 * k)
        while True:
            _, rows = self.index.search(query, min(wanted, self.index.size))
            owners = self._owners[rows[0]]
            tracks = np.unique(owners[owners >= 0])
            if len(tracks) >= k or wanted >= self.index.size:
                break
            wanted *= 4
        scores = np.array([np.round(self.windows(track) @ query, DECIMALS).max() for track in tracks], dtype=np.float32)
        order = top(scores, k)
        tracks, scores = tracks[order], scores[order]
        # These are the first of the whole library, so the rank among them is the rank in it.
        share = np.searchsorted(-scores, -scores, side="right") / self.size
        return Hits(tracks, scores, share, self._best_windows(query, tracks))
