"""UMAP: its own weights, new points on a saved map, the same map for the same seed."""

import numpy as np
import pytest
from scipy.optimize import brentq

from slapkit.errors import DataError
from slapkit.viz.maps import store
from slapkit.viz.maps.store import MapStore
from slapkit.viz.maps.umap import Map, MapConfig, _reduce, drawn_in, fit_map, map_key
from tests.viz.fakes import make_clips, make_embedded

RNG = np.random.default_rng(0)


def ready_map(vectors, dimensions=2, pca=4):
    """A map whose coordinates are given, so that no UMAP is needed."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    reduced, mean, axes = _reduce(unit, pca)
    config = MapConfig(n_components=dimensions, n_neighbors=5, pca=pca)
    coordinates = RNG.normal(size=(len(vectors), dimensions)).astype(np.float32)
    return Map(coordinates, reduced, mean, axes, config, {"umap-learn": "0"}, map_key(vectors, config))


@pytest.mark.slow
@pytest.mark.parametrize("dimensions", [2, 3])
def test_new_points_stand_among_their_neighbours_and_known_ones_at_their_own_place(tmp_path, dimensions):
    vectors = RNG.normal(size=(60, 8))
    ready = ready_map(vectors, dimensions)
    np.testing.assert_allclose(ready.place(vectors), ready.coordinates, atol=1e-5)
    new = vectors[:6] + 0.05 * RNG.normal(size=(6, 8))
    loaded = Map.load(ready.save(tmp_path / "map.safetensors"))
    assert np.array_equal(loaded.place(new), ready.place(new)) and loaded.config == ready.config
    assert loaded.key == ready.key and loaded.versions == ready.versions
    unit = new / np.linalg.norm(new, axis=1, keepdims=True)
    for query, place in zip((unit - ready.mean) @ ready.axes.T, ready.place(new)):  # one by one, in loops
        distance = np.linalg.norm(ready.reduced - query, axis=1)
        near = np.argsort(distance)[:5]
        # The strengths of all but the nearest sum to log2 of the number of neighbours.
        nearest = distance[near]
        sigma = brentq(lambda s, d=nearest: np.exp(-d[1:] / s).sum() - np.log2(5), 1e-3, 1e3)
        weight = np.exp(-nearest / sigma)
        np.testing.assert_allclose(place, (weight / weight.sum()) @ ready.coordinates[near], atol=1e-3)
    with pytest.raises(DataError, match="9 dimensions"):
        ready.place(np.ones((1, 9)))


def test_a_damaged_map_is_refused(tmp_path):
    path = ready_map(RNG.normal(size=(20, 8))).save(tmp_path / "a.safetensors")
    path.write_bytes(path.read_bytes()[:-40])
    for wrong in (path, tmp_path / "none.safetensors"):
        with pytest.raises(DataError, match=wrong.name):
            Map.load(wrong)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_what_drifts_away_is_drawn_in_and_keeps_its_order_and_direction(dimensions):
    points = RNG.normal(size=(1000, dimensions)).astype(np.float32)
    points[:6] *= np.array([3, 10, 30, 100, 300, 1000])[:, None] / np.linalg.norm(points[:6], axis=1, keepdims=True)
    found, middle = drawn_in(points), np.median(points, axis=0)
    before, after = (np.linalg.norm(p - middle, axis=1) for p in (points, found))
    order = np.argsort(before)
    assert (np.diff(after[order]) >= -1e-5).all()
    np.testing.assert_allclose(found[order[:975]], points[order[:975]], atol=1e-5)
    np.testing.assert_allclose((found - middle) / after[:, None], (points - middle) / before[:, None], atol=1e-4)
    assert after.max() < 3 * after[order[979]]
    same = np.ones((5, dimensions), dtype=np.float32)
    assert np.array_equal(drawn_in(same), same)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_map_and_clusters_stay_apart(tmp_path, models):
    centres = 3 * np.eye(4, 64)
    vectors = np.repeat(centres, 25, axis=0) + 0.1 * RNG.normal(size=(100, 64))
    first, again, other = (fit_map(vectors, seed=s, n_neighbors=8, progress=False) for s in (0, 0, 1))
    assert np.array_equal(first.coordinates, again.coordinates)
    assert not np.array_equal(first.coordinates, other.coordinates)
    groups = first.coordinates.reshape(4, 25, 2)
    middle = groups.mean(axis=1)
    spread = np.linalg.norm(groups - middle[:, None], axis=-1).max()
    between = np.linalg.norm(middle[:, None] - middle[None], axis=-1)
    assert between[np.triu_indices(4, 1)].min() > 2 * spread
    assert first.reduced.shape == (100, 50) and first.versions["umap-learn"] and first.versions["slapkit"]
    new = centres + 0.05 * RNG.normal(size=(4, 64))
    assert (np.linalg.norm(first.place(new) - middle, axis=-1) < spread + 1).all()
    first_store = MapStore(tmp_path, MapConfig(n_neighbors=5), progress=False)
    fitted = first_store.map_of(models[0])
    path = tmp_path / f"slap-q-2d-{fitted.key[:16]}.safetensors"
    before = path.stat().st_mtime_ns
    read = MapStore(tmp_path, MapConfig(n_neighbors=5), progress=False).map_of(models[0])
    assert np.array_equal(read.coordinates, fitted.coordinates) and len(read) == len(models[0])
    assert path.stat().st_mtime_ns == before, "read, not fitted again"


@pytest.mark.slow
@pytest.mark.parametrize("works", [True, False])
def test_maps_that_are_fitted_at_a_time_are_those_of_one_after_the_other(tmp_path, monkeypatch, works):
    models = [make_embedded(make_clips(None, 40), name, seed=i) for i, name in enumerate(("SLAP", "CLAP", "SigLIP"))]
    config = MapConfig(n_neighbors=5)
    monkeypatch.setattr(store, "_WORTH", 10)
    if not works:
        monkeypatch.setattr(store, "_FIT", "raise SystemExit(1)")
    monkeypatch.setattr(store, "available_cores", lambda: 2)
    here = []
    fit = store.fit_map
    monkeypatch.setattr(store, "fit_map", lambda *given, **named: here.append(1) or fit(*given, **named))
    panels = MapStore(tmp_path, config, progress=False).panels(models)
    assert len(here) == (1 if works else 3), "fitted in this process"
    for model, panel in zip(models, panels, strict=True):
        wanted = fit(model.points("q"), config, progress=False).coordinates
        assert np.array_equal(panel.coordinates, wanted)
    assert len(list(tmp_path.iterdir())) == 3
    again = MapStore(tmp_path, config, progress=False)
    monkeypatch.setattr(store, "fit_map", None)
    assert all(again.map_of(model).key for model in models), "all are kept"
