"""Finding the nearest of many vectors, behind one small interface: exact, approximate, or in a vector database.

    index = open_index(vectors)                                            # exact: a blocked matrix product
    index = open_index(vectors, "usearch", location="index")               # approximate, kept in a folder
    index = open_index(vectors, "qdrant", location="http://host:6333")     # a server; a folder is the same call
    scores, rows = index.search(queries, k=10)

Conventions: vectors and queries are float32 rows of unit norm, a score is their cosine, higher is better. Results are
ordered by score, and where scores are equal by row.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

from slapkit.config import nearest
from slapkit.errors import LibraryError

if TYPE_CHECKING:
    import numpy as np

Kind = Literal["exact", "usearch", "qdrant"]


class Index(Protocol):
    """What every index can do. `size` vectors of width `dim`."""

    kind: str
    size: int
    dim: int

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return scores `[Q, k]` and rows `[Q, k]` of the `k` nearest vectors of each query `[Q, D]`, best first."""

    def describe(self) -> str:
        """Say in words what this index is."""


def open_index(
    vectors: np.ndarray | str | Path,
    kind: Kind = "exact",
    *,
    location: str | Path | None = None,
    name: str = "vectors",
    progress: bool = True,
    **options: Any,
) -> Index:
    """Open an index over vectors, building what is not there yet.

    Args:
        vectors: float32 `[N, D]`, rows of unit norm; an array (a memory map is one), or a `.npy` file.
        kind: "exact", "usearch" (approximate, one machine) or "qdrant" (in memory, or on a server).
        location: where a built index is kept: a folder, or for qdrant also a server's URL. None keeps nothing.
        name: names the file or collection, together with a hash of the vectors, so that vectors that changed are
            indexed anew.
        options: settings of the kind, see its module.

    Raises:
        LibraryError: vectors or kind cannot be used, or the server does not answer.
    """
    if kind == "exact":
        from slapkit.search.index.exact import ExactIndex

        return ExactIndex(vectors, **options)
    if kind == "usearch":
        from slapkit.search.index.approximate import ApproximateIndex

        return ApproximateIndex(vectors, location=location, name=name, progress=progress, **options)
    if kind == "qdrant":
        from slapkit.search.index.qdrant import QdrantIndex

        return QdrantIndex(vectors, location=location, name=name, progress=progress, **options)
    raise LibraryError(f"there is no index of kind {kind!r}: {nearest(str(kind), get_args(Kind))}")
