"""UMAP (arXiv 1802.03426) of embeddings: seeded, stored as plain arrays, and open to new points without a refit.

Rows of unit norm are reduced by PCA where they are wide; neighbours are exact up to `EXACT_UP_TO` rows.
"""

import contextlib
import dataclasses
import hashlib
import json
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any, Self

import numpy as np

import slapkit
from slapkit._io import read_arrays, write_arrays
from slapkit.config import Config, require
from slapkit.errors import DataError
from slapkit.metrics.checks import unit_rows

FORMAT = 3
EXACT_UP_TO = 30_000  # rows; beyond them UMAP's approximate search is used
_SAME = 1e-5  # distance within which a new point is one of the map's own
_INNER, _DRAWN_IN = 0.98, 0.3  # share of the points that stay where UMAP puts them; what is left of farther ways


@dataclasses.dataclass(frozen=True)
class MapConfig(Config):
    """How a map is made."""

    n_components: int = 2
    n_neighbors: int = 15
    min_dist: float = 0.1
    pca: int = 50
    seed: int = 0

    def check(self) -> None:
        require(self.n_components in (2, 3), "n_components", self.n_components, "2 or 3")
        require(self.n_neighbors >= 2, "n_neighbors", self.n_neighbors, "at least 2")
        require(0 <= self.min_dist <= 1, "min_dist", self.min_dist, "0 to 1")
        require(self.pca >= self.n_components, "pca", self.pca, "at least n_components dimensions")


