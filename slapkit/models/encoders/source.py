"""Reading published models with transformers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from slapkit.errors import ConfigError


@contextlib.contextmanager
def reading(source: str, what: str, *, remedy: str) -> Iterator[None]:
    """Silence transformers, and raise `ConfigError` with the source's name for what it raises."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    try:
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        yield
    except ConfigError:
        raise
    except Exception as error:  # OSError, ValueError, and whatever a damaged file makes the parsers raise
        first = (str(error).splitlines() or [""])[0]
        raise ConfigError(f"source={source!r} gives no {what}: {first} {remedy}") from error
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
