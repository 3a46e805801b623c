"""What a cell of a table says: a list as Python, pandas and NumPy write it, a number, a truth value."""

import ast
import json
import math
import re
from collections.abc import Callable, Collection
from typing import Any

DECIMAL = re.compile(r"-?(0|[1-9]\d*)\.\d+(e[+-]?\d+)?", re.IGNORECASE)
_COMMA = re.compile(r"-?(0|[1-9]\d*)(,\d+)?")
_THOUSANDS = re.compile(r"-?[1-9]\d{0,2},\d{3}")
# Items of a list as Python, pandas and NumPy write it: NumPy puts white space between them, which Python would join.
_ITEM = r"""(?:np\.str_\()?(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\)?|None|nan"""
_ANY_ITEM = re.sub(r"\?P<text>", "?:", _ITEM)
_LIST = re.compile(rf"\s*\[\s*(?:{_ANY_ITEM})(?:(?:\s*,\s*|\s+)(?:{_ANY_ITEM}))*\s*(?:,\s*)?\]\s*", re.DOTALL)
_ITEMS = re.compile(_ITEM, re.DOTALL)


def _finite(text: str) -> float | None:
    return number if math.isfinite(number := float(text)) else None


# Of `json.loads`: None for NaN and Infinity, which JSON has not but Python writes, and for numbers beyond a float's.
FINITE = {"parse_constant": lambda _: None, "parse_float": _finite}


def parse_list(text: str) -> list[Any] | None:
    """Return the texts of a list as JSON, Python, pandas or NumPy write it (missing ones None), or None if it is none.

    Nothing is evaluated but texts in quotes.
    """
    try:
        value = json.loads(text)
        return value if isinstance(value, list) else None
    except (ValueError, RecursionError):
        pass
    if not _LIST.fullmatch(text):
        return None
    try:
        return [_text_of(found["text"]) for found in _ITEMS.finditer(text)]
    except (ValueError, SyntaxError):  # an escape that is none
        return None


def _text_of(literal: str | None) -> str | None:
    return literal and (ast.literal_eval(literal) if "\\" in literal or "\n" in literal else literal[1:-1])


def typed(cells: set[str], *, commas: bool = False) -> dict[str, Any]:
    """Return what the cells of a column say, by their text: numbers or truth values where every cell comes back the
    same, so that 0012 and 1_000 stay texts; of NaN, which says nothing, there is none. With `commas`, 0,5 is a half."""
    missing = {cell for cell in cells if cell.strip().lower() == "nan"}
    said = {cell: cell.strip() for cell in cells - missing}
    if commas and _has_decimal_commas(said.values()):
        said = {cell: text.replace(",", ".") for cell, text in said.items()}
    digits = {len(text.partition(".")[2]) for text in said.values()}
    converters: tuple[Callable[[str], Any], ...] = (_truth, _whole, _number if len(digits) > 1 else _decimal)
    for convert in converters:
        try:
            return {cell: convert(text) for cell, text in said.items()}
        except ValueError:
            continue
    return {cell: cell for cell in cells}


def _has_decimal_commas(texts: Collection[str]) -> bool:
    """Say whether all are numbers of which a comma ends the whole part; 1,234 alone may be thousands as well."""
    fits = all(map(_COMMA.fullmatch, texts))
    return fits and any("," in text and not _THOUSANDS.fullmatch(text) for text in texts)


def _truth(cell: str) -> bool:
    if cell.lower() not in ("true", "false"):
        raise ValueError(cell)
    return cell.lower() == "true"


def _whole(cell: str) -> int:
    if str(value := int(cell)) != cell:
        raise ValueError(cell)
    return value


def _number(cell: str) -> float:
    value = float(cell)
    if repr(value) not in (cell, f"{cell}.0") or not math.isfinite(value):
        raise ValueError(cell)
    return value


def _decimal(cell: str) -> float:
    """Return a number of a column whose cells all have as many decimals, trailing zeros among them."""
    return float(cell) if DECIMAL.fullmatch(cell) and math.isfinite(float(cell)) else _number(cell)
