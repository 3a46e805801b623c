"""Sound files that no row of their folder's table names, and which of them the name of a missing file may mean."""

import unicodedata
from collections.abc import Container, Sequence
from pathlib import PurePosixPath
from urllib.parse import unquote

from slapkit.data.home import Home
from slapkit.errors import short


def unnamed(home: Home, named: Container[str]) -> list[str]:
    """Return the ids of the sound files in a folder that are not among `named`, in order."""
    ids = (unicodedata.normalize("NFC", file) for file, _ in home.sounds())
    return sorted(id.encode("utf-8", "backslashreplace").decode() for id in ids if id not in named)


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
