"""Search in a Qdrant vector database: on a server, for a library beyond one machine, or in this process's memory.

The client's own on-disk mode is not used: it unpickles what it finds in the folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from slapkit.errors import LibraryError
from slapkit.search.index.exact import ExactIndex, file_name

_BATCH = 512  # points sent at a time


class QdrantIndex(ExactIndex):
    """A collection of unit rows `[N, D]`, called `<name>-<hash of the vectors>`, whose point ids are the row numbers.

    `location` is the URL of a server; otherwise the collection is in memory. Filling goes on where it was cut off. A
    collection of other vectors is left as it is: others may use it.
    """

    kind = "qdrant"

    def __init__(self, vectors: np.ndarray, location: str | Path | None, name: str, progress: bool) -> None:
        from qdrant_client import QdrantClient

        super().__init__(vectors)
        self.collection = file_name(name, self.vectors)
        self.server = location if str(location).lower().startswith(("http://", "https://")) else None
        where = {"url": self.server} if self.server else {"location": ":memory:"}
        self._client = QdrantClient(**where, check_compatibility=False)
        self._ask(self._fill, progress)

    def _candidates(self, queries: np.ndarray, k: int) -> list[np.ndarray]:
        found = []
        for query in queries:
            answer = self._ask(self._client.query_points, self.collection, query.tolist(), limit=k, with_payload=False)
            found.append(np.array([point.id for point in answer.points], dtype=np.int64))
            if len(found[-1]) != k:
                raise LibraryError(f"the Qdrant collection {self.collection!r} lacks results: delete it, and open anew")
        return found

    def _fill(self, progress: bool) -> None:
        """Make the collection where it is missing, and send the rows behind those that it has."""
        from qdrant_client import models
        from tqdm.auto import tqdm

        if not self._client.collection_exists(self.collection):
            shape = models.VectorParams(size=self.dim, distance=models.Distance.COSINE)
            self._client.create_collection(self.collection, vectors_config=shape)
        done = self._client.count(self.collection, exact=True).count
        for start in tqdm(range(done, self.size, _BATCH), "Filling Qdrant", disable=not progress, delay=1):
            block = self.vectors[start : start + _BATCH].tolist()
            points = models.Batch(ids=list(range(start, start + len(block))), vectors=block)
            self._client.upsert(self.collection, points=points, wait=True)

    def _ask(self, call: Any, *args: Any, **options: Any) -> Any:
        """Call the database, and name its server where it does not answer."""
        try:
            return call(*args, **options)
        except Exception as error:  # the client's errors have no common class: transport, HTTP status, gRPC
            if self.server is None:
                raise
            words = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise LibraryError(f"the Qdrant server {self.server} fails ({words}): check address and server") from error
