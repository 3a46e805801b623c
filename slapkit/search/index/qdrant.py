"""Search in a Qdrant vector database: on a server, for a library beyond one machine, or in this process's memory.

    QdrantIndex(vectors, location="http://host:6333")    # a collection on the server, filled once
    QdrantIndex(vectors, location="index")               # a folder
    QdrantIndex(vectors)                                 # nothing is kept

The client has an on-disk mode of its own, which unpickles what it finds in the folder, and so runs whatever was put
there. It is not used: a folder keeps the plain vectors, and the client's in-memory mode is filled from them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from slapkit._io import atomic_path
from slapkit.errors import LibraryError
from slapkit.search.index.vectors import check_k, content_key, open_vectors, ordered, unit_queries

_BATCH = 512  # points sent at a time
_URL = re.compile(r"^(https?|grpc)://", re.IGNORECASE)


class QdrantIndex:
    """A collection of unit rows `[N, D]`, named `<name>-<hash of the vectors>`, whose point ids are the row numbers.

    Filling goes on where it was cut off. A collection of other vectors is left as it is: others may use it.

    Args:
        vectors: float32 `[N, D]`, rows of unit norm, or a `.npy` file of them.
        location: URL of a server, folder, or None.
        name: of the collection, before the hash.
        client: a `QdrantClient` to use instead of making one, with whatever key or certificate it needs.
    """

    kind = "qdrant"

    def __init__(
        self,
        vectors: np.ndarray | str | Path,
        *,
        location: str | Path | None = None,
        name: str = "vectors",
        progress: bool = True,
        client: Any = None,
    ) -> None:
        self.vectors = open_vectors(vectors)
        self.size, self.dim = self.vectors.shape
        stem = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:60]
        self.collection = f"{stem}-{content_key(self.vectors)}"
        self.location = location
        self._server = client is not None or is_url(location)
        if not self._server and location is not None:
            self.vectors = _kept(self.vectors, Path(location) / f"{self.collection}.npy")
        self._client = client or _connect(location if self._server else None)
        self._ask(self._fill, progress)

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return scores `[Q, k]` and rows `[Q, k]` of the `k` best that the database finds; see `ExactIndex.search`."""
        from qdrant_client import models

        queries, k = unit_queries(queries, self.dim), min(check_k(k), self.size)
        requests = [models.QueryRequest(query=query.tolist(), limit=k, with_payload=False) for query in queries]
        answers = self._ask(self._client.query_batch_points, self.collection, requests)
        scores, rows = np.empty((len(queries), k), dtype=np.float32), np.empty((len(queries), k), dtype=np.int64)
        for number, answer in enumerate(answers):
            found = np.array([point.id for point in answer.points], dtype=np.int64)
            if len(found) != k:
                raise LibraryError(
                    f"{self.describe()} gave {len(found)} of {k} results: delete the collection {self.collection!r} "
                    "there and open the index again"
                )
            # A server may keep fewer bits: our own rows give the scores that every other index gives.
            scores[number], rows[number] = ordered(self.vectors[found] @ queries[number], found, k)
        return scores, rows

    def describe(self) -> str:
        """Say in words what this index is."""
        where = f"at {self.location}" if self._server else "in memory"
        return f"Qdrant collection {self.collection} {where}, {self.size:,} vectors of {self.dim}"

    def _fill(self, progress: bool) -> None:
        """Make the collection if needed and send the rows that it lacks; they are sent in order, so a count tells."""
        from qdrant_client import models
        from tqdm.auto import tqdm

        if not self._client.collection_exists(self.collection):
            shape = models.VectorParams(size=self.dim, distance=models.Distance.COSINE)
            self._client.create_collection(self.collection, vectors_config=shape)
        done = self._client.count(self.collection, exact=True).count
        with tqdm(
            total=self.size, initial=done, desc="Filling Qdrant", unit="vector", disable=not progress, delay=1
        ) as bar:
            for start in range(done, self.size, _BATCH):
                block = np.asarray(self.vectors[start : start + _BATCH])
                ids = list(range(start, start + len(block)))
                points = models.Batch(ids=ids, vectors=block.tolist())
                self._client.upsert(self.collection, points=points, wait=True)
                bar.update(len(block))

    def _ask(self, call: Any, *args: Any) -> Any:
        """Call the database; say in words when it does not answer."""
        try:
            return call(*args)
        except LibraryError:
            raise
        except Exception as error:  # the client's errors have no common class: transport, HTTP status, gRPC
            if not self._server:
                raise
            said = str(error).strip().splitlines() or [type(error).__name__]
            raise LibraryError(
                f"the Qdrant server at {self.location} does not do what was asked ({said[0][:200]}): check the address "
                "and that it runs"
            ) from error


def is_url(location: str | Path | None) -> bool:
    """Say whether a location is a server's URL; anything else is a folder."""
    return isinstance(location, str) and _URL.match(location) is not None


def _connect(location: str | Path | None) -> Any:
    from qdrant_client import QdrantClient

    if location is None:
        return QdrantClient(":memory:")
    return QdrantClient(url=str(location), check_compatibility=False)


def _kept(vectors: np.ndarray, path: Path) -> np.ndarray:
    """Return the vectors out of their file, memory-mapped, after writing it where it is missing."""
    try:
        kept = np.load(path, mmap_mode="r", allow_pickle=False)
        if kept.shape == vectors.shape and content_key(kept) in path.stem:
            return kept
    except (OSError, ValueError):
        pass  # missing or damaged: written now
    with atomic_path(path, needed=vectors.nbytes) as temporary, open(temporary, "wb") as file:
        np.save(file, np.asarray(vectors), allow_pickle=False)
    return np.load(path, mmap_mode="r", allow_pickle=False)
