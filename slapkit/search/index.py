"""Windows near a query: cosines of float16 rows, of which those of the best are computed anew in float32
(`slapkit.search.ranking`)."""

import numpy as np

from slapkit.errors import LibraryError, short

_FEW = 8_000_000  # values: up to here numpy, which is slow in float16, is done before torch is imported


def cosines(halves: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Return the cosines of float16 unit rows `[W, D]` with a query `[D]`, float32 `[W]`, within `ranking.ERROR`."""
    if halves.size <= _FEW:
        return halves.astype(np.float32) @ query.astype(np.float32)
    import torch

    return torch.mv(torch.from_numpy(halves), torch.from_numpy(query).half()).float().numpy()


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
        raise LibraryError(f"k={short(k)} must be a whole number of results, at least 1")
    return int(k)
