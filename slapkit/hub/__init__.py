"""Published checkpoints in, models out: loading, starting training, `export`, `doctor`, `embed`, `mteb`; a published
tagger: `tagger`, `weak_captions`."""

import importlib
from typing import Any

_HOMES = {
    "MtebModel": "mteb", "mteb_model": "mteb",
    "Source": "load", "find": "load", "load_joint": "load", "load_model": "load",
    "start_from": "starting", "tuning_lr": "starting", "with_towers_of": "starting",
}  # fmt: skip
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    """Import a name when it is asked for: the command line names this package, and must not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
