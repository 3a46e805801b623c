"""The errors of slapkit: each names what was found, where, and the remedy."""


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
