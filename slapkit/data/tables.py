"""Tables as people write them: CSV, TSV or JSON lines, in whatever encoding, to rows with their line numbers.

Every line with something in it becomes a row, a part of one, or a problem.
"""

import codecs
import contextlib
import csv
import io
import json
import re
import threading
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slapkit.data.cells import DECIMAL, FINITE, typed
from slapkit.data.dataset import Problem
from slapkit.errors import DataError, short

SUFFIXES = (".jsonl", ".csv", ".tsv")
CAPTION_COLUMNS = ("captions", "caption", "text")  # the first one present is used
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_NUL_SHARE = 0.2  # of the bytes: text with more is UTF-16 without its mark
_FIELD_LIMIT = 2**27  # characters in one CSV cell; csv's own limit of 131,072 refuses long captions
_CSV_LOCK = threading.Lock()  # csv keeps its limit for the whole process
_SEPARATORS = ",;\t|"
_EXCEL = re.compile(r'\ufeff?"?sep=([^"\s]|\t)"?\1*')  # a first line that names the separator
_FILE = re.compile(r"\S.*\.[A-Za-z][A-Za-z0-9]{1,4}")
_OWN = ("file_name", *CAPTION_COLUMNS, "split")  # known with capitals too, which spreadsheets add by themselves
_TEXTS = (*_OWN, "group", "work", "id")  # columns that are never numbers
_SHEETS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # how workbooks begin
_HEAD = 2**20  # bytes in which a table shows its columns


@dataclass
class Table:
    """Rows as (line number, values), the columns seen, and what was wrong or worth telling."""

    rows: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_table(path: Path, *, head: int | None = None) -> Table:
    """Read a table by its suffix, or its first `head` bytes; lines that cannot be understood become problems. Raise
    `DataError` where it is missing, unreadable, of another kind, or has no rows at all."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{path} is no table that can be read here: one of {', '.join(SUFFIXES)} needed")
    table = Table()
    text = _decode(path, table, head)
    if suffix == ".jsonl":
        _read_jsonl(text, table)
    else:
        _read_csv(text, table, "\t" if suffix == ".tsv" else ",", path)
    if not table.rows and not table.problems:
        raise DataError(f"{path} has no rows: at least one with a file_name and a caption is needed")
    return table


def columns_of(path: Path) -> list[str]:
    """Return the columns of a table, of which only the beginning is read; raises as `read_table`."""
    return read_table(path, head=_HEAD).columns


def _decode(path: Path, table: Table, head: int | None) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read(head)
    except OSError as error:
        raise DataError(f"the table {path} cannot be read: {error.strerror}") from error
    if data.startswith(_SHEETS):
        raise DataError(f"the table {path} is a workbook or an archive: open it and save it as CSV (UTF-8)")
    encoding = next((name for mark, name in _BOMS if data.startswith(mark)), None)
    if encoding is None:
        encoding = "utf-8"
        if data.count(0) > _NUL_SHARE * len(data):  # the zero is the high byte of Latin text: odd places, little end
            encoding = "utf-16-le" if data[1::2].count(0) >= data[::2].count(0) else "utf-16-be"
    try:
        # What is cut off in the middle of a sign is no damage.
        text = codecs.getincrementaldecoder(encoding)().decode(data, final=head is None)
    except UnicodeDecodeError as error:
        if encoding not in ("utf-8", "utf-8-sig"):
            raise DataError(f"the table {path} starts as {encoding} but is damaged ({error}): save as UTF-8") from error
        return _decode_lines(data, path, table)
    if encoding not in ("utf-8", "utf-8-sig"):
        table.notes.append(f"{path.name} was read as {encoding}")
    return text


def _decode_lines(data: bytes, path: Path, table: Table) -> str:
    """Decode each line that is not UTF-8 as Windows-1252: exports joined by hand hold both."""
    lines, other, unknown = [], [], 0
    for number, line in enumerate(data.splitlines(keepends=True), start=1):
        try:
            lines.append(line.decode("utf-8"))
        except UnicodeDecodeError:
            lines.append(line.decode("cp1252", "replace"))
            other.append(number)
            unknown += lines[-1].count("\ufffd")
    lost = f" ({unknown:,} bytes that it has not became \ufffd)" if unknown else ""
    note = f"{path.name} is not UTF-8 in {len(other):,} lines, the first {other[0]:,}, which were read as Windows-1252"
    table.notes.append(f"{note}{lost}: save as UTF-8")
    return "".join(lines)


def _read_jsonl(text: str, table: Table) -> None:
    columns: dict[str, None] = {}
    twice: list[str] = []

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = _column_names([key for key, _ in pairs])
        found = {name: value for name, (_, value) in zip(names, pairs)}
        twice.extend([", ".join(key for key, _ in pairs)] if len(found) < len(pairs) else [])
        return found

    for number, line in _json_lines(text):
        twice.clear()
        try:
            row = json.loads(line, object_pairs_hook=once, **FINITE)
        except (ValueError, RecursionError) as error:
            detail = f": {error.msg}" if isinstance(error, json.JSONDecodeError) else ""
            table.problems.append(Problem(number, line[:200], f"the line is not JSON{detail}"))
            continue
        if not isinstance(row, dict):
            table.problems.append(Problem(number, line[:200], "the line is not a JSON object"))
            continue
        table.problems += [Problem(number, keys[:200], "a key stands twice: the last value counts") for keys in twice]
        columns |= dict.fromkeys(row)
        table.rows.append((number, row))
    table.columns = list(columns)


def _json_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines with something in them and their numbers; or else the objects of a list, or those over several
    lines each, with the line where each begins."""
    lines = [(i, line.strip("\r \t\x00\ufeff")) for i, line in enumerate(text.split("\n"), start=1)]
    first = next((line for _, line in lines if line), "")
    if first[:1] == "[" or first == "{":
        try:
            inner = text
            if first[0] == "[":
                json.loads(text.strip("\r\n \t\x00\ufeff"))  # one list, and nothing beside it
                start, end = text.index("["), text.rindex("]")
                inner = f"{text[:start]} {text[start + 1 : end]} {text[end + 1 :]}"
            yield from list(_json_objects(inner))
            return
        except (ValueError, RecursionError):
            pass  # the damage is listed line by line
    yield from ((number, line) for number, line in lines if line)


