"""Files, locks and text for a terminal: one way of each.

A file is written to a temporary file beside its destination, flushed, and renamed in one step, so that a kill, a crash
or a full disk leaves the old content or the new. A full or forbidden disk raises `StorageError`.
"""

import contextlib
import errno
import hashlib
import json
import os
import posixpath
import re
import secrets
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from slapkit.errors import ConfigError, StorageError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
# safetensors and torch write through their own code and raise their own classes: only the words name a full disk.
_FULL_WORDS = ("No space left on device", "os error 28", "Disk quota exceeded")


def readable_size(size: float) -> str:
    """Return a number of bytes in words, such as `1.5 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size) < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


@contextlib.contextmanager
def write_guard(path: str | Path, *, needed: int | None = None) -> Iterator[None]:
    """Raise what a full or forbidden disk raises inside as `StorageError` naming `path`; `needed` bytes are wanted."""
    try:
        yield
    except StorageError:
        raise
    except Exception as error:
        code, path = getattr(error, "errno", None), Path(path)
        folder = next((p for p in (path, *path.parents) if p.is_dir()), Path("/"))
        if code in _FULL or any(words in str(error) for words in _FULL_WORDS):
            free = readable_size(shutil.disk_usage(folder).free)
            wanted = f"{readable_size(needed)} needed, " if needed is not None else ""
            raise StorageError(
                f"no space left to write {path}: {wanted}{free} free in {folder}; free some space or choose another "
                "folder, then run the same command again: finished work is kept"
            ) from error
        if code in _FORBIDDEN:
            raise StorageError(f"cannot write {path}: {error}; check the permissions of {folder}") from error
        if isinstance(error, (NotADirectoryError, IsADirectoryError, FileExistsError)):
            raise StorageError(f"cannot write {path}: {error}; move that file or folder") from error
        raise


@contextlib.contextmanager
def atomic_path(path: str | Path, *, needed: int | None = None) -> Iterator[Path]:
    """Yield a temporary path beside `path`; what the block wrote there becomes `path` when the block ends well.

    The parent folder is made if missing. When the block raises, the temporary file goes and `path` stays as it was.
    """
    path = Path(path)
    temporary = temporary_beside(path)
    with write_guard(path, needed=needed):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            sync_file(temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def temporary_beside(path: Path) -> Path:
    """Return a new path beside `path`; its name is short, whatever the length of the other."""
    return path.with_name(f".{os.getpid()}-{secrets.token_hex(4)}.tmp")


def sync_file(path: str | Path) -> None:
    """Flush a file's content to the disk, so that a rename never outruns it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def atomic_write_bytes(path: str | Path, data: bytes) -> Path:
    """Write `data` to `path` in one step, making the parent folder if missing; return the path."""
    with atomic_path(path, needed=len(data)) as temporary:
        temporary.write_bytes(data)
    return Path(path)


def atomic_write_text(path: str | Path, text: str) -> Path:
    """Write `text` as UTF-8 to `path` in one step."""
    return atomic_write_bytes(path, text.encode("utf-8"))


def atomic_write_json(path: str | Path, value: Any) -> Path:
    """Write `value` as JSON to `path` in one step; NaN and Infinity raise `ValueError`, and nothing is written."""
    return atomic_write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def atomic_write_json_lines(path: str | Path, rows: Iterable[Any]) -> Path:
    """Write each row as JSON on a line of its own to `path` in one step; NaN and Infinity raise `ValueError`."""
    return atomic_write_text(path, "".join(json.dumps(r, ensure_ascii=False, allow_nan=False) + "\n" for r in rows))


@contextlib.contextmanager
def staged_folder(out: str | Path) -> Iterator[Path]:
    """Yield a new folder beside `out`, which takes its name when the block ends well and goes when it does not.

    Raises:
        ConfigError: `out` is there already and is no empty folder, or is the working folder.
        StorageError: the disk is full or does not let us.
    """
    out = Path(out)
    with write_guard(out):
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ConfigError(f"{out} is there already: name a new folder, or remove it")
        if out.resolve() == Path.cwd():  # its place taken, whoever works in it would be nowhere
            raise ConfigError(f"{str(out)!r} is the working folder: name a new one")
        staged = temporary_beside(out)
        try:
            staged.mkdir(parents=True)
            yield staged
            for path in staged.rglob("*"):
                if path.is_file():
                    sync_file(path)
            os.replace(staged, out)
        finally:
            shutil.rmtree(staged, ignore_errors=True)


def write_arrays(path: str | Path, arrays: Mapping[str, Any], about: Any) -> Path:
    """Write NumPy arrays as safetensors in one step, with `about` (JSON) in the header, and return the path."""
    from safetensors.numpy import save_file

    plain = {name: array.copy(order="C") for name, array in arrays.items()}
    with atomic_path(path, needed=sum(array.nbytes for array in plain.values())) as temporary:
        save_file(plain, temporary, metadata={"about": json.dumps(about)})
    return Path(path)


