"""Exact search: every row is looked at, block by block, at the speed of memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from slapkit._io import available_cores
from slapkit.search.index.vectors import check_k, open_vectors, ordered, unit_queries

# Bytes of vectors that a thread takes at a time: few enough that their scores stay in its cache until they are sifted,
# enough that taking them costs nothing beside reading them.
_BLOCK_BYTES = 1 << 24
_FEW = 4  # queries: up to here each has its own product with a block, which then comes out of the cache
_QUERIES = 64  # queries multiplied at a time: bounds the memory for scores, changes no result


class ExactIndex:
    """Cosine search by blocked products over unit rows `[N, D]`, which may be a memory-mapped file.

    Results are ordered by score, and where scores are equal by row. Nothing is copied and nothing but a block's scores
    is kept. Every processor works on blocks of its own.
    """

    kind = "exact"

    def __init__(self, vectors: np.ndarray | str | Path) -> None:
        self.vectors = open_vectors(vectors)
        self.size, self.dim = self.vectors.shape
        self._plain = np.asarray(self.vectors)  # slices of a memory map cost more than those of an array
        self._rows = max(1, _BLOCK_BYTES // (4 * self.dim))

    def scores(self, queries: np.ndarray) -> np.ndarray:
        """Return the cosine of every query with every row, float32 `[Q, N]`."""
        queries = unit_queries(queries, self.dim)
        out = np.empty((len(queries), self.size), dtype=np.float32)

        def work(blocks: _Blocks) -> None:
            for start, end in blocks:
                out[:, start:end] = _products(self._plain[start:end], queries)

        self._share(work)
        return out

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the `k` best rows of each query.

        Args:
            queries: `[Q, D]`, or one query `[D]`; brought to unit norm.
            k: how many; all rows where there are fewer.

        Returns:
            scores: cosines, float32 `[Q, k]`, best first.
            rows: int64 `[Q, k]`.

        Raises:
            LibraryError: queries of another width or without direction, or k below 1.
        """
        queries, k = unit_queries(queries, self.dim), min(check_k(k), self.size)
        scores = np.empty((len(queries), k), dtype=np.float32)
        rows = np.empty((len(queries), k), dtype=np.int64)
        for first in range(0, len(queries), _QUERIES):
            part = queries[first : first + _QUERIES]
            found = self._share(lambda blocks, part=part: self._best(blocks, part, k))
            for query in range(len(part)):
                kept = [best[query] for best in found]
                values, places = (np.concatenate([getattr(b, name) for b in kept]) for name in ("scores", "rows"))
                scores[first + query], rows[first + query] = ordered(values, places, k)
        return scores, rows

    def _best(self, blocks: _Blocks, queries: np.ndarray, k: int) -> list[_Best]:
        """Return the best rows of each query among the blocks that one thread takes."""
        best = [_Best(k) for _ in queries]
        for start, end in blocks:
            for kept, scores in zip(best, _products(self._plain[start:end], queries)):
                kept.sift(scores, start)
        return best

    def _share(self, work: Callable[[_Blocks], object]) -> list:
        """Let every processor do `work` on blocks that it takes one by one; return what each gave.

        The threads do not wait for each other, as those of a BLAS do after every product: one that the system stops
        for a while holds up nobody.
        """
        blocks = _Blocks(self.size, self._rows)
        count = min(available_cores(), -(-self.size // self._rows))
        if count < 2:
            return [work(blocks)]
        with ThreadPoolExecutor(count) as pool:
            return [given.result() for given in [pool.submit(work, blocks) for _ in range(count)]]

    def describe(self) -> str:
        """Say in words what this index is."""
        return f"exact search over {self.size:,} vectors of {self.dim}"


class _Blocks:
    """Blocks of rows, each given to one of the threads that iterate, in ascending order."""

    def __init__(self, size: int, rows: int) -> None:
        self._starts, self._size, self._rows = iter(range(0, size, rows)), size, rows
        self._lock = threading.Lock()

    def __iter__(self) -> _Blocks:
        return self

    def __next__(self) -> tuple[int, int]:
        with self._lock:
            start = next(self._starts)
        return start, min(start + self._rows, self._size)


def _products(block: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Return the scores `[Q, B]` of a block of rows.

    Row by row, equal rows have equal scores wherever they stand, and a row's product is too short for a BLAS to divide
    it among threads; a matrix product shares more between many queries.
    """
    if len(queries) <= _FEW:
        return np.stack([np.vecdot(block, query) for query in queries])
    return np.ascontiguousarray((block @ queries.T).T)


class _Best:
    """The `k` best of one query so far, unordered; of equal scores the earliest rows."""

    def __init__(self, k: int) -> None:
        self.k = k
        self.scores, self.rows = np.empty(0, dtype=np.float32), np.empty(0, dtype=np.int64)
        self.bar = -np.inf  # the k-th best score: a later row must exceed it

    def sift(self, scores: np.ndarray, start: int) -> None:
        """Take in the scores `[B]` of the rows from `start` on."""
        # Nearly every block after the first offers few rows above the bar, so that sorting costs nothing.
        found = np.flatnonzero(scores > self.bar)
        if len(self.scores) < self.k and len(found) < len(scores):
            found = np.arange(len(scores))
        if not len(found):
            return
        scores, rows = np.append(self.scores, scores[found]), np.append(self.rows, found + start)
        if len(scores) > self.k:
            bar = np.partition(scores, len(scores) - self.k)[len(scores) - self.k]
            above = np.flatnonzero(scores > bar)
            level = np.flatnonzero(scores == bar)[: self.k - len(above)]  # rows ascend: the earliest stay
            kept = np.concatenate([above, level])
            kept.sort()
            scores, rows = scores[kept], rows[kept]
        self.scores, self.rows = scores, rows
        if len(scores) == self.k:
            self.bar = scores.min()