def _json_objects(text: str) -> Iterator[tuple[int, str]]:
    """Yield the objects of a text that holds nothing else; raise `ValueError` at anything else."""
    decoder, at, line, between = json.JSONDecoder(), 0, 1, re.compile(r"[\s\x00\ufeff,]*")
    while True:
        start = between.match(text, at).end()
        line += text.count("\n", at, start)
        if start == len(text):
            return
        value, at = decoder.raw_decode(text, start)
        if not isinstance(value, dict):
            raise ValueError(value)
        yield line, text[start:at]
        line += text.count("\n", start, at)


def _column_names(names: list[str]) -> list[str]:
    """Return the names of columns in Unicode NFC, without blanks around, those of `_OWN` in small letters."""
    names = [unicodedata.normalize("NFC", name.strip().strip("\ufeff")) for name in names]
    small = [name.lower() for name in names]
    return [low if low in _OWN and small.count(low) == 1 else name for name, low in zip(names, small)]


def _read_csv(text: str, table: Table, separator: str, path: Path) -> None:
    lines = list(io.StringIO(text, newline=""))
    start = next((i for i, line in enumerate(lines) if line.strip("\ufeff\r\n ")), len(lines))
    header = lines[start] if start < len(lines) else ""
    if named := _EXCEL.fullmatch(header.strip("\r\n")):
        separator, start = named[1], start + 1
    else:
        separator = _separator(header, separator)
    with _CSV_LOCK:
        limit = csv.field_size_limit(_FIELD_LIMIT)
        try:
            for number, cells in _Records(lines, separator, table).each(start):
                row = dict.fromkeys(table.columns)
                row |= {name: cell for name, cell in zip(table.columns, cells, strict=False) if cell.strip()}
                table.rows.append((number, row))
        except csv.Error as error:
            raise DataError(f"the table {path} is not CSV: {error}") from error
        finally:
            csv.field_size_limit(limit)
    _type_columns(table, european=separator == ";")


def _separator(header: str, usual: str) -> str:
    """Return the separator that finds `file_name` in the header, else the one that finds most cells."""

    def found(separator: str) -> tuple[bool, int, bool]:
        cells = [cell.strip('\ufeff "\r\n').lower() for cell in header.split(separator)]
        return "file_name" in cells and len(cells) > 1, len(cells), separator == usual

    return max(_SEPARATORS, key=found)


