"""Tables as people write them: CSV, TSV or JSON lines, in whatever encoding, to rows with their line numbers."""

import codecs
import csv
import io
import json
import math
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slapkit.data.dataset import Problem
from slapkit.errors import DataError

SUFFIXES = (".jsonl", ".csv", ".tsv")
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_NUL_SHARE = 0.2  # of the bytes: text with more is UTF-16 without its mark
_FIELD_LIMIT = 2**27  # characters in one CSV cell; csv's own limit of 131,072 refuses long captions
_CSV_LOCK = threading.Lock()  # csv keeps its limit for the whole process


@dataclass
class Table:
    """Rows as (line number, values), the columns seen, and what was wrong or worth telling."""

    rows: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_table(path: Path) -> Table:
    """Read a table by its suffix.

    Lines that cannot be understood become problems.

    Raises:
        DataError: the table is missing, unreadable, of another kind, or has no rows at all.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{path} is no table that can be read here: one of {', '.join(SUFFIXES)} needed")
    table = Table()
    text = _decode(path, table)
    if suffix == ".jsonl":
        _read_jsonl(text, table)
    else:
        _read_csv(text, table, "\t" if suffix == ".tsv" else ",", path)
    if not table.rows and not table.problems:
        raise DataError(f"{path} has no rows: at least one with a file_name and a caption is needed")
    return table


def _decode(path: Path, table: Table) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"the table {path} cannot be read: {error.strerror}") from error
    encoding = next((name for mark, name in _BOMS if data.startswith(mark)), None)
    if encoding is None:
        encoding = "utf-8"
        if data.count(0) > _NUL_SHARE * len(data):  # the zero is the high byte of Latin text: odd places, little end
            encoding = "utf-16-le" if data[1::2].count(0) >= data[::2].count(0) else "utf-16-be"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding not in ("utf-8", "utf-8-sig"):
            raise DataError(f"the table {path} starts as {encoding} but is damaged ({error}): save as UTF-8") from error
        encoding, text = "latin-1", data.decode("latin-1")
        table.notes.append(f"{path.name} is not UTF-8 (at byte {error.start}) and was read as latin-1: save as UTF-8")
    else:
        if encoding not in ("utf-8", "utf-8-sig"):
            table.notes.append(f"{path.name} was read as {encoding}")
    return text


def _read_jsonl(text: str, table: Table) -> None:
    columns: dict[str, None] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.strip("\r \t\x00\ufeff")
        if not line:
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            detail = f": {error.msg}" if isinstance(error, json.JSONDecodeError) else ""
            table.problems.append(Problem(number, line[:200], f"the line is not JSON{detail}"))
            continue
        if not isinstance(row, dict):
            table.problems.append(Problem(number, line[:200], "the line is not a JSON object"))
            continue
        row = {key.strip(): _tidy(value) for key, value in row.items()}
        columns |= dict.fromkeys(row)
        table.rows.append((number, row))
    table.columns = list(columns)


def _read_csv(text: str, table: Table, delimiter: str, path: Path) -> None:
    header = text.split("\n", 1)[0]
    if delimiter not in header:
        delimiter = next((other for other in ";\t," if other in header), delimiter)
    with _CSV_LOCK:
        limit = csv.field_size_limit(_FIELD_LIMIT)
        try:
            lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
            _collect_csv(lines, table)
        except csv.Error as error:
            raise DataError(f"the table {path} is not CSV at line {lines.line_num}: {error}") from error
        finally:
            csv.field_size_limit(limit)
    _type_columns(table)


def _collect_csv(lines: Any, table: Table) -> None:
    columns = [name.strip().strip("\ufeff") for name in next(lines, [])]
    repeated = sorted({name for name in columns if columns.count(name) > 1})
    if repeated:
        raise DataError(f"the table names the column {repeated[0]!r} twice in {columns}: rename one of them")
    table.columns = columns
    last = lines.line_num
    for cells in lines:
        number, last = last + 1, lines.line_num  # where the row begins: cells may hold line breaks
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) > len(columns):
            reason = f"the row has more cells than the header ({len(columns)}): quote cells that hold separators"
            table.problems.append(Problem(number, ",".join(cells)[:200], reason))
            continue
        row = dict.fromkeys(columns) | {name: cell for name, cell in zip(columns, cells, strict=False) if cell.strip()}
        table.rows.append((number, row))


def _tidy(value: Any) -> Any:
    """Replace NaN, which JSON has not but Python writes, by None."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list):
        return [_tidy(item) for item in value]
    return value


def _type_columns(table: Table) -> None:
    """Turn CSV columns, all text, into numbers or truth values where every cell is one; names and captions stay."""
    for column in table.columns:
        if column in ("file_name", "captions", "caption", "text", "split", "group", "work", "id"):
            continue
        cells = [row[column] for _, row in table.rows if row[column] is not None]
        if any("_" in cell for cell in cells):  # Python reads 46_38 as 4638, tables name things so
            continue
        for convert in (_truth, int, _number):
            try:
                values = {cell: convert(cell) for cell in cells}
            except ValueError:
                continue
            for _, row in table.rows:
                row[column] = values.get(row[column])
            break


def _truth(cell: str) -> bool:
    if cell.strip().lower() not in ("true", "false"):
        raise ValueError(cell)
    return cell.strip().lower() == "true"


def _number(cell: str) -> float | None:
    value = float(cell)
    return value if math.isfinite(value) else None
