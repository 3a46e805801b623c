"""A trained model in the forms that others read: transformers' CLAP, ONNX, and a folder for the Hugging Face Hub.

Every export is compared with the model before it gets its name: one that differs is not written. None holds a pickle.
"""

import importlib
from typing import Any

_HOMES = {
    "ExportError": "folder", "model_card": "card", "read_run": "card", "to_clap": "clap",
    "to_hub_folder": "folder", "to_onnx": "onnx",
}  # fmt: skip
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    """Import what is asked for: the command line names this package, and must not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
