"""Ranking tracks by their windows: a track counts by its best window, or by the mean of all.

Scores are cosines, rounded to six decimals, about what float32 embeddings resolve; ties keep the order of ids. The
percentile of a score is the share of all tracks that score at least as high: 0.003 is the top 0.3 %.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from slapkit.config import nearest
from slapkit.errors import LibraryError, short
from slapkit.models.embed import mean_by_clip
from slapkit.search.index import ExactIndex, top
from slapkit.search.store import Entry

Pooling = Literal["best", "mean"]
_DECIMALS = 6


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
        self._spans = np.array([(e.first, e.first + e.windows) for e in entries], dtype=np.int64).reshape(-1, 2)

    def search(self, query: np.ndarray, k: int, *, pooling: Pooling, allowed: np.ndarray | None = None) -> Hits:
        """Return the `k` best tracks for a unit vector `[D]`, or fewer where fewer are `allowed` (bool `[N]`)."""
        if pooling not in ("best", "mean"):
            hint = nearest(str(pooling), ("best", "mean"))
            raise LibraryError(f"pooling={short(pooling)} is no way to score a track by its windows: {hint}")
        if type(self.index) is not ExactIndex and pooling == "best" and allowed is None:
            # These are the first of the whole library, so the rank among them is the rank in it.
            tracks = self._proposed(query, k)
            scores = np.array([self._cosines(track, query).max() for track in tracks], dtype=np.float32)
        else:
            tracks, scores = np.arange(self.size), self._scores(query, pooling)
        chosen = np.arange(len(tracks)) if allowed is None else np.flatnonzero(allowed)
        chosen = chosen[top(scores[chosen], k)]
        share = (len(scores) - np.searchsorted(np.sort(scores), scores[chosen], side="left")) / self.size
        windows = np.array([np.argmax(self._cosines(track, query)) for track in tracks[chosen]], dtype=np.int64)
        return Hits(tracks[chosen], scores[chosen], share, windows)

    def windows(self, track: int) -> np.ndarray:
        """Return the vectors of one track's windows, float32 `[windows, D]`."""
        return np.asarray(self.vectors[slice(*self._spans[track])])

    def mean(self, track: int) -> np.ndarray:
        """Return the mean of one track's windows, of unit norm, float32 `[D]`."""
        windows = self.windows(track)
        return mean_by_clip(windows, np.zeros(len(windows), dtype=np.int64), 1)[0]

    def _cosines(self, track: int, query: np.ndarray) -> np.ndarray:
        return np.round(self.windows(track) @ query, _DECIMALS)

    def _scores(self, query: np.ndarray, pooling: Pooling) -> np.ndarray:
        """Return the score of every track, float32 `[N]`."""
        if pooling == "mean":
            return np.round(self._means @ query, _DECIMALS)
        windows = np.append(self.index.scores(query), np.float32(-np.inf))
        # reduceat takes pairs of begin and end; what lies between one track's end and the next begin is dropped.
        return np.round(np.maximum.reduceat(windows, self._spans.ravel())[::2], _DECIMALS)

    @cached_property
    def _means(self) -> np.ndarray:
        return np.stack([self.mean(track) for track in range(self.size)])

    @cached_property
    def _owners(self) -> np.ndarray:
        """The track that each row belongs to, int64 `[W]`, -1 for none."""
        owners = np.full(len(self.vectors), -1, dtype=np.int64)
        for track, (begin, end) in enumerate(self._spans):
            owners[begin:end] = track
        return owners

    def _proposed(self, query: np.ndarray, k: int) -> np.ndarray:
        """Return tracks whose windows the index proposes; it is asked for more until `k` tracks are among them."""
        wanted = max(64, 4 * k)
        while True:
            _, rows = self.index.search(query, wanted)
            tracks = np.unique(self._owners[rows[0]])
            tracks = tracks[tracks >= 0]
            if len(tracks) >= min(k, self.size) or wanted >= self.index.size:
                return tracks
            wanted *= 4
