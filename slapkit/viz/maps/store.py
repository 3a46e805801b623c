"""The maps of several models, fitted when they are asked for and kept in a folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from slapkit.errors import DataError
from slapkit.metrics.embedded import Embedded, Kind
from slapkit.viz.figures.maps import Panel
from slapkit.viz.maps.points import panel
from slapkit.viz.maps.umap import Map, MapConfig, fit_map, map_key


class MapStore:
    """Fits each map once: a map in `folder` made of the same vectors with the same settings is read instead.

    Args:
        folder: where maps are kept, one folder each; None keeps them in memory alone.
        config: settings of all maps; the number of dimensions is asked for with each.
        progress: show the epochs of a fit.
    """

    def __init__(
        self, folder: str | Path | None = None, config: MapConfig | None = None, *, progress: bool = True
    ) -> None:
        self.folder = None if folder is None else Path(folder)
        self.config = config or MapConfig()
        self.progress = progress
        self._known: dict[str, Map] = {}

    def map_of(self, embedded: Embedded, kind: Kind = "q", dimensions: int | None = None) -> Map:
        """Return the map of one model's clips and captions."""
        config = self.config.replace(n_components=dimensions or self.config.n_components)
        vectors = embedded.points(kind)
        key = map_key(vectors, config)
        if key not in self._known:
            self._known[key] = self._read(embedded, kind, config, key) or self._fit(embedded, kind, config, vectors)
        return self._known[key]

    def panels(self, models: Sequence[Embedded], kind: Kind = "q", dimensions: int | None = None) -> list[Panel]:
        """Return the maps of several models as figures take them."""
        return [panel(model, self.map_of(model, kind, dimensions).coordinates, kind) for model in models]

    def _place(self, embedded: Embedded, kind: Kind, config: MapConfig) -> Path | None:
        name = re.sub(r"[^A-Za-z0-9]+", "-", embedded.name).strip("-").lower() or "model"
        return None if self.folder is None else self.folder / f"{name}-{kind}-{config.n_components}d"

    def _read(self, embedded: Embedded, kind: Kind, config: MapConfig, key: str) -> Map | None:
        place = self._place(embedded, kind, config)
        if place is None or not (place / "map.json").is_file():
            return None
        try:
            found = Map.load(place)
        except DataError:  # damaged: it is fitted again
            return None
        return found if found.key == key else None

    def _fit(self, embedded: Embedded, kind: Kind, config: MapConfig, vectors) -> Map:
        found = fit_map(vectors, config, progress=self.progress)
        if place := self._place(embedded, kind, config):
            found.save(place)
        return found
