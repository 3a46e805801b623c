"""Approximate search on one machine: a navigable small-world graph (HNSW, arXiv 1603.09320) by usearch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from slapkit._io import atomic_path, atomic_write_json, sha256_file
from slapkit.search.index.exact import ExactIndex, file_name

_SETTINGS = {"connectivity": 16, "expansion_add": 96}  # neighbours of a node, and nodes visited to find them
_VISITED = 128  # nodes that a search visits
_ADDED = 8192  # rows given to the graph at a time: what the progress bar counts
_SMALL = 1000  # rows: up to here exact search is as fast


class GraphIndex(ExactIndex):
    """An HNSW graph over unit rows `[N, D]`, kept in the folder `location`, or in memory where that is None."""

    kind = "usearch"

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
            kept = json.loads(note.read_text("utf-8")) == {"settings": _SETTINGS, "sha256": sha256_file(path)}
        except (OSError, ValueError):
            kept = False
        if not kept:
            graph = self._build(progress)
            with atomic_path(path) as temporary:
                graph.save(str(temporary))
            atomic_write_json(note, {"settings": _SETTINGS, "sha256": sha256_file(path)})
            for old in folder.glob(f"{path.stem.rsplit('-', 1)[0]}-{'[0-9a-f]' * 16}.*"):
                if old not in (path, note):  # of vectors that have changed since
                    old.unlink(missing_ok=True)
        return Graph.restore(str(path), view=True)

    def _build(self, progress: bool):
        from tqdm.auto import tqdm
        from usearch.index import Index as Graph

        graph = Graph(ndim=self.dim, metric="ip", dtype="f16", **_SETTINGS)
        with tqdm(total=self.size, desc="Building the index", unit="vector", disable=not progress, delay=1) as bar:
            for start in range(0, self.size, _ADDED):
                block = np.asarray(self.vectors[start : start + _ADDED])
                graph.add(np.arange(start, start + len(block), dtype=np.uint64), block)
                bar.update(len(block))
        return graph
