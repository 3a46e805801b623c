"""The errors of slapkit: each names what was found, where, and the remedy."""

import importlib.util
import reprlib
from typing import Any

TABLE = "the table"  # in place of a file's name where a remark on the whole table stands among files left out


class SlapkitError(Exception):
    """Base of every error that slapkit raises on purpose."""


class ConfigError(SlapkitError, ValueError):
    """A configuration key or value, or a parameter of a run, that cannot be used."""


class AudioError(SlapkitError):
    """An audio file that cannot be read, or that is empty or silent."""


class DataError(SlapkitError):
    """A data set that is missing or malformed, or that names files outside its folder."""


class MetricError(SlapkitError, ValueError):
    """Inputs on which a loss or a metric is not defined."""


class CheckpointError(SlapkitError):
    """A checkpoint that is missing, incomplete, or does not fit the model."""


class CollapseError(SlapkitError):
    """Training that collapsed: the embeddings no longer differ between inputs."""


class StorageError(SlapkitError):
    """A disk that is full or forbidden."""


class RunError(SlapkitError):
    """A notebook run that cannot start, or that failed; `error` names what a cell raised, if one did."""

    error = ""


class LibraryError(SlapkitError):
    """A library of music, an index or a search that cannot do what was asked."""


class MissingExtraError(SlapkitError, ImportError):
    """Packages that only a part of slapkit needs, and that are not installed."""


def need_extra(extra: str, *packages: str) -> None:
    """Raise `MissingExtraError` where one of the packages that come with `slapkit[extra]` is not installed."""
    if missing := [name for name in packages if importlib.util.find_spec(name) is None]:
        raise MissingExtraError(f"{', '.join(missing)} not installed: pip install 'slapkit[{extra}]'")


def short(value: Any, limit: int = 80) -> str:
    """Return a value for a message: as it is written, or its type, its length and how it begins."""
    if getattr(value, "shape", None):  # one number has the shape ()
        return f"{type(value).__name__} of shape {list(value.shape)}"
    if isinstance(value, str | bytes):
        return repr(value) if len(value) <= limit else f"{value[:limit]!r}... ({len(value):,} characters)"
    if isinstance(value, list | tuple | set | frozenset | dict):
        begun = reprlib.repr(value)  # the whole may have millions of characters
        said = begun if len(begun) <= limit else f"{begun[:limit]}..."
        return said if len(value) <= 4 else f"{type(value).__name__} of {len(value):,}: {said}"
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}... ({type(value).__name__})"
