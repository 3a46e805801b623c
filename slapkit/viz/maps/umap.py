"""UMAP (arXiv 1802.03426) of embeddings: seeded, kept as plain arrays, and open to new points without a refit.

What UMAP is given is made exact and reproducible first: rows of unit norm, so that Euclidean distance orders neighbours
as the cosine does; PCA where they are wide; exact nearest neighbours where they fit; a start from the two or three
largest principal components, so that what lies far apart in the space starts far apart on the map.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np

import slapkit
from slapkit._io import atomic_path, atomic_write_json
from slapkit.config import Config, require
from slapkit.errors import DataError
from slapkit.metrics._validate import unit_rows
from slapkit.viz.maps.neighbours import membership, neighbours

FORMAT = 1
EXACT_UP_TO = 30_000  # rows: up to here all neighbours are compared; beyond, UMAP's own approximate search is used
_SAME = 1e-5  # distance within which a new point is one of the map's own


@dataclasses.dataclass(frozen=True)
class MapConfig(Config):
    """How a map is made."""

    n_components: int = 2
    n_neighbors: int = 15
    min_dist: float = 0.1
    metric: Literal["cosine", "euclidean"] = "cosine"
    pca: int = 50
    seed: int = 0

    def check(self) -> None:
        require(self.n_components in (2, 3), "n_components", self.n_components, "2 or 3")
        require(self.n_neighbors >= 2, "n_neighbors", self.n_neighbors, "at least 2")
        require(0 <= self.min_dist <= 1, "min_dist", self.min_dist, "0 to 1")
        require(self.pca >= self.n_components, "pca", self.pca, "at least n_components dimensions")


@dataclasses.dataclass(frozen=True)
class Map:
    """A finished map, and what it takes to place new points on it.

    Attributes:
        coordinates: float32 `[N, 2 or 3]`.
        reduced: float32 `[N, R]`, the rows that were mapped, after PCA.
        mean, axes: `[D]` and `[R, D]` of the PCA; None where there was none.
        config: how it was made.
        versions: of the packages that it depends on.
        key: hash of the mapped vectors and of `config`.
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
        """Return float32 coordinates `[M, 2 or 3]` of new `vectors [M, D]` on this map, which stays as it is.

        A new point stands at the mean of its nearest neighbours' coordinates, weighted by UMAP's membership strength
        exp(-distance / sigma), with sigma such that the weights sum to log2 of their number. That is where UMAP's own
        `transform` starts from; its further epochs are left out, for they would need the fitted object, which can only
        be pickled. A vector of the map itself gets its own coordinates.

        Raises:
            DataError: vectors of another width.
        """
        wide = self.reduced.shape[1] if self.mean is None else len(self.mean)
        rows = _rows(vectors, self.config.metric)
        if rows.shape[1] != wide:
            raise DataError(f"vectors have {rows.shape[1]} dimensions, the map was made of {wide}: use the same model")
        if self.mean is not None:
            rows = (rows - self.mean) @ self.axes.T
        k = min(self.config.n_neighbors, len(self))
        near, distances = neighbours(self.reduced, k, queries=rows)
        weights = membership(distances)
        exact = distances[:, 0] <= _SAME
        weights[exact] = np.arange(k) == 0
        weights /= weights.sum(axis=1, keepdims=True)
        return np.einsum("mk,mkc->mc", weights, self.coordinates[near].astype(np.float64)).astype(np.float32)

    def save(self, folder: str | Path) -> Path:
        """Write `map.safetensors` (arrays) and then `map.json` (settings, versions) into `folder`; return it."""
        from safetensors.numpy import save_file

        arrays = {"coordinates": self.coordinates, "reduced": self.reduced}
        if self.mean is not None:
            arrays |= {"mean": self.mean, "axes": self.axes}
        folder = Path(folder)
        with atomic_path(folder / "map.safetensors", needed=sum(a.nbytes for a in arrays.values())) as temporary:
            save_file({name: np.ascontiguousarray(a, dtype=np.float32) for name, a in arrays.items()}, temporary)
        about = {"format": FORMAT, "points": len(self), "key": self.key, "config": self.config.to_dict()}
        atomic_write_json(folder / "map.json", about | {"versions": self.versions})
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> Map:
        """Read a map that `save` wrote.

        Raises:
            DataError: there is none, or it is damaged.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        folder = Path(folder)
        try:
            about = json.loads((folder / "map.json").read_text(encoding="utf-8"))
            arrays = load_file(folder / "map.safetensors")
            config = MapConfig.from_dict(about["config"])
            found = cls(
                coordinates=arrays["coordinates"],
                reduced=arrays["reduced"],
                mean=arrays.get("mean"),
                axes=arrays.get("axes"),
                config=config,
                versions=about["versions"],
                key=about["key"],
            )
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise DataError(f"{folder} holds no map that can be read ({error}): fit it again") from error
        if len(found) != about.get("points") or len(found.reduced) != len(found):
            raise DataError(f"{folder}: map.json and map.safetensors are of two maps: fit it again")
        return found


def map_key(vectors: np.ndarray, config: MapConfig) -> str:
    """Return what tells one map from another: a hash of the vectors and of the settings."""
    digest = hashlib.sha256(json.dumps([FORMAT, config.to_dict(), list(np.shape(vectors))], sort_keys=True).encode())
    digest.update(np.ascontiguousarray(vectors, dtype=np.float32).tobytes())
    return digest.hexdigest()


def fit_map(vectors: np.ndarray, config: MapConfig | None = None, *, progress: bool = True, **settings: Any) -> Map:
    """Fit a map of `vectors [N, D]`: the same vectors and settings give the same map on the same machine.

    Args:
        vectors: rows to be mapped.
        config: settings; `**settings` (`n_components=3`, `seed=1`...) replace single ones.
        progress: show the epochs.

    Raises:
        DataError: fewer than four rows.
        ConfigError: a setting out of range.
    """
    config = (config or MapConfig()).replace(**settings)
    rows = _rows(vectors, config.metric)
    if len(rows) < 4:
        raise DataError(f"a map of {len(rows)} points says nothing: give at least 4")
    reduced, mean, axes = _reduce(rows, config.pca)
    k = min(config.n_neighbors, len(rows) - 1)
    coordinates = _umap(reduced, config, k, progress=progress)
    names = ("umap-learn", "pynndescent", "numba", "numpy", "scikit-learn")
    versions = {name: metadata.version(name) for name in names} | {"slapkit": slapkit.__version__}
    return Map(coordinates, reduced, mean, axes, config, versions, map_key(vectors, config))


def _umap(reduced: np.ndarray, config: MapConfig, k: int, *, progress: bool) -> np.ndarray:
    """Run UMAP itself on rows that are ready for it: float32 `[N, n_components]`."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        # It warns of what is meant so: no index for its own `transform`, and one core where a seed is given.
        warnings.simplefilter("ignore")
        import umap

        known = (None, None, None)
        if len(reduced) <= EXACT_UP_TO:
            near, distances = neighbours(reduced, k)
            known = (near, distances.astype(np.float32), None)
        start = _start(reduced, config)
        reducer = umap.UMAP(
            n_components=config.n_components,
            n_neighbors=k,
            min_dist=config.min_dist,
            metric="euclidean",
            random_state=config.seed,
            n_jobs=1,
            init=start,
            precomputed_knn=known,
            tqdm_kwds={"disable": not progress, "desc": f"UMAP of {len(reduced):,} points", "leave": False},
        )
        return np.ascontiguousarray(reducer.fit_transform(reduced), dtype=np.float32)


