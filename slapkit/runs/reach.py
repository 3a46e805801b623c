"""Which code can change what a notebook computes: the modules of slapkit that it reaches by its imports.

A run's id follows from this code alone, so that a change elsewhere (in a widget, say) leaves trained models valid.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path

import slapkit

PACKAGE = "slapkit"
# Code that runs notebooks, and shows what is going on meanwhile, but computes nothing that stands in a run.
OUTSIDE = ("runs/", "cli.py", "__main__.py", "environment.py", "theme.py", "display.py")


def code_hash(source: str) -> str:
    """Return a SHA-256 over the modules of slapkit that `source` reaches, and that can change the result of a run.

    Imports count wherever they stand, in functions too; text that is exactly a module's name counts as an import.

    Args:
        source: Python source, or a notebook's JSON.
    """
    root = Path(slapkit.__file__).parent
    digest = hashlib.sha256()
    for path in reached(source, root):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def reached(source: str, root: Path) -> list[Path]:
    """Return the files below `root`, the folder of the package, that `source` imports directly or through others, but
    for those that compute nothing (`OUTSIDE`), and what these alone import."""
    waiting, found = [*_imports(_python(source), PACKAGE)], set()
    while waiting:
        for path in _files(waiting.pop(), root) - found:
            if not path.relative_to(root).as_posix().startswith(OUTSIDE):
                found.add(path)
                stat = path.stat()
                waiting += _imports_of(path, root, stat.st_mtime_ns, stat.st_size)
    return sorted(found)


def _python(source: str) -> str:
    """Return the code of a notebook's cells, or `source` where it is no notebook."""
    import json

    try:
        cells = json.loads(source)["cells"]
    except (ValueError, KeyError, TypeError):
        return source
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    # Lines for IPython alone are no Python.
    lines = (line for cell in code for line in cell.splitlines() if not line.lstrip().startswith(("%", "!")))
    return "\n".join(lines)


def _files(module: str, root: Path) -> set[Path]:
    """Return the file of a module, and those of the packages that hold it; a name within a module is none."""
    files, here = {root / "__init__.py"}, root
    for part in module.split(".")[1:]:
        if (here / f"{part}.py").is_file():
            return files | {here / f"{part}.py"}
        here = here / part
        if not (here / "__init__.py").is_file():
            break
        files.add(here / "__init__.py")
    return files


@functools.cache
def _imports_of(path: Path, root: Path, _mtime_ns: int, _size: int) -> tuple[str, ...]:
    parts = path.relative_to(root).with_suffix("").parts
    package = ".".join([PACKAGE, *parts[:-1]])
    return tuple(_imports(path.read_text(encoding="utf-8"), package))


def _imports(source: str, package: str) -> Iterator[str]:
    """Yield the names that `source` may import from slapkit, those of its members included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = [f"{base}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names = [node.value]
        else:
            continue
        yield from (name for name in names if name == PACKAGE or name.startswith(f"{PACKAGE}.") and " " not in name)
