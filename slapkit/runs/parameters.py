"""The parameters of a notebook: what its `parameters` cell declares, and the check of given values.

A parameter is one annotated assignment of a literal, with a trailing comment that says unit and meaning: `steps: int |
None = None  # optimiser steps; None: the preset's`. papermill only warns about an unknown one, so values are checked.
"""

from __future__ import annotations

import ast
import dataclasses
import io
import json
import re
import tokenize
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from slapkit.config import coerce, nearest, require_known
from slapkit.errors import ConfigError, RunError, short

if TYPE_CHECKING:
    from nbformat import NotebookNode

# What an annotation may be made of.
TYPES = {"int": int, "float": float, "str": str, "bool": bool, "list": list, "dict": dict, "Any": Any}
_EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$")
# Set by the runner: where a run keeps what it makes.
RESERVED = "run_dir"


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One line of a `parameters` cell: name, type, default value, the comment beside it and the choices it lists."""

    name: str
    kind: Any
    default: Any
    comment: str = ""
    choices: tuple[str, ...] = ()

    @property
    def type_name(self) -> str:
        return self.kind.__name__ if isinstance(self.kind, type) else str(self.kind).replace("typing.", "")

    def check(self, value: Any) -> Any:
        """Return `value` in the parameter's type, or raise `ConfigError` naming both."""
        value = coerce(value, self.kind, self.name)
        if self.choices and value is not None and str(value) not in self.choices:
            raise ConfigError(f"{self.name}={short(value)} is not a choice: {nearest(str(value), self.choices)}")
        return value

    def parse(self, text: str) -> Any:
        """Return the value of `text`, typed in a shell, or raise `ConfigError`."""
        kinds = typing.get_args(self.kind) if isinstance(self.kind, types.UnionType) else (self.kind,)
        if type(None) in kinds and text.lower() in ("none", "null"):
            return None
        kind = next(k for k in kinds if k is not type(None))
        try:
            value = _from_text(text, kind)
        except ValueError:
            said = f"{self.name}={short(text)} cannot be read as {self.type_name} ({self.comment})"
            raise ConfigError(said) from None
        return self.check(value)


def _from_text(text: str, kind: Any) -> Any:
    """Return `text` as a value of `kind`; raises ValueError where it is none."""
    base = typing.get_origin(kind) or kind
    if base is bool:
        if text.lower() not in ("true", "yes", "1", "false", "no", "0"):
            raise ValueError(text)
        return text.lower() in ("true", "yes", "1")
    if base in (int, float):
        return base(text)
    if base in (list, dict):
        return json.loads(text)
    return text


def read_notebook(path: Path) -> NotebookNode:
    """Return the notebook in a file; raise `RunError` where it holds none."""
    import nbformat

    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:  # nbformat's own, or whatever its code meets in other JSON
        found = f"{type(error).__name__}: {short(str(error))}"
        raise RunError(f"{path} is no notebook that can be read ({found}): restore it, or save it again") from error


def parameters_of(path: Path) -> dict[str, Parameter]:
    """Return the parameters of the notebook in a file; raise as `read_notebook` and `notebook_parameters`."""
    return notebook_parameters(read_notebook(path), path.stem)


def notebook_parameters(notebook: NotebookNode, name: str = "notebook") -> dict[str, Parameter]:
    """Return name -> `Parameter` of the cell tagged `parameters`, empty without such a cell; raise `ConfigError` where
    a line is not an (annotated) assignment of a literal, or a type is not understood."""
    cells = [c for c in notebook.cells if "parameters" in c.get("metadata", {}).get("tags", ())]
    if not cells:
        return {}
    source = cells[0].source
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise ConfigError(f"{name}: the parameters cell is not plain Python: {error}") from error
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = {t.start[0]: t.string.lstrip("# ").strip() for t in tokens if t.type == tokenize.COMMENT}
    return {one.name: one for one in (_parameter(node, comments, name) for node in tree.body)}


def _parameter(node: ast.stmt, comments: dict[int, str], name: str) -> Parameter:
    """Return the parameter that one statement of the cell declares."""
    if isinstance(node, ast.AnnAssign):
        target, annotation = node.target, node.annotation
    elif isinstance(node, ast.Assign) and len(node.targets) == 1:
        target, annotation = node.targets[0], None
    else:
        target, annotation = None, None
    line = ast.unparse(node)
    if not isinstance(target, ast.Name) or node.value is None:
        raise ConfigError(f"{name}: {short(line)} in the parameters cell must be `name: type = literal  # comment`")
    try:
        default = ast.literal_eval(node.value)
    except (ValueError, TypeError):  # such as a list as a key
        raise ConfigError(f"{name}: the default in {short(line)} must be a literal") from None
    kind = _kind(annotation, line, name) if annotation is not None else Any if default is None else type(default)
    comment = comments.get(node.end_lineno, "")
    choices = re.match(r"one of ([\w.+-]+(?:, [\w.+-]+)*)", comment)
    parameter = Parameter(target.id, kind, default, comment, tuple(choices[1].split(", ")) if choices else ())
    return dataclasses.replace(parameter, default=parameter.check(default))


def _kind(annotation: ast.expr, line: str, name: str) -> Any:
    """Return the type an annotation spells out of `TYPES`, None, `|` and `[]`; nothing else is evaluated."""
    match annotation:
        case ast.Name(id=known) if known in TYPES:
            return TYPES[known]
        case ast.Constant(value=None):
            return None
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _kind(left, line, name) | _kind(right, line, name)
        case ast.Subscript(value=ast.Name(id="list"), slice=inner):
            return list[_kind(inner, line, name)]
    raise ConfigError(
        f"{name}: the type in {short(line)} is not understood: use {', '.join(TYPES)}, `| None`, `list[...]`"
    )


def read_parameters(path: str | Path) -> dict[str, Any]:
    """Return the parameters in a YAML file, as papermill reads them with `-f`, but 1e-3 as a number; raise
    `ConfigError` where it cannot be read, or is not a mapping of names to values."""
    from papermill.iorw import NoDatesSafeLoader

    class Loader(NoDatesSafeLoader):
        """Numbers as Python and JSON write them: YAML 1.1 takes an exponent only behind a point, and with a sign."""

    Loader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+.0123456789"))
    try:
        found = yaml.load(Path(path).expanduser().read_text(encoding="utf-8"), Loader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"parameters cannot be read from {path}: {error}") from error
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise ConfigError(f"{path} must hold lines `name: value`, found {short(found)}")
    return found


def resolve(declared: Mapping[str, Parameter], given: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the value of every declared parameter, `given` ones checked, the reserved one left out. Raise
    `ConfigError` for a name that the notebook does not declare (with the nearest one), or a value of the wrong type."""
    if RESERVED in given:
        raise ConfigError(f"{RESERVED} is set by the runner: choose the place of all runs by runs_dir instead")
    require_known(given, [key for key in declared if key != RESERVED], f"{name} has no parameter")
    values = {key: parameter.default for key, parameter in declared.items() if key != RESERVED}
    return values | {key: declared[key].check(value) for key, value in given.items()}