def _start(reduced: np.ndarray, config: MapConfig) -> np.ndarray:
    """Return where the points start: their largest principal components within -10 to 10, with a little noise."""
    rng = np.random.default_rng(config.seed)
    start = np.zeros((len(reduced), config.n_components))
    components, _, _ = _reduce(reduced, config.n_components)
    start[:, : components.shape[1]] = components
    start *= 10 / max(np.abs(start).max(), 1e-12)
    return (start + rng.normal(scale=1e-3, size=start.shape)).astype(np.float32)


def _rows(vectors: np.ndarray, metric: str) -> np.ndarray:
    """Return `vectors [N, D]` checked, as float64, of unit norm where the cosine counts."""
    unit = unit_rows("vectors", vectors)
    return unit if metric == "cosine" else np.asarray(vectors, dtype=np.float64)


def _reduce(rows: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Return `rows [N, D]` in their `size` largest principal components, mean and axes; unchanged where no wider."""
    if rows.shape[1] <= size:
        return rows.astype(np.float32), None, None
    mean = rows.mean(axis=0)
    centred = np.asarray(rows - mean, dtype=np.float64)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    axes = vectors[:, ::-1][:, :size].T
    # The sign of an eigenvector is free: the largest entry is made positive, so that maps do not flip by chance.
    axes = axes * np.sign(axes[np.arange(size), np.abs(axes).argmax(axis=1)])[:, None]
    return (centred @ axes.T).astype(np.float32), mean.astype(np.float32), axes.astype(np.float32)
