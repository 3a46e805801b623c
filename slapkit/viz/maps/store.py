"""The maps of several models: each is fitted once and kept, several at a time."""

import contextlib
import dataclasses
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import slapkit
from slapkit._cores import available_cores
from slapkit._io import write_arrays
from slapkit.errors import DataError
from slapkit.metrics.embedded import Embedded, Kind
from slapkit.viz.figures.maps import Panel
from slapkit.viz.maps.points import panel
from slapkit.viz.maps.umap import Map, MapConfig, fit_map, map_key

_WORTH = 1500  # points from which fitting takes longer than starting a process
_FIT = "import sys; from slapkit.viz.maps.umap import fit_file; fit_file(*sys.argv[1:])"


@dataclasses.dataclass(frozen=True)
class _Wanted:
    vectors: np.ndarray
    config: MapConfig
    key: str
    place: Path | None  # where it is kept


class MapStore:
    """Fits each map once: a map in `folder` made of the same vectors with the same settings is read instead."""

    def __init__(self, folder: str | Path | None = None, config: MapConfig | None = None, *, progress: bool = True):
        self.folder = None if folder is None else Path(folder)
        self.config, self.progress = config or MapConfig(), progress
        self._known: dict[str, Map] = {}

    def map_of(self, embedded: Embedded, kind: Kind = "q", dimensions: int | None = None) -> Map:
        """Return the map of a model's points."""
        wanted = self._wanted(embedded, kind, dimensions)
        return self._kept(wanted) or self._keep(wanted, fit_map(wanted.vectors, wanted.config, progress=self.progress))

    def panels(self, models: Sequence[Embedded], kind: Kind = "q", dimensions: int | None = None) -> list[Panel]:
        """Return the maps of several models as figures take them. Where several have to be fitted, all but the first
        are in processes of their own, one a core: UMAP with a seed uses one."""
        every = [self._wanted(model, kind, dimensions) for model in models]
        missing = [wanted for wanted in every if self._kept(wanted) is None]
        beside = [wanted for wanted in missing[1:] if len(wanted.vectors) >= _WORTH]
        if beside and (cores := available_cores()) > 1:
            with ThreadPoolExecutor(cores - 1) as pool:
                fitted = pool.map(_fit_elsewhere, beside)
                self._keep(missing[0], fit_map(missing[0].vectors, missing[0].config, progress=self.progress))
                for wanted, found in zip(beside, fitted, strict=True):
                    if found is not None:
                        self._keep(wanted, found)
        return [panel(model, self.map_of(model, kind, dimensions).coordinates, kind) for model in models]

    def _wanted(self, embedded: Embedded, kind: Kind, dimensions: int | None) -> _Wanted:
        config = self.config.replace(n_components=dimensions or self.config.n_components)
        vectors = embedded.points(kind)
        key = map_key(vectors, config)
        name = re.sub(r"[^A-Za-z0-9]+", "-", embedded.name).strip("-").lower() or "model"
        name = f"{name}-{kind}-{config.n_components}d-{key[:16]}.safetensors"
        return _Wanted(vectors, config, key, None if self.folder is None else self.folder / name)

    def _kept(self, wanted: _Wanted) -> Map | None:
        if wanted.key not in self._known and wanted.place is not None:
            with contextlib.suppress(DataError):  # missing or damaged: it is fitted
                found = Map.load(wanted.place)
                if found.key == wanted.key:
                    self._known[wanted.key] = found
        return self._known.get(wanted.key)

    def _keep(self, wanted: _Wanted, found: Map) -> Map:
        if wanted.place is not None:
            found.save(wanted.place)
        self._known[wanted.key] = found
        return found


def _fit_elsewhere(wanted: _Wanted) -> Map | None:
    """Return the map, fitted in a process of its own, or None where that fails: then it is fitted here."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "vectors"), Path(folder, "map")
        write_arrays(source, {"vectors": wanted.vectors}, wanted.config.to_dict())
        home = str(Path(slapkit.__file__).parents[1])  # a notebook may have it from its own `sys.path`
        path = os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH")]))
        command = [sys.executable, "-c", _FIT, str(source), str(target)]
        done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, check=False)
        found = Map.load(target) if done.returncode == 0 else None
        return found if found is not None and found.key == wanted.key else None
