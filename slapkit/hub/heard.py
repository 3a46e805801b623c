"""Tables of what a tagger heard in folders, kept in the project as `data/heard/<name>-<hash>.jsonl`.

A library of the folder takes its table over when it is built or updated.
"""

import hashlib
from pathlib import Path

from slapkit._io import atomic_write_bytes, project_root, read_json_lines, write_guard
from slapkit.data.scan import HEARD


def table_path(folder: str | Path) -> Path:
    """Return where the project keeps what was heard in a folder; a library forgets it once the file is deleted."""
    folder = Path(folder).resolve()
    name = f"{folder.name}-{hashlib.sha256(str(folder).encode('utf-8', 'surrogateescape')).hexdigest()[:10]}"
    return project_root() / "data" / "heard" / f"{name}.jsonl"


def follow(before: str | Path, folder: str | Path) -> None:
    """Take what was heard in a folder along to where it lies now, unless something was heard there."""
    old, new = table_path(before), table_path(folder)
    if old.is_file() and not new.is_file():
        atomic_write_bytes(new, old.read_bytes())


def keep_heard(folder: str | Path, path: str | Path) -> None:
    """Copy the project's table of a folder to the file `path`; remove the file where the project has no such table."""
    table = table_path(folder)
    if table.is_file():
        atomic_write_bytes(path, table.read_bytes())
    else:
        with write_guard(path):
            Path(path).unlink(missing_ok=True)


def read_heard(path: str | Path) -> dict[str, dict[str, list[str]]]:
    """Return the facts that were heard by the SHA-256 of the file, and by that of its sound, which stays where tags are
    edited; what is no such row is left out."""
    result = {}
    for row in read_json_lines(path)[0]:
        facts = row.get("facts") if isinstance(row, dict) else None
        if isinstance(facts, dict) and isinstance(row.get("sha"), str):
            named = {name: words for name, words in facts.items() if name.startswith(HEARD) and isinstance(words, list)}
            result |= {row[key]: named for key in ("sound", "sha") if isinstance(row.get(key), str) and row[key]}
    return result
