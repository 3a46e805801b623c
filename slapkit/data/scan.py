"""What a folder of music holds: sound files with their tags, or what its table says about them.

A folder with a table (`slapkit.data.reader.find_tables` decides) is what the table lists, with captions and facts. Any
other folder is searched for sound files by their suffix. Tags are read by themselves, see `tags`.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slapkit._io import locate, size_and_time
from slapkit.audio import media
from slapkit.data.dataset import AudioTextDataset, Problem
from slapkit.data.frames import fact_name, plain
from slapkit.data.home import LINK_LEAVES, Home
from slapkit.data.reader import clean_text, find_tables, read
from slapkit.errors import TABLE, LibraryError, need_extra

TAGS = ("title", "artist", "album", "genre", "year")
# Columns that search results have already: a table's fact of the same name is kept under another one.
RESERVED = {
    "rank", "id", "score_percentile", "window_start_s", "window_s", "duration_s", "captions", "file", "windows",
    "beside",
}  # fmt: skip
HEARD = "heard "  # begins the name of a fact that a model heard, such as "heard tempo"
_HIDDEN_FACTS = {  # said elsewhere
    "title", "duration_s", "file_name", "path", "sha256", "bytes", "caption_registers", "caption_frames",
    "caption_facts", "caption_words", "caption_confidence",
}  # fmt: skip
_LONGEST_TAG = 1000  # characters


@dataclass(frozen=True)
class Source:
    """A sound file found: its id, its name relative to the folder, and what is known about it before it is decoded."""

    id: str
    file: str
    path: Path
    size: int
    mtime_ns: int
    title: str = ""
    captions: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """A file that is not in the library, and why; or a remark on how its table was read, see `TABLE`."""

    file: str
    reason: str


def scan(folder: str | Path) -> tuple[list[Source], list[Failure]]:
    """Return the sound files of a folder in the order of their ids, and those that cannot be used.

    Tags are not read here but by `tags`, once a file turns out to be new.

    Raises:
        LibraryError: the folder is not there.
        DataError: its table cannot be used.
    """
    folder = music_folder(folder)
    remarks: list[Problem] = []
    if find_tables(folder, remarks):
        dataset = read(folder)
        sources, failures = sources_of(dataset)
        failures += [Failure(TABLE, note) for note in dataset.notes]
        failures += [Failure(id, "no row of the table names it") for id in dataset.unnamed]
    else:
        sources, failures = sound_files(folder)
        failures += [Failure(remark.value, remark.reason) for remark in remarks]
    return sorted(sources, key=lambda source: source.id), sorted(failures, key=lambda failure: failure.file)


def music_folder(folder: str | Path) -> Path:
    """Return where a folder of music lies, links followed; raise `LibraryError` where there is none."""
    folder = locate(folder).resolve()
    if not folder.is_dir():
        raise LibraryError(f"no folder of music at {folder}: name one that holds sound files")
    return folder


def has_table(folder: Path) -> bool:
    """Say whether a folder is a data set by its tables; raises as `find_tables`."""
    return bool(find_tables(folder, []))


def sources_of(dataset: AudioTextDataset) -> tuple[list[Source], list[Failure]]:
    """Return the sound files of a data set, and what of it cannot be used."""
    sources: list[Source] = []
    failures: list[Failure] = []
    for clip in dataset:
        facts = {fact_name(k, RESERVED): value for k, value in plain(clip.facts).items() if k not in _HIDDEN_FACTS}
        facts = {"split": clip.split, **facts} if clip.split is not None else facts
        title = clean_text(str(clip.facts.get("title") or ""))[:_LONGEST_TAG] or Path(clip.id).stem
        own = clip.path.is_relative_to(dataset.root)  # or converted elsewhere
        file = clip.path.relative_to(dataset.root).as_posix() if own else clip.id
        with _listing(file, failures):
            sources.append(Source(clip.id, file, clip.path, *size_and_time(clip.path), title, clip.captions, facts))
    known = {source.id for source in sources} | {source.file for source in sources}
    for problem in dataset.problems:  # a remark about a row that is in use is no failure
        begun = problem.value.split(": ")
        if not any(": ".join(begun[:count]) in known for count in range(1, len(begun) + 1)):
            line = f"line {problem.row} of the table: " if problem.row else ""
            failures.append(Failure(problem.value, line + problem.reason))
    return sources, failures


def sound_files(folder: Path) -> tuple[list[Source], list[Failure]]:
    """Return the sound files of a folder by their suffix, whatever a table says, and those that cannot be used."""
    sources: list[Source] = []
    failures: list[Failure] = []
    home = Home(folder)
    for file, path in home.sounds(lambda name, reason: failures.append(Failure(name, reason))):
        shown = file.encode("utf-8", "backslashreplace").decode()
        if shown != file:
            failures.append(Failure(shown, "its name is not valid UTF-8: rename the file"))
            continue
        with _listing(file, failures):
            info = os.lstat(path)
            if stat.S_ISLNK(info.st_mode):
                if not home.holds(Path(path)):
                    failures.append(Failure(file, LINK_LEAVES))
                    continue
                info = os.stat(path)
            if info.st_size == 0:
                failures.append(Failure(file, "the file is empty (0 bytes)"))
            elif stat.S_ISREG(info.st_mode):
                title = os.path.splitext(os.path.basename(path))[0]
                sources.append(Source(file, file, Path(path), info.st_size, info.st_mtime_ns, title))
            else:
                failures.append(Failure(file, "not a file"))
    return sources, failures


@contextlib.contextmanager
def _listing(file: str, failures: list[Failure]) -> Iterator[None]:
    """List a file that cannot be opened."""
    try:
        yield
    except OSError as error:
        failures.append(Failure(file, f"the file cannot be opened: {error.strerror}"))


def tags(path: Path) -> dict[str, Any]:
    """Return the tags of a sound file that hold something; none where they are missing or damaged."""
    need_extra("search", "tinytag")
    from tinytag import TinyTag

    try:
        if TinyTag.is_supported(path):
            found = TinyTag.get(path, duration=False).__dict__
        else:
            with media.opened(path, path.name) as sound:
                found = sound.tags()
            found["year"] = found.get("date")
    except Exception:  # whatever a damaged tag makes the parser do, the sound may still be fine
        return {}
    result: dict[str, Any] = {}
    for name in TAGS:
        text = clean_text(str(found.get(name) or ""))[:_LONGEST_TAG]
        if text:
            result[name] = int(text[:4]) if name == "year" and text[:4].isascii() and text[:4].isdigit() else text
    return result
