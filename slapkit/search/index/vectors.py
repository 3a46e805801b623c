"""What every index starts from: a matrix of unit rows, in memory or memory-mapped, and a name for its content."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from slapkit.errors import LibraryError

_SAMPLE = 1024  # rows whose length is checked: all of them would mean to read a large file once more
_HASHED_ROWS = 65_536


def open_vectors(vectors: np.ndarray | str | Path) -> np.ndarray:
    """Return vectors as a C-ordered float32 matrix `[N, D]`: an array as it stands, a `.npy` file memory-mapped.

    Raises:
        LibraryError: another shape or type, or rows that are not of unit norm (a sample of them is looked at).
    """
    if isinstance(vectors, (str, Path)):
        try:
            vectors = np.load(vectors, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise LibraryError(f"{vectors} cannot be read as a matrix of vectors (.npy): {error}") from error
    if not isinstance(vectors, np.ndarray) or vectors.ndim != 2 or vectors.dtype != np.float32 or not vectors.shape[1]:
        found = f"{getattr(vectors, 'dtype', type(vectors).__name__)} {list(getattr(vectors, 'shape', []))}"
        raise LibraryError(f"an index needs a float32 matrix [N, D] with D >= 1, not {found}")
    rows = np.unique(np.linspace(0, max(len(vectors) - 1, 0), min(len(vectors), _SAMPLE)).astype(np.int64))
    norms = np.linalg.norm(vectors[rows], axis=1)
    if not (np.abs(norms - 1) < 1e-3).all():
        worst = int(rows[np.argmax(np.where(np.isfinite(norms), np.abs(norms - 1), np.inf))])
        norm = np.linalg.norm(vectors[worst])
        raise LibraryError(f"row {worst} of the vectors has norm {norm:.4g}: rows of unit norm needed")
    return np.ascontiguousarray(vectors) if not vectors.flags.c_contiguous else vectors


def unit_queries(queries: np.ndarray, dim: int) -> np.ndarray:
    """Return queries `[Q, D]` (or one, `[D]`) as float32 `[Q, D]` with rows of unit norm.

    Raises:
        LibraryError: another width, values that are not finite, or a query without direction.
    """
    queries = np.atleast_2d(np.asarray(queries, dtype=np.float32))
    if queries.ndim != 2 or queries.shape[1] != dim:
        raise LibraryError(f"queries of shape {list(queries.shape)} do not fit an index of width {dim}: [Q, {dim}]")
    norms = np.linalg.norm(queries, axis=1, keepdims=True)
    if not (np.isfinite(norms).all() and (norms > 0).all()):
        raise LibraryError("a query vector is zero or not finite: it has no direction to search in")
    return queries / norms


def check_k(k: int) -> int:
    """Return `k`, or raise `LibraryError` unless it is a whole number of at least 1."""
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise LibraryError(f"k={k!r} must be a whole number of results, at least 1")
    return int(k)


def content_key(vectors: np.ndarray) -> str:
    """Return 16 hex digits that name the content and shape of vectors; every byte is read."""
    digest = hashlib.blake2b(repr(vectors.shape).encode(), digest_size=8)
    for start in range(0, len(vectors), _HASHED_ROWS):
        digest.update(np.ascontiguousarray(vectors[start : start + _HASHED_ROWS]).data)
    return digest.hexdigest()


def ordered(scores: np.ndarray, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the `k` best of one query's candidates, best first; equal scores in the order of their rows."""
    order = np.lexsort((rows, -scores))[:k]
    return scores[order], rows[order]
