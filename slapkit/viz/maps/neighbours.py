"""Exact nearest neighbours, and the strength by which UMAP ties a point to its own."""

from __future__ import annotations

import numpy as np

_BLOCK = 1024  # rows compared at a time: bounds the memory, changes no result


def neighbours(rows: np.ndarray, k: int, *, queries: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return numbers int64 `[M, k]` and Euclidean distances float64 `[M, k]` of the nearest rows, nearest first.

    Args:
        rows: `[N, D]`.
        k: neighbours of each query, at most N.
        queries: `[M, D]`; None takes the rows themselves, each being its own first neighbour at distance 0.
    """
    rows = np.asarray(rows, dtype=np.float64)
    own = queries is None
    queries = rows if own else np.asarray(queries, dtype=np.float64)
    squares = (rows**2).sum(axis=1)
    near = np.empty((len(queries), k), dtype=np.int64)
    for start in range(0, len(queries), _BLOCK):
        block = queries[start : start + _BLOCK]
        squared = squares[None, :] - 2 * (block @ rows.T)
        if own:  # before all others, also those that equal it
            squared[np.arange(len(block)), start + np.arange(len(block))] = -np.inf
        some = (
            np.argpartition(squared, k - 1, axis=1)[:, :k] if k < len(rows) else np.tile(np.arange(k), (len(block), 1))
        )
        order = np.argsort(np.take_along_axis(squared, some, axis=1), axis=1, kind="stable")
        near[start : start + len(block)] = np.take_along_axis(some, order, axis=1)
    # From the differences: the expanded square loses what is close.
    distances = np.stack([np.linalg.norm(queries - rows[near[:, i]], axis=1) for i in range(k)], axis=1)
    if own:
        distances[:, 0] = 0
    return near, distances


def membership(distances: np.ndarray, *, rounds: int = 64) -> np.ndarray:
    """Return UMAP's strengths float64 `[M, k]` of sorted `distances [M, k]` of new points to a map's.

    exp(-d / sigma), with sigma by bisection such that those of all but the nearest sum to log2(k): what UMAP's
    `transform` computes (section 3.1 of arXiv 1802.03426, with local connectivity 0).
    """
    distances = np.asarray(distances, dtype=np.float64)
    target = np.log2(distances.shape[1])
    low, high = np.zeros(len(distances)), np.full(len(distances), np.inf)
    sigma = np.ones(len(distances))
    for _ in range(rounds):
        above = np.exp(-distances[:, 1:] / sigma[:, None]).sum(axis=1) > target
        high, low = np.where(above, sigma, high), np.where(above, low, sigma)
        sigma = np.where(np.isinf(high), sigma * 2, (low + high) / 2)
    # A neighbourhood that is (almost) one point would get sigma 0.
    sigma = np.maximum(sigma, max(1e-3 * float(distances.mean()), 1e-12))
    return np.exp(-distances / sigma[:, None])
