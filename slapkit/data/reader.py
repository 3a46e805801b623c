"""Reading a folder of sounds with its table (the AudioFolder convention) into an `AudioTextDataset`.

A row that cannot be used is skipped and listed with its line and reason; nothing is dropped in silence. Reading fails
only where no row is usable, or where the table itself is not there.
"""

import json
import os
import stat
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from slapkit.config import nearest
from slapkit.data.dataset import SPLITS, AudioTextDataset, Clip, Problem, describe
from slapkit.data.tables import SUFFIXES, Table, read_table
from slapkit.errors import DataError

CAPTION_COLUMNS = ("captions", "caption", "text")  # the first one present is used
LONGEST = 10_000  # characters of a caption that are kept; text models read a few hundred
_TABLES = tuple(f"metadata{suffix}" for suffix in SUFFIXES)
_NOTHING = {"", "nan", "null", "none", "n/a", "na", "<na>"}  # what exports write for a missing caption
_SPLIT_NAMES = {
    "train": "train", "training": "train", "validation": "validation", "valid": "validation", "val": "validation",
    "dev": "validation", "test": "test", "testing": "test", "shift": "shift",
}  # fmt: skip


def read(
    path: str | os.PathLike[str], *, table: str | os.PathLike[str] | None = None, name: str | None = None
) -> AudioTextDataset:
    """Read a data set.

    Args:
        path: a folder that holds `metadata.jsonl` or `metadata.csv` (or folders named for splits that do), or the
            table itself, in which case names are relative to the table's folder.
        table: a table elsewhere, with names relative to the folder `path`.
        name: what to call the data set; default: the folder's name.

    The table needs a column `file_name` and one of `captions` (a list), `caption` or `text`; rows of the same file
    are merged. A column `split` names the split, `group` or `work` what must not be divided; others become facts.

    Raises:
        DataError: the folder, the table or a needed column is missing, or no row is usable.
    """
    path = Path(path)
    if table is None and path.is_file():
        path, table = path.parent, path
    if not path.is_dir():
        raise DataError(f"no data set at {path}: a table, or a folder with one of {', '.join(_TABLES)}, needed")
    problems: list[Problem] = []
    notes: list[str] = []
    builder = TableBuilder(path, problems)
    tables = [(Path(table), path, None)] if table is not None else find_tables(path, notes)
    for file, folder, split in tables:
        content = read_table(file)
        notes += content.notes
        problems += content.problems
        captions = _caption_column(content, file)
        for number, row in content.rows:
            builder.add(number, row, captions, folder, split)
    clips = builder.clips()
    if not clips:
        raise DataError(f"no row of {', '.join(str(t[0]) for t in tables)} is usable:\n{describe(problems)}")
    return AudioTextDataset(path, clips, problems, name=name, notes=notes)


