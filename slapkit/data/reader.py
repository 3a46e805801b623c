"""Reading a folder of sounds with its table (the AudioFolder convention) into an `AudioTextDataset`.

A row that cannot be used is skipped and listed with its line and reason; nothing is dropped in silence. Reading fails
only where no row is usable, or where the table itself is not there.
"""

import contextlib
import os
import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from slapkit.config import nearest
from slapkit.data import hf, tars
from slapkit.data.cells import parse_list
from slapkit.data.dataset import AudioTextDataset, Clip, Problem, describe
from slapkit.data.frames import group_of
from slapkit.data.home import MISSING, Home, hints, is_control
from slapkit.data.splits import HELD_OUT, SPLIT_NAMES, split_name, split_of_folders
from slapkit.data.tables import CAPTION_COLUMNS, SUFFIXES, Table, columns_of, read_table
from slapkit.errors import DataError, short

LONGEST = 10_000  # characters of a caption that are kept; text models read a few hundred
_NOTHING = {"", "nan", "null", "none", "n/a", "na", "<na>"}  # what exports write where there is nothing
_TABLES = tuple(f"metadata{suffix}" for suffix in SUFFIXES)
_OTHER_TABLES = (".xlsx", ".xlsm", ".xls", ".ods", ".numbers", ".json", ".txt", ".xml", ".db", ".sqlite")
_ARCHIVES = (".zip", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")
_PARTS = re.compile("[-_.]")  # of the name of a tar, such as train-0001.tar
_Found = tuple[Path, Path, str | None]  # a table, the folder its names are relative to, its split


def read(
    path: str | os.PathLike[str], *, table: str | os.PathLike[str] | None = None, name: str | None = None,
    audio: str | None = None, caption: str | None = None, config: str | None = None, progress: bool = True,
) -> AudioTextDataset:  # fmt: skip
    """Read a data set.

    Args:
        path: a folder that holds `metadata.jsonl` or `metadata.csv` (or folders named for splits that do), or the
            table itself, in which case names are relative to the table's folder; or tars of WebDataset, Parquet files,
            what `datasets` saved, or `hf:owner/name` on the Hugging Face hub, which alone uses the network.
        table: a table elsewhere, with names relative to the folder `path`.
        name: what to call the data set; default: the folder's name.
        caption: the column of captions; default: one of `captions` (a list), `caption` or `text`.
        audio, config: of Parquet files and data sets of `datasets`, see `slapkit.data.hf.unpack`.

    The table needs a column `file_name` and one of captions; rows of the same file are merged. A column `split` names
    the split, `group` or `work` what must not be divided; others become facts.

    Raises:
        DataError: the folder, the table or a needed column is missing, or no row is usable.

    Examples:
        >>> import pathlib, tempfile, numpy, soundfile
        >>> home = tempfile.TemporaryDirectory()
        >>> folder = pathlib.Path(home.name)
        >>> soundfile.write(folder / "jig.wav", numpy.zeros(24_000), 24_000)  # a second of silence
        >>> _ = (folder / "metadata.csv").write_text("file_name,caption,split\\njig.wav,a quick jig,test\\n")
        >>> dataset = read(folder)
        >>> len(dataset), dataset[0].captions
        (1, ('a quick jig',))
    """
    if str(path).startswith(hf.PREFIX):
        path = hf.fetch(str(path), progress=progress)
        name = name or hf.name_of(path)
    path = Path(path)
    if table is None and path.is_file() and hf.kind_of(path) is None:
        path, table = path.parent, path
    if not path.exists() or (table is not None and not path.is_dir()):
        raise DataError(f"no data set at {path}: a table, or a folder with one of {', '.join(_TABLES)}, needed")
    remarks: list[Problem] = []
    tables = [(Path(table), path, None)] if table is not None else find_tables(path, remarks) if path.is_dir() else []
    notes = [f"{remark.value}: {remark.reason}" for remark in remarks]
    parquet = None if tables else hf.kind_of(path)
    if not tables and not audio and not config and tars.kind_of(path):
        notes += [f"{parquet}: it is not read, the tars are"] if parquet else []
        return _read_tars(path, name, caption, notes)
    if parquet:
        folder, said = hf.unpack(path, audio=audio, caption=caption, config=config, progress=progress)
        dataset = read(folder, name=name or hf.name_of(path))
        dataset.notes[:0] = notes + said
        return dataset
    if audio or config:
        raise DataError(f"{path} is read by its table: audio and config choose among what Parquet files hold")
    if not tables:
        raise DataError(f"{path} has none of {', '.join(_TABLES)} for its sounds: {'; '.join(notes) or _hint(path)}")
    return _read_tables(path, tables, name, caption, notes)


def _hint(folder: Path) -> str:
    """Say what in a folder without a table may be one."""
    problems: list[Problem] = []
    list(tars.samples(folder, None, problems))
    if problems:
        return f"its tars hold no samples:\n{describe(problems)}"
    found = sorted(path.name for path in folder.iterdir() if path.is_file())
    if other := [name for name in found if name.lower().endswith(SUFFIXES)]:
        return f"give read({str(folder)!r}, table=...) one of {short(other)}"
    if other := [name for name in found if name.lower().endswith(_OTHER_TABLES)]:
        return f"{short(other[0])} is not read: save it as metadata.csv (UTF-8), or JSON as metadata.jsonl"
    if other := [name for name in found if name.lower().endswith(_ARCHIVES)]:
        return f"{short(other[0])} is not read: unpack it, with `slapkit unpack` for one, or to a .tar of WebDataset"
    return "it holds no table at all"


def _read_tables(
    root: Path, tables: list[_Found], name: str | None, caption: str | None, notes: list[str]
) -> AudioTextDataset:
    problems: list[Problem] = []
    builder = TableBuilder(root, problems)
    for file, folder, split in tables:
        content = read_table(file)
        notes += content.notes
        problems += content.problems
        captions = _caption_column(content, file, caption)
        for number, row in content.rows:
            builder.add(number, row, captions, folder, split)
    what = f"row of {', '.join(str(file) for file, _, _ in tables)}"
    rest = builder.home.unnamed(builder.named)
    notes += hints(builder.missing, rest)
    notes += [
        f"{key}: {count:,} rows differ from an earlier row of the same file, which counts"
        for key, count in builder.differing.items()
    ]
    return _data_set(root, builder.clips(), what, problems, name, notes, rest)


def _read_tars(folder: Path, name: str | None, caption: str | None, notes: list[str]) -> AudioTextDataset:
    clips: list[Clip] = []
    problems: list[Problem] = []
    for id, path, words, facts in tars.samples(folder, caption, problems):
        if captions := captions_of(words, 0, id, problems):
            split = _split_of(facts.pop("split", None), 0, id, problems)
            split = split or split_of_folders(_PARTS.sub("/", id.split(".tar/")[0]) + "/0")
            clips.append(Clip(id, path, tuple(captions), facts, split, group_of(facts, id)))
    return _data_set(folder, clips, f"sample of the tars in {folder}", problems, name, notes)


def _data_set(
    root: Path, clips: list[Clip], what: str, problems: list[Problem], name: str | None, notes: list[str],
    rest: Sequence[str] = (),
) -> AudioTextDataset:  # fmt: skip
    """Return the data set, in which what is held out is the split "test" where there is none of that name."""
    if not clips:
        raise DataError("\n".join([f"no {what} is usable:", describe(problems), *notes]))
    names = {clip.split for clip in clips}
    held = [split for split in names if split is not None and split.lower() in HELD_OUT]
    if len(held) == 1 and "test" not in names:
        notes.append(f"the split {held[0]!r} is taken as 'test'")
        clips = [replace(clip, split="test") if clip.split == held[0] else clip for clip in clips]
    return AudioTextDataset(root, clips, problems, name=name, notes=notes, unnamed=rest)


def find_tables(folder: Path, remarks: list[Problem]) -> list[_Found]:
    """Return the tables that make a folder a data set, as (table, folder its names are relative to, split).

    That is `metadata.jsonl`, `.csv` or `.tsv` with a column `file_name`, in the folder or, where folders in it are
    named for splits, in all folders directly in it. A folder of sounds alone has none, also where another program left
    a `metadata.csv` in it. What was passed over is added to `remarks`. A folder or table that cannot be read is a
    `DataError`.
    """
    if own := _tables_in(folder, folder, remarks):
        for other in own[1:]:
            reason = f"it is not read, {own[0].name} is"
            if other.stat().st_mtime_ns > own[0].stat().st_mtime_ns:
                reason += ", though it is older"
            if _captions_in(own[0]) != _captions_in(other):
                reason += ", and its captions differ: move one away"
                warnings.warn(f"{folder}: {other.name}: {reason}", stacklevel=2)
            remarks.append(Problem(0, other.name, reason))
        return [(own[0], folder, None)]
    try:
        with os.scandir(folder) as entries:
            inner = sorted(folder / entry.name for entry in entries if _is_folder(entry) and entry.name[0] != ".")
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}") from error
    named = {child for child in inner if child.name.lower() in {*SPLIT_NAMES, *HELD_OUT}}
    found = {c: tables[0] for c in inner if (tables := _tables_in(c, folder, remarks if c in named else []))}
    if named & found.keys():
        lacking = sorted(child.name for child in named - found.keys())
        remarks += [Problem(0, name, "the folder has no table: its sounds are left out") for name in lacking]
        return [(table, child, split_name(child.name)) for child, table in found.items()]
    if found:
        reason = f"{len(found):,} folders have tables of their own, which are read when they are named themselves"
        remarks.append(Problem(0, next(iter(found)).name, reason))
    return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _captions_in(path: Path) -> set[tuple[str, str]]:
    """Return the files and captions of a table, none where it cannot be understood."""
    found: set[tuple[str, str]] = set()
    with contextlib.suppress(DataError):
        table = read_table(path)
        column = _caption_column(table, path, None)
        for number, row in table.rows:
            file = str(row.get("file_name"))
            found.update((file, caption) for caption in captions_of(row.get(column), number, file, []))
    return found


