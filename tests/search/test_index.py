"""Indexes find what a slow look at everything finds, in whatever order tracks came and went."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slapkit.search import cells as module
from slapkit.search.cells import Cells
from slapkit.search.filters import Filters
from slapkit.search.ranking import Ranking
from slapkit.search.store import Entry


def unit(rows: int, dim: int, seed: int = 0, clusters: int = 0) -> np.ndarray:
    """Return unit rows, around cluster centres if asked for, as embeddings of music lie."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, dim))
    if clusters:
        x = np.random.default_rng(99).standard_normal((clusters, dim))[rng.integers(0, clusters, rows)] + 0.6 * x
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def ranking(vectors: np.ndarray, spans: list[tuple[int, int]], cells: Cells | None = None) -> Ranking:
    """Return a ranking of tracks by the begin and length of their rows, with the fact "even"."""
    entries = [Entry(f"{i:05d}", "", 0, 0, "", "", 0, 0, *span) for i, span in enumerate(spans)]
    filters = Filters([{"even": i % 2 == 0} for i in range(len(spans))])
    return Ranking(entries, vectors, vectors.astype(np.float16), filters, cells)


def shuffled(lengths: list[int], seed: int) -> list[tuple[int, int]]:
    """Return rows of tracks that arrived in any order; those of a gone track lie between each two."""
    order, begins = np.random.default_rng(seed).permutation(len(lengths)), {}
    for at, track in enumerate(order):
        begins[track] = at + sum(lengths[other] for other in order[:at])
    return [(begins[track], length) for track, length in enumerate(lengths)]


HALVES = st.lists(st.sampled_from([-0.5, 0.5]), min_size=4, max_size=4)  # exact products and sums: ties are ties


@settings(deadline=None, max_examples=80)
@given(
    lengths=st.lists(st.integers(1, 4), min_size=1, max_size=20), query=HALVES, k=st.integers(1, 30),
    pooling=st.sampled_from(["best", "mean"]), where=st.sampled_from([None, {"even": True}]), seed=st.integers(0, 99),
)  # fmt: skip
def test_any_order_of_arrival_gives_what_a_slow_sort_gives(lengths, query, k, pooling, where, seed):
    spans, query = shuffled(lengths, seed), np.float32(query)
    ties = np.random.default_rng(seed).choice(np.float32([-0.5, 0.5]), (sum(lengths) + len(lengths), 4))
    for vectors in (ties, unit(len(ties), 4, seed)):
        own = [vectors[begin : begin + length].astype(np.float64) for begin, length in spans]
        if pooling == "mean":
            sums = [windows.sum(axis=0) for windows in own]
            truth = np.array([s @ query / max(np.linalg.norm(s), 1e-12) for s in sums])
        else:
            truth = np.array([(windows @ query).max() for windows in own])
        fits = [i for i in range(len(truth)) if where is None or i % 2 == 0]
        hits = ranking(vectors, spans).search(query, k, pooling=pooling, where=where)
        best = sorted(fits, key=lambda i: (-round(truth[i], 5), i))[:k]
        np.testing.assert_allclose(hits.scores, truth[best], atol=2e-6)
        np.testing.assert_allclose(truth[hits.tracks], truth[best], atol=2e-6)
        if vectors is ties:
            assert hits.tracks.tolist() == best
            assert hits.windows.tolist() == [int((own[i] @ query).round(6).argmax()) for i in best]
            np.testing.assert_allclose(hits.percentiles, [(truth >= truth[i] - 1e-9).mean() for i in best])


def test_thousands_of_tracks_are_ranked_as_float32_ranks_them():
    vectors, spans = unit(33_000, 64, clusters=20), shuffled([10] * 3000, 5)
    ranked = ranking(vectors, spans)
    for query in unit(20, 64, seed=1, clusters=20):
        truth = np.array([np.vecdot(vectors[begin : begin + 10], query).max() for begin, _ in spans])
        hits = ranked.search(query, 50, pooling="best")
        assert hits.tracks.tolist() == np.lexsort((np.arange(3000), -np.round(truth, 6)))[:50].tolist()
        np.testing.assert_allclose(hits.percentiles, np.arange(1, 51) / 3000, atol=2e-3)


def test_cells_are_kept_and_take_additions_and_removals(tmp_path, monkeypatch):
    vectors, queries = unit(6000, 32, clusters=40), unit(100, 32, seed=1, clusters=40)
    spans, path = [(begin, 2) for begin in range(0, 6000, 2)], tmp_path / "cells.safetensors"

    def recall(rows: int, spans=spans) -> float:
        halves = torch.from_numpy(vectors[:rows].astype(np.float16))
        spans = [span for span in spans if sum(span) <= rows]
        exact, near = ranking(vectors[:rows], spans), ranking(vectors[:rows], spans, Cells(halves, path, False))
        pairs = [[r.search(query, 10, pooling="best") for r in (exact, near)] for query in queries]
        return np.mean([len(set(a.tracks) & set(b.tracks)) / 10 for a, b in pairs])

    assert recall(4000) > 0.9
    with monkeypatch.context() as patch:
        patch.setattr(module, "_centres", lambda _: pytest.fail("learned again"))
        assert recall(6000) > 0.9 and recall(6000, spans[::3]) > 0.9
    path.write_bytes(path.read_bytes()[:-100])  # what is damaged is learned again
    assert recall(6000) > 0.9
    few = ranking(vectors, spans[:5], Cells(torch.from_numpy(vectors.astype(np.float16)), path, False))
    assert len(few.search(queries[0], 5, pooling="best").tracks) == 5, "cells without enough tracks: all are looked at"
