"""The data set that a notebook's parameters name: a folder, or several that are joined."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from slapkit._io import locate, project_root
from slapkit.data import AudioTextDataset, hf, join, read
from slapkit.errors import ConfigError, DataError


def data_folders(value: str, root: Path | None = None) -> list[Path]:
    """Return the folders that `value` names, separated by commas: relative to here, or to `root` or its `data/` (by
    default the project's), or what the cache holds of `hf:owner/name`. Raise `DataError` where one is not there."""
    root = project_root() if root is None else root
    names = split_names(value, locate, lambda name: root / name, lambda name: root / "data" / name)
    if not names:
        raise DataError(f"data={value!r} names no folder: give one, or several separated by commas")
    return [_fetched(name, root) if place is None else place for name, place in names]


def split_names(value: str, *places: Callable[[str], Path]) -> list[tuple[str, Path | None]]:
    """Return the names in `value`, separated by commas, and the first of their `places` that is there, None if none is;
    a comma in the name of what is there separates nothing."""
    parts, found = value.split(","), []
    while parts:
        for count in range(len(parts), 0, -1):
            name = ",".join(parts[:count])
            there = _first(name, places) or _first(name.strip(), places)
            if there is not None or count == 1:
                break
        found.append((name.strip(), there))
        parts = parts[count:]
    return [(name, there) for name, there in found if name]


def _first(name: str, places: Sequence[Callable[[str], Path]]) -> Path | None:
    for place in places:
        with contextlib.suppress(OSError):  # several names in one are too long for a file
            if (path := place(name)).exists():
                return path
    return None


def _fetched(name: str, root: Path) -> Path:
    """Return what the cache holds of a name of the hub; raise `DataError` for any other name."""
    if name.startswith(hf.PREFIX):
        return hf.fetch(name)
    raise DataError(
        f"no data set at {root / Path(name).expanduser()}: build the score corpus with `slapkit corpus`, or name a "
        "folder of your own by -p data=..., or several separated by commas"
    )


def read_data(value: str, shares: str | None = None, root: Path | None = None) -> AudioTextDataset:
    """Read the data set that `value` names; several are joined.

    Args:
        value: see `data_folders`.
        shares: of several in each training batch, separated by commas, such as "0.7,0.3"; see `slapkit.data.join`.

    Raises:
        ConfigError: shares that are no numbers, or of a single data set.
        DataError: a folder is missing, or is no data set.
    """
    datasets = [read(folder) for folder in data_folders(value, root)]
    if len(datasets) == 1 and shares is not None:
        raise ConfigError(f"shares={shares!r}: they divide several data sets, and data={value!r} is one")
    try:
        numbers = None if shares is None else [float(share) for share in shares.split(",")]
    except ValueError:
        raise ConfigError(f"shares={shares!r}: numbers separated by commas needed, such as 0.7,0.3") from None
    return datasets[0] if len(datasets) == 1 else join(datasets, numbers)


def data_of_run(record: Mapping[str, Any], root: Path, *, progress: bool = True) -> AudioTextDataset:
    """Read the data set that a run of the project `root` was made on: its own, not that of a project we work in now.
    Raise `DataError` or `ConfigError` where it is gone, or was changed since."""
    parameters = record.get("parameters", {})
    value = str(parameters.get("data"))
    places = ",".join(str(place or name) for name, place in split_names(value, lambda name: root / name))
    dataset = read_data(places, parameters.get("shares"), root)
    dataset.audio_hashes(progress=progress)  # which the fingerprint would read with a bar, quiet or not
    if dataset.fingerprint != record.get("data_fingerprint"):
        raise DataError(f"{value} is not what it was")
    return dataset
