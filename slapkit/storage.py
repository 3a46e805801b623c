"""Writing files so that a kill, a crash or a full disk leaves the old content or the new, never a half of each.

What is written goes to a temporary file beside its destination, is flushed to the disk, and takes the name in one
step (`os.replace`). A full or forbidden disk is told as `StorageError`, with the path and what to do about it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from slapkit.errors import StorageError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
# safetensors and torch write through their own code and raise their own classes: only the words tell a full disk.
_FULL_WORDS = ("No space left on device", "os error 28", "Disk quota exceeded")


def readable_size(size: float) -> str:
    """Return a number of bytes in words, such as `1.5 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size) < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def _storage_error(path: Path, problem: str, needed: int | None) -> StorageError:
    """Return the error for `path` that says what was needed, what is left, and what to do."""
    folder = next((p for p in (path, *path.parents) if p.is_dir()), Path("/"))
    if problem != "full":
        return StorageError(f"cannot write {path}: {problem}; check the permissions of {folder} or choose another one")
    free = "an unknown amount"
    with contextlib.suppress(OSError):
        free = readable_size(shutil.disk_usage(folder).free)
    wanted = f"{readable_size(needed)} needed" if needed is not None else "more room needed"
    return StorageError(
        f"no space left to write {path}: {wanted}, {free} free in {folder}; free some space or choose another folder, "
        "then run the same command again: finished work is kept"
    )


@contextlib.contextmanager
def write_guard(path: str | Path, *, needed: int | None = None) -> Iterator[None]:
    """Translate the errors of a full or forbidden disk, raised inside, into `StorageError` naming `path`.

    Args:
        path: file or folder being written; its name goes into the message.
        needed: number of bytes that the write takes, where known.

    Raises:
        StorageError: no space, no permission, read-only file system, or a file where a folder must be.
    """
    path = Path(path)
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        if error.errno in _FULL:
            raise _storage_error(path, "full", needed) from error
        if error.errno in _FORBIDDEN:
            raise _storage_error(path, error.strerror or "not permitted", needed) from error
        if isinstance(error, (NotADirectoryError, IsADirectoryError, FileExistsError)):
            words = f"cannot write {path}: {error.strerror} ({error.filename}); move what stands there"
            raise StorageError(words) from error
        raise
    except Exception as error:
        if any(words in str(error) for words in _FULL_WORDS):
            raise _storage_error(path, "full", needed) from error
        raise


@contextlib.contextmanager
def atomic_path(path: str | Path, *, needed: int | None = None) -> Iterator[Path]:
    """Yield a temporary path beside `path`; what the block wrote there becomes `path` when the block ends well.

    The parent folder is made if missing. When the block raises, the temporary file goes and `path` stays as it was.

    Raises:
        StorageError: see `write_guard`.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    with write_guard(path, needed=needed):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            sync_file(temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def sync_file(path: str | Path) -> None:
    """Flush a file's content to the disk, so that a rename never outruns it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def atomic_write_bytes(path: str | Path, data: bytes) -> Path:
    """Write `data` to `path` in one step, making the parent folder if missing; return the path.

    Raises:
        StorageError: the disk is full or does not let us.
    """
    with atomic_path(path, needed=len(data)) as temporary:
        temporary.write_bytes(data)
    return Path(path)


def atomic_write_text(path: str | Path, text: str) -> Path:
    """Write `text` as UTF-8 to `path` in one step; otherwise as `atomic_write_bytes`."""
    return atomic_write_bytes(path, text.encode("utf-8"))


def atomic_write_json(path: str | Path, value: Any, *, indent: int | None = 2) -> Path:
    """Write `value` as strict JSON (no NaN or Infinity) to `path` in one step; otherwise as `atomic_write_bytes`.

    Raises:
        ValueError, TypeError: `value` is not JSON; nothing is written.
        StorageError: the disk is full or does not let us.
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    return atomic_write_text(path, text + "\n")


def atomic_write_json_lines(path: str | Path, rows: Iterable[Any]) -> Path:
    """Write each row as strict JSON on a line of its own to `path` in one step; raises as `atomic_write_json`."""
    return atomic_write_text(path, "".join(json.dumps(r, ensure_ascii=False, allow_nan=False) + "\n" for r in rows))


def sha256_file(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
