"""Exact search, and what every index begins with: a checked matrix of unit rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from slapkit._io import available_cores
from slapkit.errors import LibraryError

_BLOCK_BYTES = 1 << 24  # of vectors that a thread takes at a time
_FEW = 4  # queries: up to here each has its own product with a block, which then comes out of the cache
_SAMPLE = 1024  # rows whose norm is checked


class ExactIndex:
    """Cosine search over all unit rows `[N, D]`, float32, block by block; a memory-mapped file is not copied.

    Other indexes propose rows, whose cosines are then computed here: only a neighbour can be missed.

    Raises:
        LibraryError: another shape or type, or rows that are not of unit norm (a sample is checked).
    """

    kind = "exact"

    def __init__(self, vectors: np.ndarray) -> None:
        if vectors.ndim != 2 or vectors.dtype != np.float32:
            raise LibraryError(f"an index needs a float32 matrix [N, D], not {vectors.dtype} {list(vectors.shape)}")
        self.vectors, (self.size, self.dim) = np.ascontiguousarray(vectors), vectors.shape
        rows = np.unique(np.linspace(0, max(self.size - 1, 0), min(self.size, _SAMPLE)).astype(np.int64))
        norms = np.linalg.norm(self.vectors[rows], axis=1)
        if len(bad := np.flatnonzero(~(np.abs(norms - 1) < 1e-3))):
            raise LibraryError(f"row {rows[bad[0]]} of the vectors has norm {norms[bad[0]]:.4g}: unit norm needed")

    def scores(self, query: np.ndarray) -> np.ndarray:
        """Return the cosine of a query `[D]` of unit norm with every row, float32 `[N]`; equal rows score equally."""
        out = np.empty(self.size, dtype=np.float32)
        self._spread(lambda rows: np.vecdot(self.vectors[rows], query, out=out[rows]))
        return out

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return scores, float32 `[Q, k]`, and rows, int64 `[Q, k]`, of the `k` best rows, or of all, best first.

        Args:
            queries: `[Q, D]`, or one query `[D]`; brought to unit norm.

        Raises:
            LibraryError: another width, a query that is zero or not finite, or `k` below 1.
        """
        queries = np.atleast_2d(np.asarray(queries, dtype=np.float32))
        if queries.ndim != 2 or queries.shape[1] != self.dim:
            raise LibraryError(f"queries of shape {list(queries.shape)} do not fit an index of width {self.dim}")
        k, queries, found = min(check_k(k), self.size), unit(queries), []
        for query, rows in zip(queries, self._candidates(queries, k)):
            rows = np.sort(rows)
            scores = np.vecdot(self.vectors[rows], query)
            best = top(scores, k)
            found.append((scores[best], rows[best]))
        return tuple(np.stack(values) for values in zip(*found))

    def _candidates(self, queries: np.ndarray, k: int) -> list[np.ndarray]:
        """Return for each query `[Q, D]` at least `k` rows among which the best are."""

        def best(rows: slice) -> list[np.ndarray]:
            block = self.vectors[rows]
            few = len(queries) <= _FEW
            scores = [np.vecdot(block, query) for query in queries] if few else (block @ queries.T).T
            return [rows.start + top(own, k) for own in scores]

        return [np.concatenate(own) for own in zip(*self._spread(best))]

    def _spread(self, function: Callable[[slice], Any]) -> list[Any]:
        """Return `function` of the rows of each block; every core has a thread."""
        count = max(1, _BLOCK_BYTES // (4 * self.dim))
        with ThreadPoolExecutor(available_cores()) as pool:
            return list(pool.map(lambda start: function(slice(start, start + count)), range(0, self.size, count)))


def top(scores: np.ndarray, k: int) -> np.ndarray:
    """Return the positions of the `k` highest scores `[N]`, best first; equal ones in their order."""
    kept = np.arange(len(scores))
    if k < len(scores):
        kept = np.flatnonzero(scores >= np.partition(scores, len(scores) - k)[len(scores) - k])
    return kept[np.argsort(-scores[kept], kind="stable")[:k]]


def unit(queries: np.ndarray) -> np.ndarray:
    """Return queries `[Q, D]` of unit norm, or raise `LibraryError` where one is zero or not finite."""
    norms = np.linalg.norm(queries, axis=1, keepdims=True)
    if not (np.isfinite(norms) & (norms > 0)).all():
        raise LibraryError("a query vector is zero or not finite: it has no direction to search in")
    return queries / norms


def check_k(k: int) -> int:
    """Return `k`, or raise `LibraryError` unless it is a whole number of at least 1."""
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise LibraryError(f"k={k!r} must be a whole number of results, at least 1")
    return int(k)


def file_name(name: str, vectors: np.ndarray) -> str:
    """Return `name` as a file or collection can be called, and 16 hex digits of the vectors' content and shape."""
    digest = hashlib.blake2b(repr(vectors.shape).encode(), digest_size=8)
    digest.update(np.ascontiguousarray(vectors).data)
    safe = "".join(c if c.isascii() and c.isalnum() or c in "-_" else "_" for c in name)[:60]
    return f"{safe}-{digest.hexdigest()}"
