"""Indexes: what they find is what a slow look at everything finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slapkit.errors import LibraryError
from slapkit.search.index import exact, open_index
from slapkit.search.index.vectors import content_key


def unit(rows: int, dim: int, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def slow(vectors: np.ndarray, query: np.ndarray, k: int) -> list[int]:
    """Rank by exact arithmetic on small integers: loops, no ties lost to rounding."""
    scores = [sum(float(a) * float(b) for a, b in zip(row, query)) for row in vectors]
    return sorted(range(len(scores)), key=lambda row: (-scores[row], row))[:k]


@settings(deadline=None, max_examples=60)
@given(
    rows=st.lists(st.lists(st.sampled_from([-1, 1]), min_size=4, max_size=4), min_size=1, max_size=40),
    queries=st.lists(st.lists(st.sampled_from([-1, 1]), min_size=4, max_size=4), min_size=1, max_size=3),
    k=st.integers(1, 50),
    block=st.integers(1, 9),
)
def test_exact_equals_a_slow_sort_with_ties_in_any_blocks(rows, queries, k, block):
    vectors = np.array(rows, dtype=np.float32) / 2  # halves: products and sums are exact, so that ties are ties
    queries = np.array(queries, dtype=np.float32) / 2
    index = exact.ExactIndex(vectors)
    index._rows = block
    scores, found = index.search(queries, k)
    assert scores.shape == found.shape == (len(queries), min(k, len(rows)))
    for query, best, values in zip(queries, found, scores):
        assert best.tolist() == slow(vectors, query, k)
        np.testing.assert_array_equal(values, vectors[best] @ query)


def test_exact_on_a_memory_map_in_blocks(tmp_path, monkeypatch):
    vectors = unit(5000, 16)
    np.save(tmp_path / "v.npy", vectors)
    monkeypatch.setattr(exact, "_BLOCK_BYTES", 4 * 16 * 700)
    index = open_index(tmp_path / "v.npy")
    assert isinstance(index.vectors, np.memmap) and "5,000 vectors of 16" in index.describe()
    queries = unit(70, 16, seed=1)
    scores, rows = index.search(3 * queries, 10)  # length does not matter
    oracle = vectors.astype(np.float64) @ queries.T.astype(np.float64)
    np.testing.assert_array_equal(rows, np.argsort(-oracle, axis=0, kind="stable")[:10].T)
    np.testing.assert_allclose(scores, -np.sort(-oracle, axis=0)[:10].T, atol=1e-6)
    np.testing.assert_allclose(index.scores(queries[:2]), oracle[:, :2].T, atol=1e-6)


@pytest.mark.parametrize("order", [1, -1])
def test_exact_when_scores_only_rise_or_fall(order, monkeypatch):
    monkeypatch.setattr(exact, "_BLOCK_BYTES", 4 * 2 * 100)
    angle = np.linspace(0, np.pi / 2, 1000)[::order]
    vectors = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    _, rows = open_index(vectors).search(np.array([0.0, 1.0], dtype=np.float32), 5)
    assert rows[0].tolist() == (list(range(999, 994, -1)) if order == 1 else list(range(5)))


@pytest.mark.parametrize("kind", ["exact", "usearch", "qdrant"])
def test_bad_input_is_named(kind):
    vectors = unit(20, 8)
    index = open_index(vectors, kind, progress=False)
    assert (index.size, index.dim, index.kind) == (20, 8, kind)
    with pytest.raises(LibraryError, match=r"\[1, 7\] do not fit an index of width 8"):
        index.search(np.ones(7, dtype=np.float32), 3)
    with pytest.raises(LibraryError, match="no direction"):
        index.search(np.zeros(8, dtype=np.float32), 3)
    with pytest.raises(LibraryError, match="k=0"):
        index.search(vectors[0], 0)
    assert index.search(vectors[:3], 99)[1].shape == (3, 20)
    with pytest.raises(LibraryError, match="float64"):
        open_index(vectors.astype(np.float64), kind)
    with pytest.raises(LibraryError, match="row 7 of the vectors has norm 2"):
        open_index(np.where(np.arange(20)[:, None] == 7, 2 * vectors, vectors).astype(np.float32), kind)
    with pytest.raises(LibraryError, match="did you mean 'usearch'"):
        open_index(vectors, "uzearch")


def test_pickled_vectors_are_refused(tmp_path):
    np.save(tmp_path / "v.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(LibraryError, match="cannot be read as a matrix"):
        open_index(tmp_path / "v.npy")


def test_content_names_vectors():
    vectors = unit(10, 4)
    changed = vectors.copy()
    changed[9, 3] = np.nextafter(changed[9, 3], np.float32(2))
    keys = {content_key(v) for v in (vectors, changed, vectors[:9], vectors.reshape(20, 2))}
    assert len(keys) == 4 and content_key(vectors.copy()) in keys


def clustered(rows: int, dim: int, clusters: int, seed: int = 0) -> np.ndarray:
    """Return unit rows around cluster centres, as embeddings of music lie."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((clusters, dim))
    x = centres[rng.integers(0, clusters, rows)] + 0.6 * rng.standard_normal((rows, dim))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def test_approximate_agrees_with_exact_and_is_kept(tmp_path):
    from slapkit.search.index import approximate

    vectors = clustered(4000, 32, 40)
    queries = clustered(100, 32, 40, seed=0)[:100]
    truth = open_index(vectors).search(queries, 10)
    index = open_index(vectors, "usearch", location=tmp_path, name="tones", progress=False)
    scores, rows = index.search(queries, 10)
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(rows, truth[1])])
    assert recall >= 0.95
    np.testing.assert_allclose(scores, np.einsum("qd,qkd->qk", queries, vectors[rows]), atol=1e-6)
    assert (np.diff(scores, axis=1) <= 0).all()
    (file,) = tmp_path.glob("*.usearch")
    assert file.name.startswith("tones-")
    before = file.stat().st_mtime_ns
    built = approximate._build
    try:
        approximate._build = lambda *a, **k: pytest.fail("built again")
        again = open_index(vectors, "usearch", location=tmp_path, name="tones", progress=False)
    finally:
        approximate._build = built
    np.testing.assert_array_equal(again.search(queries, 10)[1], rows)
    assert file.stat().st_mtime_ns == before
    open_index(vectors[:-1], "usearch", location=tmp_path, name="tones", progress=False)
    assert len(list(tmp_path.glob("*.usearch"))) == 1, "an index of vectors that changed replaces the old one"


