"""Finding the nearest of many vectors: exact, approximate, or in a vector database.

    index = open_index(vectors)                                            # exact: a blocked matrix product
    index = open_index(vectors, "usearch", location="index")               # approximate, kept in a folder
    index = open_index(vectors, "qdrant", location="http://host:6333")     # a server
    scores, rows = index.search(queries, k=10)

Vectors and queries are float32 rows of unit norm, a score is their cosine; equal scores are in the order of rows.
"""

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from slapkit._io import atomic_path, atomic_write_json, available_cores, sha256_file
from slapkit.config import nearest
from slapkit.errors import LibraryError, short

Kind = Literal["exact", "usearch", "qdrant"]
_BLOCK_BYTES = 1 << 24  # of vectors that a thread takes at a time
_FEW = 4  # queries: up to here each has its own product with a block, which then comes out of the cache
_SAMPLE = 1024  # rows whose norm is checked
_GRAPH = {"connectivity": 16, "expansion_add": 96}  # neighbours of a node, and nodes visited to find them
_VISITED = 128  # nodes that a search visits
_ADDED = 8192  # rows given to the graph at a time: what the progress bar counts
_SMALL = 1000  # rows: up to here exact search is as fast
_POINTS = 512  # sent to a server at a time


class ExactIndex:
    """Cosine search over all unit rows `[N, D]`, float32, block by block; a memory-mapped file is not copied.

    Other indexes propose rows, whose cosines are then computed here: only a neighbour can be missed.

    Raises:
        LibraryError: another shape or type, or rows that are not of unit norm (a sample is checked).
    """

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


class GraphIndex(ExactIndex):
    """A navigable small-world graph (HNSW, arXiv 1603.09320) by usearch, kept in the folder `location` if there is one.

    Graphs of the same name and other vectors are removed.
    """

    def __init__(self, vectors: np.ndarray, location: str | Path | None, name: str, progress: bool) -> None:
        super().__init__(vectors)
        self._graph = None
        if self.size > _SMALL:
            self._graph = self._kept(Path(location), name, progress) if location else self._build(progress)
            self._graph.expansion_search = _VISITED

    def _candidates(self, queries: np.ndarray, k: int) -> list[np.ndarray]:
        if self._graph is not None and 4 * k <= self.size:
            found = [self._graph.search(query, k, threads=1).keys for query in queries]
            found = [np.asarray(rows).astype(np.int64).ravel() for rows in found]
            if all(len(rows) == k for rows in found):  # the graph can fall into parts that it does not connect
                return found
        return super()._candidates(queries, k)

    def _kept(self, folder: Path, name: str, progress: bool):
        """Return the graph that is kept in `folder`, after building it where it is missing, changed or damaged."""
        from usearch.index import Index as Graph

        path = folder / f"{file_name(name, self.vectors)}.usearch"
        note = path.with_suffix(".json")
        try:  # the code that maps a graph trusts every byte of it
            kept = json.loads(note.read_text("utf-8")) == {"settings": _GRAPH, "sha256": sha256_file(path)}
        except (OSError, ValueError):
            kept = False
        if not kept:
            graph = self._build(progress)
            with atomic_path(path) as temporary:
                graph.save(str(temporary))
            atomic_write_json(note, {"settings": _GRAPH, "sha256": sha256_file(path)})
            for old in folder.glob(f"{path.stem.rsplit('-', 1)[0]}-{'[0-9a-f]' * 16}.*"):
                if old not in (path, note):  # of vectors that have changed since
                    old.unlink(missing_ok=True)
        return Graph.restore(str(path), view=True)

    def _build(self, progress: bool):
        from tqdm.auto import tqdm
        from usearch.index import Index as Graph

        graph = Graph(ndim=self.dim, metric="ip", dtype="f16", **_GRAPH)
        with tqdm(total=self.size, desc="Building the index", unit="vector", disable=not progress, delay=1) as bar:
            for start in range(0, self.size, _ADDED):
                block = np.asarray(self.vectors[start : start + _ADDED])
                graph.add(np.arange(start, start + len(block), dtype=np.uint64), block)
                bar.update(len(block))
        return graph


class QdrantIndex(ExactIndex):
    """A collection of a Qdrant server, the URL `location`, or in memory; its point ids are the row numbers.

    Filling goes on where it was cut off. A collection of other vectors is left as it is: others may use it. The
    client's own on-disk mode is not used, as it unpickles what it finds in the folder.
    """

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
        for start in tqdm(range(done, self.size, _POINTS), "Filling Qdrant", disable=not progress, delay=1):
            block = self.vectors[start : start + _POINTS].tolist()
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


def open_index(
    vectors: np.ndarray, kind: Kind = "exact", *, location: str | Path | None = None, name: str = "vectors",
    progress: bool = True,
) -> ExactIndex:  # fmt: skip
    """Open an index over vectors, unit rows `[N, D]` that may be memory-mapped; what is not there yet is built.

    Args:
        kind: "exact", "usearch" (approximate, one machine) or "qdrant" (a server, or in memory).
        location: folder that keeps the graph of usearch, or URL of a Qdrant server; None keeps nothing.
        name: names the graph or collection, together with a hash of the vectors.

    Raises:
        LibraryError: vectors or kind cannot be used, or the server does not answer.
    """
    if kind == "exact":
        return ExactIndex(vectors)
    if kind not in get_args(Kind):
        raise LibraryError(f"there is no index of kind {short(kind)}: {nearest(str(kind), get_args(Kind))}")
    return (GraphIndex if kind == "usearch" else QdrantIndex)(vectors, location, name, progress)


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


def file_name(name: str, vectors: np.ndarray) -> str:
    """Return `name` as a file or collection can be called, and 16 hex digits of the vectors' content and shape."""
    digest = hashlib.blake2b(repr(vectors.shape).encode(), digest_size=8)
    digest.update(np.ascontiguousarray(vectors).data)
    safe = "".join(c if c.isascii() and c.isalnum() or c in "-_" else "_" for c in name)[:60]
    return f"{safe}-{digest.hexdigest()}"
