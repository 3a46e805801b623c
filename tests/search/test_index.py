"""Indexes find what a slow look at everything finds."""

import numpy as np
import pytest
import qdrant_client
from hypothesis import given, settings
from hypothesis import strategies as st

from slapkit.errors import LibraryError
from slapkit.search import index as module
from slapkit.search.index import ExactIndex, GraphIndex, open_index


def unit(rows: int, dim: int, seed: int = 0, clusters: int = 0) -> np.ndarray:
    """Return unit rows, around cluster centres if asked for, as embeddings of music lie."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, dim))
    if clusters:
        x = np.random.default_rng(99).standard_normal((clusters, dim))[rng.integers(0, clusters, rows)] + 0.6 * x
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


HALVES = st.lists(st.sampled_from([-0.5, 0.5]), min_size=4, max_size=4)  # exact products and sums: ties are ties


@settings(deadline=None, max_examples=60)
@given(
    vectors=st.lists(HALVES, min_size=1, max_size=40), queries=st.lists(HALVES, min_size=1, max_size=6),
    k=st.integers(1, 50), block=st.integers(1, 9),
)  # fmt: skip
def test_exact_equals_a_slow_sort_with_ties_in_any_blocks(vectors, queries, k, block):
    vectors, queries = np.float32(vectors), np.float32(queries)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK_BYTES", 4 * 4 * block)
        scores, found = ExactIndex(vectors).search(3 * queries, k)  # length does not matter
    assert scores.shape == found.shape == (len(queries), min(k, len(vectors)))
    for query, best, values in zip(queries, found, scores):
        truth = [sum(float(a) * float(b) for a, b in zip(row, query)) for row in vectors]
        assert best.tolist() == sorted(range(len(truth)), key=lambda row: (-truth[row], row))[:k]
        assert values.tolist() == [truth[row] for row in best]


@pytest.mark.parametrize("kind", ["exact", "usearch", "qdrant"])
def test_bad_input_is_named(kind):
    vectors = unit(20, 8)
    index = open_index(vectors, kind, progress=False)
    for query, k, words in ((np.ones(7), 3, r"\[1, 7\]"), (np.full(8, np.nan), 3, "finite"), (vectors[0], 0, "k=0")):
        with pytest.raises(LibraryError, match=words):
            index.search(query, k)
    assert index.search(vectors[:3], 99)[1].shape == (3, 20)
    with pytest.raises(LibraryError, match="float64"):
        open_index(vectors.astype(np.float64), kind)
    vectors[7] *= 2
    with pytest.raises(LibraryError, match="row 7 .* 2"):
        open_index(vectors, kind)
    for kind, words in (("uzearch", "usearch"), ("qdrant", "127.0.0.1:9")):
        with pytest.raises(LibraryError, match=words):
            open_index(unit(5, 4), kind, location="http://127.0.0.1:9", progress=False)


def test_approximate_agrees_with_exact_and_is_kept(tmp_path, monkeypatch):
    np.save(tmp_path / "v.npy", unit(4000, 32, clusters=40))
    vectors, queries = np.load(tmp_path / "v.npy", mmap_mode="r"), unit(100, 32, seed=1, clusters=40)

    def opened(vectors=vectors, name="tones"):
        return open_index(vectors, "usearch", location=tmp_path, name=name, progress=False)

    truth, exact = np.argsort(-(queries @ vectors.T), axis=1)[:, :10], open_index(vectors).search(queries, 10)[1]
    scores, rows = opened().search(queries, 10)
    for found, least in ((exact, 1), (rows, 0.95)):
        assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found, truth)]) >= least
    np.testing.assert_allclose(scores, np.einsum("qd,qkd->qk", queries, vectors[rows]), atol=1e-6)
    with monkeypatch.context() as patch:
        patch.setattr(GraphIndex, "_build", lambda *_: pytest.fail("built again"))
        np.testing.assert_array_equal(opened().search(queries, 10)[1], rows)
    (file,) = tmp_path.glob("*.usearch")
    for cut in (0, 1000, -1):  # what is damaged is built again
        file.write_bytes(file.read_bytes()[:cut])
        assert opened().search(vectors[3], 1)[1][0, 0] == 3
    opened(name="tones-2")
    opened(vectors[:-1])
    assert len(list(tmp_path.glob("tones-2-*.usearch"))) == 1, "another name's graph stays"
    assert len(list(tmp_path.glob("*.usearch"))) == 2, "a graph of vectors that changed replaces the old one"


def test_a_server_is_filled_in_batches_and_goes_on_where_it_was_cut_off(monkeypatch):
    client, sent, room = qdrant_client.QdrantClient(":memory:"), [], 2
    upsert = client.upsert

    def counting(collection, points, wait):
        assert wait, "a count is true only of points that were waited for"
        if len(sent) >= room:
            raise ConnectionError("connection reset by peer")
        sent.append((points.ids[0], len(points.ids)))
        return upsert(collection, points=points, wait=wait)

    def opened(vectors):
        return open_index(vectors, "qdrant", location="http://qdrant.example:6333", progress=False)

    client.upsert = counting
    monkeypatch.setattr(qdrant_client, "QdrantClient", lambda **_: client)
    vectors = unit(1300, 8)
    with pytest.raises(LibraryError, match=r"qdrant.example.*connection reset by peer"):
        opened(vectors)
    room = 99
    for _ in range(2):  # a full collection is not sent again
        index = opened(vectors)
        assert sent == [(0, 512), (512, 512), (1024, 276)]
    for found, truth in zip(index.search(vectors[:4], 5), open_index(vectors).search(vectors[:4], 5)):
        np.testing.assert_allclose(found, truth, atol=1e-6)
    opened(vectors[::-1].copy())
    assert len(client.get_collections().collections) == 2, "other vectors get their own collection"
