"""Vectors and facts of a library in Milvus: a file beside it (by milvus-lite), a server or a cluster.

This machine keeps the journal of tracks alone. A window is a row with its track and the track's facts, and each track
has a row for the mean of its windows, numbered below 0; the engine filters, and groups rows by their track.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from slapkit._io import write_guard
from slapkit.errors import LibraryError, need_extra
from slapkit.models.embed import mean_by_clip
from slapkit.search.filters import Filters, words
from slapkit.search.ranking import Hits, Pooling, check_pooling, rounded
from slapkit.search.store import Entry, Header, LibraryStore

_SENT = 1000  # rows a request
_PLACED = 1000  # tracks of the whole library among which those that fit a filter find their place
_CALM = {"grpc.keepalive_time_ms": 300_000}  # milvus-lite cuts off who asks more often while it works
_MOST_FACTS = 1024  # of a track


class EngineStore(LibraryStore):
    """The journal of a library whose rows are in a collection of the engine at `address`, which is made if need be. A
    `LibraryError` says that the engine does not answer, or has lost tracks; a new library is then not begun."""

    def __init__(self, out: Path, address: str, header: Header | None = None) -> None:
        need_extra("milvus", "pymilvus")
        from pymilvus import MilvusClient

        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # its errors are said by ours
        self._address, where = address, address if "://" in address else str(out / address)
        with write_guard(out):
            out.mkdir(parents=True, exist_ok=True)
        self._client = self._try(lambda: MilvusClient(where, timeout=10, grpc_options=_CALM))
        super().__init__(out, header)
        if not self.ask("has_collection"):
            self._make()
        self.ask("load_collection")
        held = self.ask("query", filter="row < 0", output_fields=["count(*)"])[0]["count(*)"]
        if held < len(self.items):
            lost = f"has {held:,} of {len(self.items):,} tracks"
            raise LibraryError(f"{address} {lost} of {out}: bring back what it held, or delete {out} and build again")

    def _make(self) -> None:
        from pymilvus import DataType, MilvusClient

        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("row", DataType.INT64, is_primary=True)
        schema.add_field("track", DataType.INT64)
        texts = {"element_type": DataType.VARCHAR, "max_capacity": _MOST_FACTS, "max_length": 64}
        schema.add_field("facts", DataType.ARRAY, **texts)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=self.dim)
        index = MilvusClient.prepare_index_params()
        index.add_index("vector", index_type="AUTOINDEX", metric_type="IP")
        self.ask("create_collection", schema=schema, index_params=index, consistency_level="Strong")

    def ask(self, call: str, **options: Any) -> Any:
        """Call the engine for this library's collection; a `LibraryError` names the engine where that fails."""
        return self._try(lambda: getattr(self._client, call)(self.header.collection, **options))

    def _try(self, call: Any) -> Any:
        from pymilvus.exceptions import MilvusException

        try:
            return call()
        except (MilvusException, OSError) as error:
            said = " ".join(str(error).split())[:200]
            raise LibraryError(f"the engine {self._address} fails ({said}): check its address") from error

    @property
    def rows(self) -> int:
        """Rows that there may be: the engine is asked for their number once, when it is opened."""
        return 1 << 62

    def _cut_rows(self) -> None:
        """Take rows that the journal does not name out of the engine."""
        self.ask("delete", filter=f"row >= {self._used} or row < {-self._used}")

    def _keep_halves(self) -> None:
        """Nothing: the engine has its own index."""

    def append(self, items: Iterable[tuple[dict[str, Any], np.ndarray]]) -> None:
        """Add tracks with their vectors: rows first, then their lines."""
        lines, rows, first = [], [], self._used
        for item, vectors in items:
            mean = mean_by_clip(vectors, np.zeros(len(vectors), dtype=np.int64), 1)
            numbers = [*range(first, first + len(vectors)), -1 - first]
            for row, vector in zip(numbers, np.concatenate([vectors, mean]).astype(np.float32), strict=True):
                rows.append({"row": row, "track": first, "facts": words(item["facts"]), "vector": vector})
            lines.append({**item, "first": first, "windows": len(vectors)})
            first += len(vectors)
        self._send(rows)
        self.log(lines)

    def _send(self, rows: list[dict[str, Any]], **options: Any) -> None:
        for start in range(0, len(rows), _SENT):
            self.ask("upsert", data=rows[start : start + _SENT], **options)

    def vectors_of(self, first: int, windows: int) -> np.ndarray:
        """Return some rows, float32 `[windows, D]`; -1 minus a track's first row is its mean."""
        found = self.ask("query", ids=list(range(first, first + windows)), output_fields=["row", "vector"])
        return np.array([row["vector"] for row in sorted(found, key=lambda row: row["row"])], dtype=np.float32)

    def follow(self, entries: Sequence[Entry]) -> None:
        """Take tracks that are gone out of the engine, and give it the facts that have changed."""
        wanted = {entry.first: (words(entry.facts), entry.windows) for entry in entries}
        fields = {"filter": "row < 0", "output_fields": ["track", "facts"]}
        iterator, held = self.ask("query_iterator", batch_size=_SENT, **fields), {}
        while batch := iterator.next():
            held |= {row["track"]: list(row["facts"]) for row in batch}
        iterator.close()
        gone, changed = sorted(held.keys() - wanted.keys()), []
        for start in range(0, len(gone), _SENT):
            self.ask("delete", filter=f"track in {gone[start : start + _SENT]}")
        for first, (facts, windows) in wanted.items():
            if held.get(first, facts) != facts:
                changed += [{"row": row, "facts": facts} for row in (*range(first, first + windows), -1 - first)]
        self._send(changed, partial_update=True)


