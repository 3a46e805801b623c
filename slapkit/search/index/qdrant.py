"""Search in a Qdrant vector database: on a server, for a library beyond one machine, or in this process's memory.

The client's own on-disk mode is not used: it unpickles what it finds in the folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from slapkit.errors import LibraryError
from slapkit.search.index.exact import ExactIndex, file_name, top

_BATCH = 512  # points sent at a time


class QdrantIndex(ExactIndex):
    """A collection of unit rows `[N, D]`, called `<name>-<hash of the vectors>`, whose point ids are the row numbers.

    Filling goes on where it was cut off. A collection of other vectors is left as it is: others may use it.

    Args:
        vectors: float32 `[N, D]`, rows of unit norm, or a `.npy` file of them.
        location: URL of a server; otherwise the collection is in memory.
        name: of the collection, before the hash.
        client: a `QdrantClient` to use instead of making one, with whatever key or certificate it needs.
    """

    kind = "qdrant"

    def __init__(
        self, vectors: np.ndarray | str | Path, *, location: str | Path | None = None, name: str = "vectors",
        progress: bool = True, client: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(vectors)
        self.collection = file_name(name, self.vectors)
        url = location if isinstance(location, str) and location.lower().startswith(("http://", "https://")) else None
        self.place = f"at {location}" if url or client is not None else "in memory"
        self._client = client or _connect(url)
        self._ask(self._fill, progress)

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return scores `[Q, k]` and rows `[Q, k]` of the `k` best that the database finds; see `ExactIndex.search`."""
        from qdrant_client import models

        queries, k = self.queries(queries, k)
        requests = [models.QueryRequest(query=query.tolist(), limit=k, with_payload=False) for query in queries]
        found = []
        for query, answer in zip(queries, self._ask(self._client.query_batch_points, self.collection, requests)):
            rows = np.sort(np.array([point.id for point in answer.points], dtype=np.int64))
            if len(rows) != k:
                raise LibraryError(
                    f"{self.describe()} gave {len(rows)} of {k} results: delete the collection {self.collection!r} "
                    "there and open the index again"
                )
            scores = self.vectors[rows] @ query  # a server may keep fewer bits
            best = top(scores, k)
            found.append((scores[best], rows[best]))
        return tuple(np.stack(values) for values in zip(*found))

    def describe(self) -> str:
        """Return in words what this index is."""
        return f"Qdrant collection {self.collection} {self.place}, {self.size:,} vectors of {self.dim}"

    def _fill(self, progress: bool) -> None:
        """Make the collection where it is missing, and send the rows behind those that it has."""
        from qdrant_client import models
        from tqdm.auto import tqdm

        if not self._client.collection_exists(self.collection):
            shape = models.VectorParams(size=self.dim, distance=models.Distance.COSINE)
            self._client.create_collection(self.collection, vectors_config=shape)
        done = self._client.count(self.collection, exact=True).count
        steps = range(done, self.size, _BATCH)
        for start in tqdm(steps, "Filling Qdrant", unit="batch", disable=not progress, delay=1):
            block = self.vectors[start : start + _BATCH].tolist()
            points = models.Batch(ids=list(range(start, start + len(block))), vectors=block)
            self._client.upsert(self.collection, points=points, wait=True)

    def _ask(self, call: Any, *args: Any) -> Any:
        """Call the database, and name its server where it does not answer."""
        try:
            return call(*args)
        except Exception as error:  # the client's errors have no common class: transport, HTTP status, gRPC
            if self.place == "in memory":
                raise
            words = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise LibraryError(
                f"the Qdrant server {self.place} gave an error ({words}): check the address and that it runs"
            ) from error


def _connect(url: str | None) -> Any:
    from qdrant_client import QdrantClient

    return QdrantClient(url=url, check_compatibility=False) if url else QdrantClient(":memory:")
