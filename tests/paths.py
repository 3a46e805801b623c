"""The modules of slapkit that a value passes, recorded while the real thing runs."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Collection
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import slapkit

ROOT = Path(slapkit.__file__).parent
# Settings and files serve every module; no value is on its way through them.
EVERYWHERE = {"slapkit._io", "slapkit.config", "slapkit.errors"}


def modules_passed(
    run: Callable[[], object], *, holds: Callable[[Any], bool] | None = None, until: Callable | None = None
) -> list[str]:
    """Run a function and return the modules that handled the value, in the order of their first such call.

    A module handles the value if one of its functions takes or returns it.

    Args:
        holds: tells the value from others; default: any value, so that every function counts.
        until: nothing is recorded once this function has returned.
    """
    found: dict[str, None] = {}
    done = threading.Event()

    def profile(frame, event, returned):
        path = Path(frame.f_code.co_filename)
        if done.is_set() or event not in ("call", "return") or not path.is_relative_to(ROOT):
            return
        count = frame.f_code.co_argcount + frame.f_code.co_kwonlyargcount
        values = [returned] if event == "return" else [frame.f_locals[n] for n in frame.f_code.co_varnames[:count]]
        if holds is None or any(holds(value) for value in values):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found.setdefault(".".join(["slapkit", *(part for part in parts if part != "__init__")]))
        if event == "return" and until is not None and frame.f_code is until.__code__:
            done.set()

    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        run()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return [name for name in found if name not in EVERYWHERE]


def holds_floats(value: Any) -> bool:
    """Whether a value is, or has in it, an array or tensor of real numbers."""
    if isinstance(value, torch.Tensor):
        return value.dim() > 0 and value.is_floating_point()
    if isinstance(value, np.ndarray):
        return value.dtype.kind == "f"
    return any(holds_floats(item) for item in _items(value))


def holds_text(texts: Collection[str]) -> Callable[[Any], bool]:
    """Return whether a value is, or has in it, one of some texts."""

    def holds(value: Any) -> bool:
        return value in texts if isinstance(value, str) else any(holds(item) for item in _items(value))

    return holds


def _items(value: Any) -> list[Any]:
    """Return the first things inside a list, a dictionary or a data class."""
    if isinstance(value, dict):
        return [*value.values()][:4]
    if is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, field.name) for field in fields(value)]
    return list(value[:4]) if isinstance(value, (list, tuple)) else []