@dataclasses.dataclass(frozen=True)
class Map:
    """A fitted map, float32 `[N, 2 or 3]`, and the arrays that place new points on it.

    `reduced [N, R]` are the mapped rows after a PCA of `mean [D]` and `axes [R, D]` (None without one); `key` is a hash
    of the mapped vectors and of `config`.
    """

    coordinates: np.ndarray
    reduced: np.ndarray
    mean: np.ndarray | None
    axes: np.ndarray | None
    config: MapConfig
    versions: dict[str, str]
    key: str

    def __len__(self) -> int:
        return len(self.coordinates)

    def place(self, vectors: np.ndarray) -> np.ndarray:
        """Return float32 coordinates `[M, 2 or 3]` of new `vectors [M, D]` on this map.

        A new point lies at the mean of its nearest neighbours' coordinates, weighted by UMAP's membership strength, as
        UMAP's own `transform` begins. A vector of the map itself gets its own coordinates. Vectors of another width are
        a `DataError`.
        """
        from umap.umap_ import smooth_knn_dist

        wide = self.reduced.shape[1] if self.mean is None else len(self.mean)
        rows = unit_rows("vectors", vectors)
        if rows.shape[1] != wide:
            raise DataError(f"vectors have {rows.shape[1]} dimensions, the map was made of {wide}: use the same model")
        if self.mean is not None:
            rows = (rows - self.mean) @ self.axes.T
        k = min(self.config.n_neighbors, len(self))
        distances, near = _neighbours(self.reduced, rows, k)
        # Section 3.1 of the paper: exp(-d / sigma), sigma such that the strengths sum to log2(k).
        sigmas, _ = smooth_knn_dist(distances.astype(np.float32), float(k), local_connectivity=0.0)
        weights = np.exp(-distances / np.maximum(sigmas[:, None], 1e-12))
        weights[distances[:, 0] <= _SAME] = np.arange(k) == 0
        weights /= weights.sum(axis=1, keepdims=True)
        return np.einsum("mk,mkc->mc", weights, self.coordinates[near].astype(np.float64)).astype(np.float32)

    def save(self, path: str | Path) -> Path:
        """Write the map as one safetensors file, its settings in the header, and return the path."""
        arrays = {"coordinates": self.coordinates, "reduced": self.reduced, "mean": self.mean, "axes": self.axes}
        arrays = {name: array.astype(np.float32) for name, array in arrays.items() if array is not None}
        return write_arrays(path, arrays, {"key": self.key, "config": self.config.to_dict(), "versions": self.versions})

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a map that `save` wrote; raise `DataError` where there is none, or it is damaged."""
        found = read_arrays(path)
        if found is None or not {"coordinates", "reduced"} <= found[0].keys():
            raise DataError(f"{path} holds no map that can be read: fit it again")
        arrays, about = found
        config = MapConfig.from_dict(about.pop("config"))
        return cls(arrays["coordinates"], arrays["reduced"], arrays.get("mean"), arrays.get("axes"), config, **about)


def map_key(vectors: np.ndarray, config: MapConfig) -> str:
    """Return a hash of the vectors and of the settings."""
    digest = hashlib.sha256(json.dumps([FORMAT, config.to_dict(), list(np.shape(vectors))], sort_keys=True).encode())
    digest.update(np.ascontiguousarray(vectors, dtype=np.float32).tobytes())
    return digest.hexdigest()


def fit_map(vectors: np.ndarray, config: MapConfig | None = None, *, progress: bool = True, **settings: Any) -> Map:
    """Fit a map of `vectors [N, D]`; `settings` (`n_components=3`) replace single ones of `config`. Raise `DataError`
    for fewer than four rows, `ConfigError` for a setting out of range."""
    config = (config or MapConfig()).replace(**settings)
    rows = unit_rows("vectors", vectors)
    if len(rows) < 4:
        raise DataError(f"a map of {len(rows)} points says nothing: give at least 4")
    reduced, mean, axes = _reduce(rows, config.pca)
    k = min(config.n_neighbors, len(rows) - 1)
    coordinates = drawn_in(_umap(reduced, config, k, progress))
    names = ("umap-learn", "pynndescent", "numba", "numpy", "scikit-learn")
    versions = {name: metadata.version(name) for name in names} | {"slapkit": slapkit.__version__}
    return Map(coordinates, reduced, mean, axes, config, versions, map_key(vectors, config))


def fit_file(source: str, target: str) -> None:
    """Fit the map of a file of vectors, its configuration in the header, and save it in another."""
    arrays, config = read_arrays(source)
    fit_map(arrays["vectors"], MapConfig.from_dict(config), progress=False).save(target)


def _umap(reduced: np.ndarray, config: MapConfig, k: int, progress: bool) -> np.ndarray:
    known = (None, None, None)
    if len(reduced) <= EXACT_UP_TO:
        distances, near = _neighbours(reduced, reduced, k)
        known = (near, distances.astype(np.float32), None)
    with warnings.catch_warnings():
        # It warns that it makes no index for its `transform`, and uses one core where a seed is given.
        warnings.simplefilter("ignore")
        import umap

        _keep_compiled()
        settings = {"n_components": config.n_components, "n_neighbors": k, "min_dist": config.min_dist, "n_jobs": 1}
        settings["init"] = "pca" if reduced.shape[1] >= config.n_components else "random"
        settings["tqdm_kwds"] = {"disable": not progress, "desc": f"UMAP of {len(reduced):,} points", "leave": False}
        reducer = umap.UMAP(random_state=config.seed, precomputed_knn=known, **settings)
        return np.ascontiguousarray(reducer.fit_transform(reduced), dtype=np.float32)


def drawn_in(points: np.ndarray) -> np.ndarray:
    """Return `points [N, 2 or 3]` with the outermost 2 % drawn in, logarithmically, and farther ones still farther out.

    UMAP lets points drift away that it joins to few others. Ten of them would leave the other thousands a small spot.
    """
    middle = np.median(points, axis=0)
    ways = np.linalg.norm(points - middle, axis=1, keepdims=True)
    beyond = np.maximum(ways / max(np.quantile(ways, _INNER), 1e-12), 1)
    return (middle + (points - middle) * (1 + _DRAWN_IN * np.log(beyond)) / beyond).astype(np.float32)


def _keep_compiled() -> None:
    """Let numba keep on the disk what UMAP has it compile, which else takes six seconds of every process."""
    from umap import layouts, umap_

    slow = (umap_, "smooth_knn_dist"), (umap_, "compute_membership_strengths")
    for module, name in (*slow, (layouts, "_nb_optimize_layout_euclidean_single_epoch")):
        with contextlib.suppress(AttributeError, RuntimeError):  # another version, or no place to keep it
            getattr(module, name).enable_caching()


def _neighbours(rows: np.ndarray, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return Euclidean distances and indices `[M, k]` of the nearest of `rows [N, D]`, nearest first."""
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(np.asarray(rows, dtype=np.float64))
    return search.kneighbors(np.asarray(queries, dtype=np.float64))


def _reduce(rows: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Return `rows [N, D]` in their `size` largest principal components, mean and axes; unchanged where no wider."""
    from sklearn.decomposition import PCA

    size = min(size, len(rows))
    if rows.shape[1] <= size:
        return rows.astype(np.float32), None, None
    pca = PCA(size, svd_solver="covariance_eigh").fit(np.asarray(rows, dtype=np.float64))
    return tuple(array.astype(np.float32) for array in (pca.transform(rows), pca.mean_, pca.components_))