class EngineRanking:
    """Ranks tracks as `Ranking` does, by what the engine finds; nothing but the entries is in memory.

    Where a filter is on, a percentile is known of tracks among the first thousand of the whole library, else NaN.
    """

    def __init__(self, store: EngineStore, entries: Sequence[Entry], filters: Filters) -> None:
        self._store, self._filters, self.size = store, filters, len(entries)
        self._firsts = [entry.first for entry in entries]
        self._track = {first: track for track, first in enumerate(self._firsts)}

    def search(self, query: np.ndarray, k: int, *, pooling: Pooling, where: Mapping[str, Any] | None = None) -> Hits:
        """Return the `k` best tracks for a unit vector `[D]`, or fewer where fewer fit `where`."""
        check_pooling(pooling)
        kind = "row < 0" if pooling == "mean" else "row >= 0"
        terms = [f"ARRAY_CONTAINS_ANY(facts, {texts})" for texts in self._filters.terms(where or {})]
        tracks, scores, windows = self._nearest(query, k, " and ".join([kind, *terms]))
        if pooling == "mean" and len(tracks):
            own = [self._firsts[track] for track in tracks]
            others, _, best = self._nearest(query, len(own), f"row >= 0 and track in {own}")
            windows = best[np.argsort(others)][np.argsort(np.argsort(tracks))]
        every = self._nearest(query, _PLACED, kind)[1] if terms else scores
        share = (every >= scores[:, None]).sum(axis=1) / max(self.size, 1)
        share[(scores < every.min(initial=np.inf)) & (len(every) < self.size)] = np.nan
        return Hits(tracks, scores, share, windows)

    def _nearest(self, query: np.ndarray, k: int, where: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return tracks, scores and windows of the best row of each of the `k` best tracks."""
        (found,) = self._store.ask(
            "search", data=[query.tolist()], anns_field="vector", limit=min(k, self.size), filter=where,
            group_by_field="track", output_fields=["row", "track"],
        )  # fmt: skip
        rows = [(one["entity"]["track"], one["entity"]["row"], one["distance"]) for one in found]
        rows = [(self._track[first], row - first, score) for first, row, score in rows if first in self._track]
        tracks, windows = (np.array([row[i] for row in rows], dtype=np.int64) for i in (0, 1))
        scores = rounded(np.array([row[2] for row in rows], dtype=np.float32))
        order = np.lexsort((tracks, -scores))
        return tracks[order], scores[order], windows[order]

    def mean(self, track: int) -> np.ndarray:
        """Return the mean of one track's windows, of unit norm, float32 `[D]`."""
        return self._store.vectors_of(-1 - self._firsts[track], 1)[0]
