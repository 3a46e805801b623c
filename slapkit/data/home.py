"""A folder of sounds: which of the names in its table are files in it, and which files no name is for."""

import os
import re
import stat
import unicodedata
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from urllib.parse import unquote

from slapkit.audio.decode import AUDIO_SUFFIXES
from slapkit.errors import short

LINK_LEAVES = "a link that leaves the folder: copy what it leads to (`cp -rL` copies a folder without links)"
MISSING = "the file does not exist"
_HUB = re.compile(r"(datasets|models|spaces)--.+")  # a repository in the cache of the Hugging Face hub


class Home:
    """A folder of sounds, and what lies in it, links followed.

    Links may lead nowhere else: a folder from a stranger could show with them what is private on this machine. Only the
    snapshots of the Hugging Face hub's cache are made of links that leave them, into `blobs/` of the same repository.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._absolute, self._real = os.path.abspath(root), os.path.realpath(root)
        above = (place for place in Path(self._real).parents if _HUB.fullmatch(place.name))
        self._reach = next((str(place) for place in above if (place / "blobs").is_dir()), self._real)
        self._folders: dict[str, str] = {}

    def holds(self, path: Path) -> bool:
        """Say whether a file or folder really lies here; folders on the way are resolved once."""
        if os.path.islink(path):
            return _inside(os.path.realpath(path), self._reach)
        parent = os.path.dirname(path)
        if parent not in self._folders:
            self._folders[parent] = os.path.realpath(parent)
        return _inside(os.path.join(self._folders[parent], os.path.basename(path)), self._reach)

    def locate(self, value: Any, folder: Path | None = None) -> tuple[str, Path] | str:
        """Return the id and path of a file named in a table, or why it is refused; names are relative to `folder`."""
        if value is None or value == "":
            return "the row names no file"
        if not isinstance(value, str):
            return f"file_name is not text but {type(value).__name__}"
        if not value.isprintable() and any(map(is_control, value)):
            return "file_name holds control characters"
        for written in _spellings(value):
            relative = self._relative(written, folder or self.root)
            if relative is None:
                return "the path leaves the folder: names are relative to the folder, or absolute within it"
            path = self.root / relative
            try:
                os.lstat(path)
                if not self.holds(path):
                    return LINK_LEAVES
                info = os.stat(path)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except (OSError, ValueError) as error:
                return f"the file cannot be opened: {getattr(error, 'strerror', None) or 'its name is not usable'}"
            if not stat.S_ISREG(info.st_mode):
                return "file_name is not a file"
            if info.st_size == 0:
                return "the file is empty (0 bytes)"
            return _id_of(relative), path
        return MISSING

    def ids_of(self, name: str, folder: Path) -> set[str]:
        """Return the ids that a name in a table may mean, whether there is a file or not."""
        found = {self._relative(written, folder) for written in _spellings(name)}
        return {_id_of(relative) for relative in found if relative is not None}

    def unnamed(self, named: Container[str]) -> list[str]:
        """Return the ids of the sound files here that are not among `named`, in order."""
        ids = (_id_of(file) for file, _ in self.sounds())
        return sorted(id.encode("utf-8", "backslashreplace").decode() for id in ids if id not in named)

    def sounds(self, tell: Callable[[str, str], None] = lambda name, reason: None) -> Iterator[tuple[str, str]]:
        """Yield the sound files by suffix, each as its name relative to the folder, with "/", and its path.

        Hidden files and folders are left out, linked folders not entered; `tell` is called with the name of what cannot
        be read and the reason. Strings, since building a Path for each step takes half of the time.
        """

        def unreadable(error: OSError) -> None:
            tell(os.path.relpath(error.filename, self.root), f"the folder cannot be read: {error.strerror}")

        for place, folders, names in os.walk(self.root, onerror=unreadable):
            inside = Path(place).relative_to(self.root).as_posix()
            before = "" if inside == "." else f"{inside}/"
            for name in folders:
                path = Path(place, name)
                if os.path.islink(path) and not self.holds(path):
                    tell(before + name, LINK_LEAVES)
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in names:
                if name.lower().endswith(AUDIO_SUFFIXES) and not name.startswith("."):
                    yield before + name, os.path.join(place, name)

    def _relative(self, written: str, folder: Path) -> str | None:
        """Return a name relative to the root, "x/../a" simplified; None where it leads out."""
        if os.name != "nt" and PureWindowsPath(written).is_absolute():
            return None
        path = os.path.normpath(os.path.join(os.path.abspath(folder), written))
        return next((os.path.relpath(path, r) for r in (self._absolute, self._real) if _inside(path, r)), None)


def hints(missing: Sequence[str], files: Sequence[str]) -> list[str]:
    """Return a note where names of missing files are like those of `files`: but for case, suffix, folder, zeros before
    a number, or signs written as in addresses of the web."""
    known = {_core(file): file for file in files}
    pairs = [(name, known[_core(name)]) for name in missing if _core(name) in known]
    if not pairs:
        return []
    examples = ", ".join(f"{short(file)} for {short(name)}" for name, file in pairs[:3])
    return [f"{len(pairs):,} of the missing files may be there by another name ({examples}): correct the table"]


def _core(name: str) -> str:
    name = unicodedata.normalize("NFC", unquote(name.strip().replace("\\", "/")))
    return PurePosixPath(name).stem.casefold().lstrip("0")


def _id_of(relative: str) -> str:
    return unicodedata.normalize("NFC", Path(relative).as_posix())


def is_control(character: str) -> bool:
    """Say whether a character is a control character or half of one."""
    return unicodedata.category(character) in ("Cc", "Cs")


def _inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(os.path.join(folder, ""))


def _spellings(name: str) -> Iterable[str]:
    """Return how a name may be written: as it is, without blanks around, in other Unicode forms, with other slashes."""
    bare = name.strip()
    forms = [name, bare, unicodedata.normalize("NFC", bare), unicodedata.normalize("NFD", bare)]
    if "\\" in name:
        forms += [form.replace("\\", "/") for form in forms]
    return dict.fromkeys(forms)