def _tables_in(place: Path, folder: Path, remarks: list[Problem]) -> list[Path]:
    """Return the tables of sounds directly in a folder."""
    result, there = [], {}
    with contextlib.suppress(OSError):  # it may not be looked at
        there = {name.lower(): name for name in sorted(os.listdir(place))}  # Metadata.csv, where no metadata.csv is
    for name in _TABLES:
        path = place / there.get(name, name)
        if os.path.isfile(path):
            if "file_name" in (columns := columns_of(path)) or not columns:
                result.append(path)
                continue
            found, hint = ", ".join(columns[:12]), nearest("file_name", columns)
            reason = f"no table of sounds, since it has no column 'file_name' (found: {found}): {hint}"
            remarks.append(Problem(0, os.path.relpath(path, folder), reason))
    return result


def _caption_column(table: Table, file: Path, named: str | None) -> str:
    """Return the name of the caption column, or raise `DataError` naming what was found and expected."""
    found = ", ".join(table.columns) or "none"
    if not table.columns:
        raise DataError(f"{file} has no usable row:\n{describe(table.problems)}")
    if "file_name" not in table.columns:
        hint = nearest("file_name", table.columns)
        raise DataError(f"{file} has no column 'file_name' (found: {found}): {hint} Rename it")
    wanted = CAPTION_COLUMNS if named is None else (named,)
    for name in wanted:
        if name in table.columns:
            return name
    expected = ", ".join(map(repr, wanted))
    hint = nearest(named or "caption", table.columns)
    raise DataError(f"{file} has no caption column (found: {found}; one of {expected} expected): {hint} Rename it")