def find_tables(folder: Path, notes: list[str]) -> list[tuple[Path, Path, str | None]]:
    """Return the tables of an AudioFolder as (table, folder its names are relative to, split)."""
    found = [folder / name for name in _TABLES if (folder / name).is_file()]
    if found:
        if len(found) > 1:
            notes.append(f"{folder} holds {len(found)} tables: {found[0].name} is read, {found[1].name} is not")
        return [(found[0], folder, None)]
    inner = sorted(child for child in folder.iterdir() if child.is_dir() and child.name.lower() in _SPLIT_NAMES)
    pairs = [(next((c / n for n in _TABLES if (c / n).is_file()), None), c, _split_name(c.name)) for c in inner]
    if any(table for table, _, _ in pairs):
        return [(table, child, split) for table, child, split in pairs if table]
    other = sorted(p.name for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    hint = f"give read({str(folder)!r}, table=...) one of {other}" if other else "the folder holds no table at all"
    raise DataError(f"{folder} has none of {', '.join(_TABLES)}: {hint}")


def _caption_column(table: Table, file: Path) -> str:
    """Return the name of the caption column, or raise `DataError` naming what was found and expected."""
    found = ", ".join(table.columns) or "none"
    if not table.columns:
        raise DataError(f"{file} has no usable row:\n{describe(table.problems)}")
    if "file_name" not in table.columns:
        hint = nearest("file_name", table.columns)
        raise DataError(f"{file} has no column 'file_name' (found: {found}): {hint} Rename it")
    for name in CAPTION_COLUMNS:
        if name in table.columns:
            return name
    expected = ", ".join(repr(name) for name in CAPTION_COLUMNS)
    hint = nearest("caption", table.columns)
    raise DataError(f"{file} has no caption column (found: {found}; one of {expected} expected): {hint} Rename it")


def _split_name(value: str) -> str:
    return _SPLIT_NAMES.get(value.strip().lower(), value.strip())


def clean_text(text: str) -> str:
    """Return `text` in Unicode NFC, without control characters or broken surrogates, white space collapsed."""
    text = unicodedata.normalize("NFC", text)
    kept = (" " if c.isspace() else c for c in text if c.isspace() or unicodedata.category(c) not in ("Cc", "Cs"))
    return " ".join("".join(kept).replace("\ufeff", "").split())


def group_of(facts: Mapping[str, Any], id: str) -> str:
    """Return what a clip must not be divided from: its fact `group`, else its `work`, else the clip itself."""
    return next((str(facts[key]) for key in ("group", "work") if facts.get(key) is not None), id)


class TableBuilder:
    """Collects rows into clips, merging those of the same file."""

    def __init__(self, root: Path, problems: list[Problem]) -> None:
        self.root, self.problems = root, problems
        self._real_root = os.path.realpath(root)
        self._real_folders: dict[str, str] = {}
        self._rows: dict[str, dict[str, Any]] = {}  # id -> path, captions, facts, split, rows

    def add(self, number: int, row: dict[str, Any], column: str, folder: Path, split: str | None) -> None:
        """Take one row in, or list why not."""
        located = self._locate(row.get("file_name"), folder)
        if isinstance(located, str):
            self.problems.append(Problem(number, str(row.get("file_name")), located))
            return
        id, path = located
        captions = self._captions(number, row.get(column), id)
        if not captions:
            return
        split = self._split(number, row.get("split"), id) or split
        facts = {k: v for k, v in row.items() if k not in ("file_name", column, "split")}
        entry = self._rows.get(id)
        if entry is None:
            self._rows[id] = {"path": path, "captions": captions, "facts": facts, "split": split, "merged": False}
            return
        entry["merged"] = True
        fresh = [caption for caption in captions if caption not in entry["captions"]]
        entry["captions"] += fresh
        if not fresh:
            self.problems.append(Problem(number, id, "the row repeats an earlier one: merged"))
        if split is not None and entry["split"] is not None and split != entry["split"]:
            reason = "an earlier row puts the file into another split: that one is kept"
            self.problems.append(Problem(number, f"{id}: {split}, not {entry['split']}", reason))
        entry["split"] = entry["split"] or split
        entry["facts"] = facts | {k: v for k, v in entry["facts"].items() if v is not None}

    def clips(self) -> list[Clip]:
        """Return the clips collected. Captions of merged rows are sorted, so that the rows' order does not matter."""
        inferred = all(entry["split"] is None for entry in self._rows.values())
        result = []
        for id, entry in self._rows.items():
            split = _split_of_folders(id) if inferred else entry["split"]
            captions = sorted(entry["captions"]) if entry["merged"] else entry["captions"]
            group = group_of(entry["facts"], id)
            result.append(Clip(id, entry["path"], tuple(captions), entry["facts"], split, group))
        return result

    def _captions(self, number: int, value: Any, id: str) -> list[str]:
        if isinstance(value, str) and value.lstrip().startswith("["):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                pass  # a caption may well begin with a bracket
        captions: list[str] = []
        for item in value if isinstance(value, list) else [value]:
            if item is not None and not isinstance(item, str):
                self.problems.append(Problem(number, f"{id}: {str(item)[:100]}", "a caption is not text: skipped"))
                continue
            text = clean_text(item or "")
            if text.lower() in _NOTHING:
                self.problems.append(Problem(number, id, "a caption is empty: skipped"))
                continue
            if len(text) > LONGEST:
                found = f"{id}: {len(text):,} characters"
                self.problems.append(Problem(number, found, f"a caption exceeds {LONGEST:,} characters: cut there"))
                text = text[:LONGEST].rstrip()
            if text not in captions:
                captions.append(text)
        if isinstance(value, list) and not value:
            self.problems.append(Problem(number, id, "a caption is empty: skipped"))
        return captions

    def _split(self, number: int, value: Any, id: str) -> str | None:
        if value is None or (isinstance(value, str) and clean_text(value).lower() in _NOTHING):
            return None
        if not isinstance(value, str):
            self.problems.append(Problem(number, f"{id}: {value!r}", "the split is not text: ignored"))
            return None
        return _split_name(clean_text(value))

    def _locate(self, value: Any, folder: Path) -> tuple[str, Path] | str:
        """Return the id and path of a file named in the table, or why it is refused."""
        if value is None or value == "":
            return "the row names no file"
        if not isinstance(value, str):
            return f"file_name is not text but {type(value).__name__}"
        if any(unicodedata.category(c) in ("Cc", "Cs") for c in value):
            return "file_name holds control characters"
        reason = "the path leaves the folder"
        for written in _spellings(value.strip()):
            if PurePosixPath(written).is_absolute() or PureWindowsPath(written).drive or ".." in Path(written).parts:
                return reason
            path = folder / written
            try:
                mode = os.lstat(path).st_mode
                if not self._inside(path, stat.S_ISLNK(mode)):
                    return reason
                info = os.stat(path)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except (OSError, ValueError) as error:
                return f"the file cannot be opened: {getattr(error, 'strerror', None) or 'its name is not usable'}"
            if not stat.S_ISREG(info.st_mode):
                return "file_name is not a file"
            if info.st_size == 0:
                return "the file is empty (0 bytes)"
            return unicodedata.normalize("NFC", path.relative_to(self.root).as_posix()), path
        return "the file does not exist"

    def _inside(self, path: Path, is_link: bool) -> bool:
        """Say whether a file really lies under the root, links followed; folders are resolved once."""
        if is_link:
            real = os.path.realpath(path)
        else:
            parent = str(path.parent)
            if parent not in self._real_folders:
                self._real_folders[parent] = os.path.realpath(parent)
            real = os.path.join(self._real_folders[parent], path.name)
        return os.path.commonpath([real, self._real_root]) == self._real_root


def _spellings(name: str) -> Iterable[str]:
    """Yield the ways in which a name may be written: as it is, in the other Unicode forms, with the other slash."""
    forms = [name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)]
    if "\\" in name:
        forms += [form.replace("\\", "/") for form in forms]
    return dict.fromkeys(forms)


def _split_of_folders(id: str) -> str | None:
    """Return the split that a folder on the way to the file is named for, if any."""
    names = [_split_name(part) for part in PurePosixPath(id).parts[:-1]]
    return next((name for name in names if name in SPLITS), None)
