"""A trained model in the forms that others read: transformers' CLAP, ONNX, and a folder for the Hugging Face Hub.

Every export is compared with the model before it gets its name: one that differs is not written. None holds a pickle.
"""

from slapkit._lazy import imported_from

_HOMES = {
    "ExportError": "folder", "model_card": "card", "read_run": "card", "to_clap": "clap",
    "to_hub_folder": "folder", "to_onnx": "onnx",
}  # fmt: skip
__all__ = list(_HOMES)
__getattr__ = imported_from(__name__, _HOMES)
