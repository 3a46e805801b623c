"""Names that a package imports when they are asked for: who names the package must not wait for torch or plotly."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def imported_from(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the `__getattr__` of a package whose names are in the modules `homes`."""

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)

    return find
