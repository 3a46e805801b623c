"""Which modules of slapkit a call passes through."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any


def modules_passed(call: Callable[[], Any]) -> list[str]:
    """Return the modules whose functions ran during `call`, in the order in which they were first entered.

    Code that runs when a module or class is made does not count, and neither do comprehensions' frames of other modules.
    """
    passed: dict[str, None] = {}

    def record(frame: Any, event: str, _argument: Any) -> None:
        name = frame.f_globals.get("__name__", "")
        if event == "call" and name.startswith("slapkit.") and frame.f_code.co_name != "<module>":
            passed[name] = None

    threading.setprofile(record)
    sys.setprofile(record)
    try:
        call()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return list(passed)