def test_a_damaged_approximate_index_is_built_again(tmp_path):
    vectors = clustered(1500, 16, 5)
    assert open_index(vectors, "usearch", location=tmp_path, progress=False).size == 1500
    (file,) = tmp_path.glob("*.usearch")
    for data in (b"", b"nonsense" * 100, file.read_bytes()[:1000]):
        file.write_bytes(data)
        index = open_index(vectors, "usearch", location=tmp_path, progress=False)
        assert index.search(vectors[3], 1)[1][0, 0] == 3


def test_qdrant_in_memory_and_in_a_folder_agree_with_exact(tmp_path):
    vectors, queries = unit(1200, 16), unit(5, 16, seed=1)
    truth = open_index(vectors).search(queries, 10)
    for location in (None, tmp_path / "q", str(tmp_path / "q")):
        index = open_index(vectors, "qdrant", location=location, name="a b/c", progress=False)
        scores, rows = index.search(queries, 10)
        np.testing.assert_array_equal(rows, truth[1])
        np.testing.assert_allclose(scores, truth[0], atol=1e-6)
    (file,) = (tmp_path / "q").iterdir()
    assert file.name.startswith("a_b_c-") and file.suffix == ".npy"
    file.write_bytes(b"damaged")
    index = open_index(vectors, "qdrant", location=tmp_path / "q", name="a b/c", progress=False)
    np.testing.assert_array_equal(index.search(queries, 10)[1], truth[1])
    np.testing.assert_array_equal(np.load(file), vectors)


class Server:
    """What a Qdrant server does with the calls that we make: real collections, kept between clients; can be cut off."""

    def __init__(self, fails_after: int | None = None):
        from qdrant_client import QdrantClient

        self.inner, self.sent, self.fails_after = QdrantClient(":memory:"), [], fails_after

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def upsert(self, collection, points, wait):
        assert wait, "a count is true only of points that were waited for"
        if self.fails_after is not None and len(self.sent) >= self.fails_after:
            raise ConnectionError("connection reset by peer")
        self.sent.append((points.ids[0], len(points.ids)))
        return self.inner.upsert(collection, points=points, wait=wait)


def test_a_server_is_filled_in_batches_and_goes_on_where_it_was_cut_off():
    vectors, url = unit(1300, 8), "http://qdrant.example:6333"
    server = Server(fails_after=2)
    with pytest.raises(LibraryError, match=r"qdrant.example.*connection reset by peer.*check the address"):
        open_index(vectors, "qdrant", location=url, client=server, progress=False)
    assert server.sent == [(0, 512), (512, 512)]
    server.fails_after = None
    index = open_index(vectors, "qdrant", location=url, client=server, progress=False)
    assert server.sent == [(0, 512), (512, 512), (1024, 276)]
    assert url in index.describe()
    truth = open_index(vectors).search(vectors[:4], 5)
    np.testing.assert_array_equal(index.search(vectors[:4], 5)[1], truth[1])
    open_index(vectors, "qdrant", location=url, client=server, progress=False)
    assert len(server.sent) == 3, "a full collection is not sent again"
    open_index(vectors[::-1].copy(), "qdrant", location=url, client=server, progress=False)
    assert len(server.inner.get_collections().collections) == 2, "other vectors get their own collection"


def test_a_url_reaches_the_client_as_a_url(monkeypatch):
    import qdrant_client

    made, server = [], Server()

    def client(*args, **kwargs):
        made.append((args, kwargs))
        return server

    monkeypatch.setattr(qdrant_client, "QdrantClient", client)
    open_index(unit(5, 4), "qdrant", location="https://host:6333", progress=False)
    assert made[0] == ((), {"url": "https://host:6333", "check_compatibility": False})


def test_a_server_that_is_not_there_is_named():
    with pytest.raises(LibraryError, match="http://127.0.0.1:9 does not do"):
        open_index(unit(5, 4), "qdrant", location="http://127.0.0.1:9", progress=False)
