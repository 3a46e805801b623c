"""Finding the nearest of many vectors: exact, approximate, or in a vector database.

    index = open_index(vectors)                                            # exact: a blocked matrix product
    index = open_index(vectors, "usearch", location="index")               # approximate, kept in a folder
    index = open_index(vectors, "qdrant", location="http://host:6333")     # a server
    scores, rows = index.search(queries, k=10)

Vectors and queries are float32 rows of unit norm, a score is their cosine; equal scores are in the order of rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from slapkit.config import nearest
from slapkit.errors import LibraryError
from slapkit.search.index.exact import ExactIndex
from slapkit.search.index.graph import GraphIndex
from slapkit.search.index.qdrant import QdrantIndex

if TYPE_CHECKING:
    import numpy as np

Kind = Literal["exact", "usearch", "qdrant"]


def open_index(
    vectors: np.ndarray, kind: Kind = "exact", *, location: str | Path | None = None, name: str = "vectors",
    progress: bool = True,
) -> ExactIndex:  # fmt: skip
    """Open an index over vectors, unit rows `[N, D]` that may be memory-mapped; what is not there yet is built.

    Args:
        kind: "exact", "usearch" (approximate, one machine) or "qdrant" (a server, or in memory).
        location: folder that keeps the graph of usearch, or URL of a Qdrant server; None keeps nothing.
        name: names the graph or collection, together with a hash of the vectors. A graph replaces those of the same
            name and other vectors.

    Raises:
        LibraryError: vectors or kind cannot be used, or the server does not answer.
    """
    if kind == "exact":
        return ExactIndex(vectors)
    if kind not in get_args(Kind):
        raise LibraryError(f"there is no index of kind {kind!r}: {nearest(str(kind), get_args(Kind))}")
    return (GraphIndex if kind == "usearch" else QdrantIndex)(vectors, location, name, progress)
