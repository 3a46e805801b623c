"""Typed configurations: frozen dataclasses that refuse unknown keys and values of the wrong type."""

import dataclasses
import difflib
import sys
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Self

from slapkit.errors import ConfigError, short

_LONGEST_NAME, _MOST_NAMES = 200, 20  # characters that are compared, names that are listed


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint naming the known name closest to `name`, or listing them, at most twenty."""
    known = sorted(known)
    close = difflib.get_close_matches(name[:_LONGEST_NAME], known, n=1, cutoff=0.5)
    listed = ", ".join(known[:_MOST_NAMES]) + (f", ... ({len(known):,})" if len(known) > _MOST_NAMES else "")
    return f"did you mean {short(close[0])}?" if close else f"known: {listed or 'none'}"


def require(condition: bool, key: str, value: object, expected: str) -> None:
    """Raise `ConfigError` naming key, value and what was expected unless `condition` holds."""
    if not condition:
        raise ConfigError(f"{key}={short(value)} is out of range: expected {expected}")


def require_known(names: Iterable[Any], known: Iterable[str], problem: str) -> None:
    """Raise `ConfigError`, beginning with `problem`, for the first name that is not known; the nearest is named."""
    for name in names:
        if name not in known:
            raise ConfigError(f"{problem} {short(name)}: {nearest(str(name), known)}")


def coerce(value: Any, kind: Any, key: str) -> Any:
    """Return `value` as the annotated type `kind`, or raise `ConfigError` naming key and value.

    An int becomes a float where one is asked for; nothing is parsed out of strings, and a bool is not a number. `kind`
    is bool, int, float, str, `Literal`, a union with None, `list[...]`, `tuple[..., ...]`, `dict` or a `Config`.
    """
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        return coerce(value, next(a for a in args if a is not type(None)), key)
    if origin is typing.Literal:
        if value not in args:
            raise ConfigError(f"{key}={short(value)} is not a choice: {nearest(str(value), map(str, args))}")
        return value
    if origin in (list, tuple):
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{key}={short(value)} must be a list")
        return origin(coerce(item, args[0], f"{key}[{i}]") for i, item in enumerate(value))
    if isinstance(kind, type) and issubclass(kind, Config):
        return value if isinstance(value, kind) else kind.from_dict(value, where=key)
    if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        if not abs(value) <= sys.float_info.max:  # NaN would pass every check of a range that is not written for it
            raise ConfigError(f"{key}={short(value)} must be a finite number")
        return float(value)
    base = origin or kind
    if not isinstance(value, base) or (base is not bool and isinstance(value, bool)):
        raise ConfigError(f"{key}={short(value)} must be of type {base.__name__}, not {type(value).__name__}")
    return value


@dataclasses.dataclass(frozen=True)
class Config:
    """Base of the typed configurations, which are frozen dataclasses and check ranges in `check` by `require`."""

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            value = coerce(getattr(self, field.name), hints[field.name], field.name)
            object.__setattr__(self, field.name, value)
        self.check()

    def check(self) -> None:
        """Raise `ConfigError` where values are out of range; subclasses override this."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, where: str = "") -> Self:
        """Build the configuration from plain values; unknown keys raise `ConfigError` with the nearest name."""
        where = where or cls.__name__
        if not isinstance(values, Mapping):
            raise ConfigError(f"{where} must be a mapping, not {short(values)}")
        known = {field.name for field in dataclasses.fields(cls)}
        require_known(values, known, f"{where} has no key")
        unset = dataclasses.MISSING
        needed = [f.name for f in dataclasses.fields(cls) if f.default is unset and f.default_factory is unset]
        if missing := [name for name in needed if name not in values]:
            raise ConfigError(f"{where} lacks {', '.join(map(repr, missing))}")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that `from_dict` reads back."""
        return dataclasses.asdict(self)

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some values changed, as strictly checked as `from_dict`."""
        return type(self).from_dict({f.name: getattr(self, f.name) for f in dataclasses.fields(self)} | changes)
