"""Approximate search on one machine: a navigable small-world graph (HNSW, arXiv 1603.09320) by usearch.

The graph proposes rows and their cosines are then computed exactly, so that scores are those of exact search and only
a neighbour can be missed. A built graph is kept in a file named for a hash of the vectors, and loaded memory-mapped.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from slapkit._io import atomic_path, atomic_write_json, sha256_file
from slapkit.search.index.exact import ExactIndex
from slapkit.search.index.vectors import check_k, content_key, open_vectors, ordered, unit_queries

_ADDED = 8192  # rows handed over at a time: what the progress bar counts
_SMALL = 1000  # rows: below this, looking at all of them is as fast


class ApproximateIndex:
    """An HNSW graph over unit rows `[N, D]`.

    Args:
        vectors: float32 `[N, D]`, rows of unit norm, or a `.npy` file of them.
        location: folder that keeps the graph; None keeps it in memory only.
        name: of the file, before the hash.
        connectivity: neighbours of a node; memory and build time grow with it.
        effort_build, effort_search: nodes looked at; recall and time grow with them.
    """

    kind = "usearch"

    def __init__(
        self,
        vectors: np.ndarray | str | Path,
        *,
        location: str | Path | None = None,
        name: str = "vectors",
        progress: bool = True,
        connectivity: int = 16,
        effort_build: int = 96,
        effort_search: int = 128,
    ) -> None:
        self.vectors = open_vectors(vectors)
        self.size, self.dim = self.vectors.shape
        self._exact = ExactIndex(self.vectors)
        settings = {"connectivity": connectivity, "expansion_add": effort_build}
        self._graph = None
        if self.size > _SMALL:
            self._graph = _open(self.vectors, settings, location, name, progress)
            self._graph.expansion_search = effort_search

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return scores `[Q, k]` and rows `[Q, k]` of nearly the `k` best; see `ExactIndex.search`."""
        queries, k = unit_queries(queries, self.dim), min(check_k(k), self.size)
        if self._graph is None or 4 * k > self.size:
            return self._exact.search(queries, k)
        scores, rows = np.empty((len(queries), k), dtype=np.float32), np.empty((len(queries), k), dtype=np.int64)
        for number, query in enumerate(queries):
            found = np.asarray(self._graph.search(query, k, threads=1).keys).astype(np.int64).ravel()
            if len(found) < k:  # the graph can fall into parts that it does not reach from one another
                scores[number], rows[number] = (value[0] for value in self._exact.search(query, k))
            else:
                scores[number], rows[number] = ordered(self.vectors[found] @ query, found, k)
        return scores, rows

    def describe(self) -> str:
        """Say in words what this index is."""
        return f"approximate search (HNSW) over {self.size:,} vectors of {self.dim}"


def _open(vectors: np.ndarray, settings: dict, location: str | Path | None, name: str, progress: bool):
    """Return the graph that is kept in `location`, or a new one, which is then kept there."""
    from usearch.index import Index as Graph

    if location is None:
        return _build(vectors, settings, progress)
    folder, stem = Path(location), "".join(c if c.isalnum() or c in "-_" else "_" for c in name)
    path = folder / f"{stem}-{content_key(vectors)}.usearch"
    note = path.with_suffix(".json")
    if not _intact(path, note, settings):
        graph = _build(vectors, settings, progress)
        with atomic_path(path) as temporary:
            graph.save(str(temporary))
        atomic_write_json(note, {"settings": settings, "sha256": sha256_file(path)})
        for old in [*folder.glob(f"{stem}-*.usearch"), *folder.glob(f"{stem}-*.json")]:
            if old not in (path, note):  # of vectors that have changed since
                old.unlink(missing_ok=True)
    return Graph.restore(str(path), view=True)


def _intact(path: Path, note: Path, settings: dict) -> bool:
    """Say whether a kept graph is whole: the code that maps it trusts every byte, so none may have changed."""
    try:
        told = json.loads(note.read_text("utf-8"))
        return told["settings"] == settings and told["sha256"] == sha256_file(path)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _build(vectors: np.ndarray, settings: dict, progress: bool):
    """Return a new graph of all rows, by all processors."""
    from tqdm.auto import tqdm
    from usearch.index import Index as Graph

    graph = Graph(ndim=vectors.shape[1], metric="ip", dtype="f16", **settings)
    with tqdm(total=len(vectors), desc="Building the index", unit="vector", disable=not progress, delay=1) as bar:
        for start in range(0, len(vectors), _ADDED):
            block = np.asarray(vectors[start : start + _ADDED])
            graph.add(np.arange(start, start + len(block), dtype=np.uint64), block)
            bar.update(len(block))
    return graph