class _Records:
    """The rows of a CSV table. Where quotes do not pair up, a line is read by itself and listed, so that a quote that
    is never closed takes no other row along."""

    def __init__(self, lines: list[str], separator: str, table: Table) -> None:
        self.lines, self.separator, self.table = lines, separator, table
        self.file = 0  # column that names files

    def each(self, at: int) -> Iterator[tuple[int, list[str]]]:
        """Yield the line at which a row begins, counted from 1, and its cells, from `lines[at]` on, the header."""
        while at < len(self.lines):
            reader = csv.reader(
                (self.lines[i] for i in range(at, len(self.lines))), delimiter=self.separator, strict=True
            )
            begun = at
            try:
                for cells in reader:
                    end = begun + reader.line_num
                    if end - at > 1 and any(map(self._is_row, self.lines[at + 1 : end])):
                        raise csv.Error("the quote takes in a line that is a row")
                    yield from self._fitting(at, cells)
                    at = end
            except csv.Error:
                yield from self._alone(at)
                at += 1

    def _fitting(self, at: int, cells: list[str]) -> Iterator[tuple[int, list[str]]]:
        while cells and not cells[-1].strip() and len(cells) > len(self.table.columns):  # Excel fills rows up
            cells = cells[:-1]
        if not any(cell.strip() for cell in cells):
            return
        if not self.table.columns:
            self._head(cells)
        elif len(cells) > len(self.table.columns):
            reason = (
                f"the row has more cells than the header ({len(self.table.columns)}): quote cells that hold separators"
            )
            self.table.problems.append(Problem(at + 1, self.separator.join(cells)[:200], reason))
        else:
            yield at + 1, cells

    def _head(self, cells: list[str]) -> None:
        columns = _column_names(cells)
        repeated = sorted({name for name in columns if columns.count(name) > 1})
        if repeated:
            raise DataError(
                f"the table names the column {short(repeated[0])} twice in {short(columns)}: rename one of them"
            )
        self.table.columns = columns
        self.file = next((i for i, name in enumerate(columns) if "file" in name or "path" in name), 0)

    def _alone(self, at: int) -> Iterator[tuple[int, list[str]]]:
        """Yield the cells of one line: with quotes as plain characters, or with the last one closed at its end."""
        line, fits = self.lines[at].strip("\r\n"), []
        with contextlib.suppress(csv.Error):
            for quoting in (csv.QUOTE_NONE, csv.QUOTE_MINIMAL):
                fits.append(next(csv.reader([line], delimiter=self.separator, quoting=quoting), []))
        wanted = len(self.table.columns)
        cells = next((cells for cells in fits if len(cells) == wanted or not wanted), None)
        done = "left out" if cells is None else "read by itself"
        reason = f"a quote that opens here is not closed, or closes inside a cell: the line is {done}"
        self.table.problems.append(Problem(at + 1, line[:200], reason))
        if cells is not None:
            yield from self._fitting(at, list(map(_unquoted, cells)))

    def _is_row(self, line: str) -> bool:
        """Say whether a line within a quoted cell would be a row by itself, with a file where files are named."""
        cells = next(csv.reader([line.strip("\r\n")], delimiter=self.separator), [])
        return len(cells) == len(self.table.columns) > 1 and bool(_FILE.fullmatch(cells[self.file].strip()))


def _unquoted(cell: str) -> str:
    quotes, cell = cell.count('"'), cell.strip()
    if quotes % 2 == 0 and quotes and cell[0] == cell[-1] == '"':
        return cell[1:-1].replace('""', '"')
    return cell[1:] if quotes % 2 and cell[0] == '"' else cell


def _type_columns(table: Table, *, european: bool) -> None:
    """Turn CSV columns, all text, into what their cells say; names and captions stay texts.

    `european`: a spreadsheet separates cells by ";" where the comma is its decimal sign; a table that has numbers with
    a point is of another program, and its commas may separate anything.
    """
    columns = {
        name: {row[name] for _, row in table.rows if row[name] is not None}
        for name in table.columns
        if name not in _TEXTS
    }
    commas = european and not any(DECIMAL.fullmatch(cell.strip()) for cells in columns.values() for cell in cells)
    for name, cells in columns.items():
        values = typed(cells, commas=commas)
        for _, row in table.rows:
            row[name] = values.get(row[name])
