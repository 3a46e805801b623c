"""Approximate search on one machine: a navigable small-world graph (HNSW, arXiv 1603.09320) by usearch.

The graph proposes rows, whose cosines are then computed exactly: only a neighbour can be missed.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from slapkit._io import atomic_path, atomic_write_json, sha256_file
from slapkit.search.index.exact import ExactIndex, file_name, top

_ADDED = 8192  # rows handed over at a time: what the progress bar counts
_SMALL = 1000  # rows: up to here exact search is as fast


class GraphIndex(ExactIndex):
    """An HNSW graph over unit rows `[N, D]`.

    Args:
        vectors: float32 `[N, D]`, rows of unit norm, or a `.npy` file of them.
        location: folder that keeps the graph; None keeps it in memory only.
        name: of the graph, before the vectors' hash. Graphs of other vectors under this name are removed.
        connectivity: neighbours of a node; memory and build time grow with it.
        effort_build, effort_search: nodes visited; recall and time grow with them.
    """

    kind = "usearch"

    def __init__(
        self, vectors: np.ndarray | str | Path, *, location: str | Path | None = None, name: str = "vectors",
        progress: bool = True, connectivity: int = 16, effort_build: int = 96, effort_search: int = 128,
    ) -> None:  # fmt: skip
        super().__init__(vectors)
        settings = {"connectivity": connectivity, "expansion_add": effort_build}
        self._graph = None
        if self.size > _SMALL:
            self._graph = self._open(Path(location), name, settings, progress) if location else None
            self._graph = self._graph or self._build(settings, progress)
            self._graph.expansion_search = effort_search

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return scores `[Q, k]` and rows `[Q, k]` of nearly the `k` best; see `ExactIndex.search`."""
        queries, k = self.queries(queries, k)
        if self._graph is None or 4 * k > self.size:
            return super().search(queries, k)
        found = []
        for query in queries:
            rows = np.sort(np.asarray(self._graph.search(query, k, threads=1).keys).astype(np.int64).ravel())
            if len(rows) < k:  # the graph can fall into parts that it does not reach from one another
                scores, rows = (value[0] for value in super().search(query, k))
            else:
                scores = self.vectors[rows] @ query
            best = top(scores, k)
            found.append((scores[best], rows[best]))
        return tuple(np.stack(values) for values in zip(*found))

    def describe(self) -> str:
        """Return in words what this index is."""
        return f"approximate search (HNSW) over {self.size:,} vectors of {self.dim}"

    def _open(self, folder: Path, name: str, settings: dict, progress: bool):
        """Return the graph that is kept in `folder`, after building it where it is missing, changed or damaged."""
        from usearch.index import Index as Graph

        path = folder / f"{file_name(name, self.vectors)}.usearch"
        note = path.with_suffix(".json")
        try:  # the code that maps a graph trusts every byte of it
            kept = json.loads(note.read_text("utf-8")) == {"settings": settings, "sha256": sha256_file(path)}
        except (OSError, ValueError):
            kept = False
        if not kept:
            graph = self._build(settings, progress)
            with atomic_path(path) as temporary:
                graph.save(str(temporary))
            atomic_write_json(note, {"settings": settings, "sha256": sha256_file(path)})
            stem = path.stem.rsplit("-", 1)[0]
            for old in folder.glob(f"{stem}-{'[0-9a-f]' * 16}.*"):
                if old not in (path, note):  # of vectors that have changed since
                    old.unlink(missing_ok=True)
        return Graph.restore(str(path), view=True)

    def _build(self, settings: dict, progress: bool):
        """Return a new graph of all rows, by all processors."""
        from tqdm.auto import tqdm
        from usearch.index import Index as Graph

        graph = Graph(ndim=self.dim, metric="ip", dtype="f16", **settings)
        with tqdm(total=self.size, desc="Building the index", unit="vector", disable=not progress, delay=1) as bar:
            for start in range(0, self.size, _ADDED):
                block = np.asarray(self.vectors[start : start + _ADDED])
                graph.add(np.arange(start, start + len(block), dtype=np.uint64), block)
                bar.update(len(block))
        return graph
