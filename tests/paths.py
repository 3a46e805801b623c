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


class Reached(Exception):
    """Raised inside the traced function when the value has arrived."""


def modules_on_the_way(
    run: Callable[[], object], *, texts: Collection[str] = (), arrays: bool = True, until: Callable | None = None
) -> list[str]:
    """Run a function, and return the modules that handled the value, in order of their first such call.

    A module handles the value if one of its functions is given it, or returns it: an array or tensor (with `arrays`),
    or one of `texts`, by itself or inside a list, a dictionary or a data class. Recording stops when `until` returns.
    """
    found: dict[str, None] = {}
    done = threading.Event()

    def profile(frame, event, returned):
        if done.is_set() or event not in ("call", "return"):
            return
        path = Path(frame.f_code.co_filename)
        if not path.is_relative_to(ROOT) or frame.f_code.co_name.startswith("<"):
            return
        count = frame.f_code.co_argcount + frame.f_code.co_kwonlyargcount
        given = [returned] if event == "return" else [frame.f_locals[n] for n in frame.f_code.co_varnames[:count]]
        if any(_holds(value, texts, arrays) for value in given):
            found.setdefault("slapkit." + ".".join(path.relative_to(ROOT).with_suffix("").parts))
        if event == "return" and until is not None and frame.f_code is until.__code__:
            done.set()

    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        run()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return [name.removesuffix(".__init__") for name in found]


def _holds(value: Any, texts: Collection[str], arrays: bool, depth: int = 2) -> bool:
    if isinstance(value, (np.ndarray, torch.Tensor)):
        return arrays and value.size != 0 if isinstance(value, np.ndarray) else arrays and value.dim() > 0
    if isinstance(value, str):
        return value in texts
    if not depth:
        return False
    if isinstance(value, dict):
        value = list(value.values())
    elif is_dataclass(value) and not isinstance(value, type):
        value = [getattr(value, field.name) for field in fields(value)]
    if isinstance(value, (list, tuple)):
        return any(_holds(item, texts, arrays, depth - 1) for item in value[:4])
    return False