def clean_text(text: str) -> str:
    """Return `text` in Unicode NFC, without control characters or broken surrogates, white space collapsed."""
    text = unicodedata.normalize("NFC", text)
    if text.isprintable():  # no white space but blanks, and nothing to leave out
        return " ".join(text.split())
    kept = (" " if c.isspace() else c for c in text if c.isspace() or not is_control(c))
    return " ".join("".join(kept).replace("\ufeff", "").split())


def captions_of(value: Any, number: int, id: str, problems: list[Problem]) -> list[str]:
    """Return the captions of a cell, cleaned and each once; what is wrong with one is listed under the row's number.

    A text that is written as a list is several captions.
    """

    def tell(reason: str, detail: str = "") -> None:
        problems.append(Problem(number, f"{id}: {detail}" if detail else id, reason))

    if isinstance(value, str) and value.lstrip().startswith("["):
        found = parse_list(value)  # a caption may well begin with a bracket
        if found is None and value.lstrip()[1:].lstrip()[:1] in ("'", '"'):
            tell("a caption begins like a list and is none: kept as it is written", short(value))
        value = value if found is None else found
    captions: list[str] = []
    for item in value if isinstance(value, list) else [value]:
        if item is not None and not isinstance(item, str):
            tell("a caption is not text: skipped", short(item))
            continue
        text = clean_text(item or "")
        if text.lower() in _NOTHING:
            tell("a caption is empty: skipped")
            continue
        if not item.isprintable() and any(is_control(c) and not c.isspace() for c in item):
            tell("control characters in a caption were dropped", short(item))
        if len(text) > LONGEST:
            tell(f"a caption exceeds {LONGEST:,} characters: cut there", f"{len(text):,} characters")
            text = text[:LONGEST].rstrip()
        if text not in captions:
            captions.append(text)
    if isinstance(value, list) and not value:
        tell("a caption is empty: skipped")
    return captions