def read_arrays(path: str | Path) -> tuple[dict[str, Any], Any] | None:
    """Return arrays and `about` of what `write_arrays` wrote, None where it is missing or damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()["about"])  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError, TypeError):
        return None


def sha256_file(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal; the file may be a member of a tar, see `as_file`."""
    with as_file(path) as path, open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def as_file(path: str | Path) -> Iterator[str | Path]:
    """Yield `path`; of a member of a tar, named `shard.tar/name`, a copy that lasts as long as the block.
    `FileNotFoundError` says that the tar has no such member."""
    if (place := _in_tar(path)) is None:
        yield path
        return
    tar, (start, size) = place
    with tempfile.NamedTemporaryFile(suffix=Path(path).suffix) as copy:
        with open(tar, "rb") as file:
            file.seek(start)
            copy.write(file.read(size))
        copy.flush()
        yield Path(copy.name)


def size_and_time(path: str | Path) -> tuple[int, int]:
    """Return the size of a file, or of a member of a tar, in bytes, and when it changed, in ns; raises `OSError`."""
    place = _in_tar(path)
    stat = os.stat(place[0] if place else path)
    return place[1][1] if place else stat.st_size, stat.st_mtime_ns


def _in_tar(path: str | Path) -> tuple[str, tuple[int, int]] | None:
    """Return the tar in which `path` lies, and its place there; None for what lies in none."""
    text = str(path)
    ends = (found.start() + 4 for found in re.finditer(r"\.tar[/\\]", text))
    tar = next((text[:end] for end in ends if os.path.isfile(text[:end])), None)
    if tar is None:
        return None
    place = tar_members(tar).get(text[len(tar) + 1 :].replace(os.sep, "/"))
    if place is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), text)
    return tar, place


def tar_members(path: str | Path) -> dict[str, tuple[int, int]]:
    """Return start and size, in bytes, of each plain file that is whole in an uncompressed tar; raises `OSError`.

    Names are relative to the tar: "./a", "/a" and "../a" are "a", of which the first counts. The key "" holds where
    the list ends (the tar is damaged or cut off there unless zeros follow), and how many members were left out:
    repeated, or neither plain files nor folders.
    """
    stat = os.stat(path)
    return _tar_members(str(path), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=4096)
def _tar_members(path: str, size: int, _mtime_ns: int) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {"": (0, 0)}
    try:
        with tarfile.open(path, "r:") as tar:
            for info in tar:
                if not 0 <= info.offset_data <= info.offset_data + info.size <= size:
                    break
                name = posixpath.normpath(f"/{info.name}").lstrip("/")
                whole = info.isreg() and not info.issparse() and name not in found
                if whole:
                    found[name] = (info.offset_data, info.size)
                left = found[""][1] + (not whole and not info.isdir())
                found[""] = (info.offset_data + -(-info.size // 512) * 512, left)
    except (tarfile.TarError, ValueError, ArithmeticError, EOFError, MemoryError):
        pass
    return found


def read_json_lines(path: str | Path, start: int = 0) -> tuple[list[Any], int]:
    """Return the values of a JSON Lines file from byte `start` up to its last whole line, and the bytes up to its end.

    A kill may tear the last line that was appended; what follows the bytes returned can be cut off. A missing file has
    no lines.
    """
    try:
        with open(path, "rb") as file:
            file.seek(start)
            lines = file.read().split(b"\n")[:-1]
    except FileNotFoundError:
        return [], start
    rows: list[Any] = []
    with contextlib.suppress(ValueError):  # all at once takes a third of the time
        rows = json.loads(b"[%b]" % b",".join(lines))
    if len(rows) != len(lines):
        rows = []
        with contextlib.suppress(ValueError):
            for line in lines:
                rows.append(json.loads(line))
    return rows, start + sum(len(line) + 1 for line in lines[: len(rows)])


@contextlib.contextmanager
def locked(path: str | Path, *, wait: str | None = None, progress: bool = True) -> Iterator[None]:
    """Hold the lock file `path`; the system frees it when its holder ends, however that happens.

    Args:
        wait: what to show while another process holds the lock; None does not wait.

    Raises:
        BlockingIOError: another process holds the lock and `wait` is None.
    """
    from filelock import FileLock, Timeout
    from tqdm.auto import tqdm

    path = Path(path)
    lock = FileLock(path)
    shown = {"bar_format": "{desc} [{elapsed}]", "disable": not progress or not wait, "delay": 1, "leave": False}
    with tqdm(desc=wait, **shown) as bar:
        while not lock.is_locked:
            try:
                with write_guard(path):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    lock.acquire(timeout=0 if wait is None else 0.2)
            except FileNotFoundError:
                continue  # the holder removed the folder
            except Timeout:
                if wait is None:
                    raise BlockingIOError(f"{path} is held by another process") from None
            bar.update()
    try:
        yield
    finally:
        lock.release()


def printable(text: str) -> str:
    """Return text without what a terminal would obey: control characters, and marks that reorder a line."""
    return "".join(c if c.isprintable() else "\ufffd" for c in str(text))


def locate(path: str | Path) -> Path:
    """Return `path`, or the same path below the nearest parent folder that has it; unchanged where none has.

    So `data/scores-quick` is one folder for JupyterLab, which works in `notebooks/`, and for a run, which works above.
    """
    path = Path(path).expanduser()
    if path.is_absolute() or path.exists():
        return path
    return next((p / path for p in Path.cwd().parents if (p / path).exists()), path)


def project_root() -> Path:
    """Return the nearest folder from here upwards that holds `notebooks/`, or else the working folder."""
    return locate("notebooks").absolute().parent
