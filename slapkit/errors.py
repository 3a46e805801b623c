"""The errors slapkit raises: each says what was found, where, and what to do about it."""


class SlapkitError(Exception):
    """Base of every error that slapkit raises on purpose."""


class ConfigError(SlapkitError, ValueError):
    """A configuration key or value, or a parameter of a run, that cannot be used."""


class AudioError(SlapkitError):
    """A sound that cannot be read, or that holds nothing to learn from."""


class DataError(SlapkitError):
    """A data set that is missing, malformed, or leaves its folder."""


class MetricError(SlapkitError, ValueError):
    """Inputs on which a loss or a metric is not defined."""


class CheckpointError(SlapkitError):
    """A checkpoint that is missing, incomplete, or does not fit the model."""


class CollapseError(SlapkitError):
    """Training that collapsed: the embeddings no longer tell inputs apart."""


class StorageError(SlapkitError):
    """A disk that cannot take what has to be written."""


class RunError(SlapkitError):
    """A notebook run that cannot start, or that failed; `error` names what a cell raised, if one did."""

    error = ""


class LibraryError(SlapkitError):
    """A library of sounds, an index or a search that cannot do what was asked."""