def _split_of(value: Any, number: int, id: str, problems: list[Problem]) -> str | None:
    """Return the split that a cell names, None where it names none; a cell that is not text is listed."""
    if value is None or (isinstance(value, str) and clean_text(value).lower() in _NOTHING):
        return None
    if not isinstance(value, str):
        problems.append(Problem(number, f"{id}: {short(value)}", "the split is not text: ignored"))
        return None
    return split_name(clean_text(value))


class TableBuilder:
    """Collects rows into clips, merging those of the same file.

    `named` are the ids of all files that rows name, in use or not; `missing` the names of those that do not exist;
    `differing` counts by column the rows that contradict an earlier row of the same file.
    """

    def __init__(self, root: Path, problems: list[Problem]) -> None:
        self.home, self.problems = Home(root), problems
        self.named: set[str] = set()
        self.missing: list[str] = []
        self.differing: Counter[str] = Counter()
        self._clips: dict[str, Clip] = {}
        self._merged: set[str] = set()

    def add(self, number: int, row: dict[str, Any], column: str, folder: Path, split: str | None) -> None:
        """Take one row in, or list why not."""
        located = self.home.locate(row.get("file_name"), folder)
        if isinstance(located, str):
            name = row.get("file_name")
            self.problems.append(Problem(number, name if isinstance(name, str) else short(name), located))
            if isinstance(name, str):
                self.named |= self.home.ids_of(name, folder)
                self.missing += [name] if located == MISSING else []
            return
        id, path = located
        self.named.add(id)
        captions = captions_of(row.get(column), number, id, self.problems)
        if not captions:
            return
        split = _split_of(row.get("split"), number, id, self.problems) or split
        facts = {k: v for k, v in row.items() if k not in ("file_name", column, "split")}
        known = self._clips.get(id)
        if known is None:
            self._clips[id] = Clip(id, path, tuple(captions), facts, split)
            return
        if path != known.path:
            reason = "another file has this name in another form of Unicode: rename one"
            self.problems.append(Problem(number, id, reason))
            return
        self._merged.add(id)
        fresh = [caption for caption in captions if caption not in known.captions]
        if not fresh:
            self.problems.append(Problem(number, id, "the row repeats an earlier one: merged"))
        both = {"split": (split, known.split), "group": (group_of(facts, ""), group_of(known.facts, ""))}
        for what, (own, kept) in both.items():
            if own and kept and own != kept:
                reason = f"an earlier row puts the file into another {what}: that one is kept"
                self.problems.append(Problem(number, f"{id}: {own}, not {kept}", reason))
        kept = {k: v for k, v in known.facts.items() if v is not None}
        self.differing.update(k for k, v in kept.items() if facts.get(k) not in (None, v))
        facts |= kept
        self._clips[id] = replace(known, captions=(*known.captions, *fresh), facts=facts, split=known.split or split)

    def clips(self) -> list[Clip]:
        """Return the clips collected. Captions of merged rows are sorted, so that the rows' order does not matter."""
        inferred = all(clip.split is None for clip in self._clips.values())
        result = []
        for id, clip in self._clips.items():
            split = split_of_folders(id) if inferred else clip.split
            captions = tuple(sorted(clip.captions)) if id in self._merged else clip.captions
            result.append(replace(clip, captions=captions, split=split, group=group_of(clip.facts, id)))
        return result
