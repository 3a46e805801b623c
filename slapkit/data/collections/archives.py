"""Unpacking the archives that collections are published in (zip, tar), believing nothing that they say.

An archive is refused as a whole, and nothing of it stays, when a member leaves the folder, is a link or a device, comes
twice, or when it would unpack to more than limits allow. Parts of a divided zip are joined first, with `cat`.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from lzma import LZMAError
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO, NamedTuple

from slapkit._io import readable_size, write_guard
from slapkit.errors import DataError

MOST_BYTES = 200_000_000_000  # unpacked: the largest collection read here takes 10 GB
MOST_FILES = 1_000_000
MOST_TIMES = 200  # as large as the archive: sound hardly shrinks, tables some 10 times
_SMALL = 100_000_000  # bytes: archives that unpack to less may shrink as much as they like
_CHUNK = 1 << 20
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, LZMAError, EOFError, RuntimeError, NotImplementedError)


class _Member(NamedTuple):
    """One file of an archive: its name, the size that it claims and never exceeds, and its open content."""

    name: str
    size: int
    file: BinaryIO


def extract(
    archive: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    most_bytes: int = MOST_BYTES,
    most_files: int = MOST_FILES,
    progress: bool = True,
) -> Path:
    """Unpack a zip or tar archive (also tar.gz, .bz2, .xz) into a new folder, and return the folder.

    Args:
        archive: the file.
        folder: must not exist; it appears only when everything is unpacked.
        most_bytes: that the content may take.
        most_files: that it may hold.
        progress: show a progress bar.

    Raises:
        DataError: no such archive, a damaged one, or one that is refused: the member and the reason are named.
        StorageError: the disk is full or does not let us.
    """
    archive, folder = Path(archive), Path(folder)
    if not archive.is_file():
        raise DataError(f"no archive {archive}")
    if folder.exists():
        raise DataError(f"{folder} exists: name a new folder for the content of {archive.name}")
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    limit = min(most_bytes, max(_SMALL, MOST_TIMES * archive.stat().st_size))
    try:
        with write_guard(folder):
            temporary.mkdir(parents=True)
            _unpack(archive, temporary, limit, most_files, progress)
            os.replace(temporary, folder)
    except OSError as error:
        raise DataError(f"{archive} cannot be unpacked to {folder}: {error.strerror or error}") from error
    except _DAMAGED as error:
        raise DataError(f"{archive} is damaged or not an archive that can be read: {str(error)[:200]}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _unpack(archive: Path, folder: Path, limit: int, most_files: int, progress: bool) -> None:
    from tqdm.auto import tqdm

    seen: set[str] = set()
    total = 0
    with closing(_members(archive)) as members, tqdm(unit="B", unit_scale=True, disable=not progress, delay=1) as bar:
        for member in members:
            target = folder / _safe_name(member.name, archive)
            key = unicodedata.normalize("NFC", str(target)).casefold()  # some disks know neither case nor form
            if key in seen:
                raise DataError(f"{archive} holds {member.name!r} twice: which one counts cannot be told")
            seen.add(key)
            if member.size < 0:
                raise DataError(f"{archive} is damaged: {member.name!r} claims {member.size} bytes")
            total += member.size
            if total > limit or len(seen) > most_files:
                raise DataError(
                    f"{archive} ({readable_size(archive.stat().st_size)}) unpacks to more than {readable_size(limit)} "
                    f"or {most_files:,} files, at {member.name!r}: forged to fill the disk, or raise the limits"
                )
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(target, "xb") as file:
                left = member.size
                while left and (data := member.file.read(min(_CHUNK, left))):
                    file.write(data)
                    left -= len(data)
                    bar.update(len(data))
            if left:
                raise DataError(f"{archive} is damaged: {member.name!r} lacks {readable_size(left)}")


def _members(archive: Path) -> Iterator[_Member]:
    """Yield the files of an archive in order; links and devices are refused, folders and macOS's notes left out."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as source:
            yield from _zipped(source, archive)
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive, "r:*") as source:
            for info in source:
                if info.isdir() or _is_note(info.name):
                    continue
                if not info.isreg():
                    raise DataError(
                        f"{archive} holds {info.name!r}, a link or device: only files and folders are taken"
                    )
                yield _Member(info.name, info.size, source.extractfile(info))
    else:
        raise DataError(f"{archive} is neither zip nor tar: unpack it with the program that made it")


def _zipped(source: zipfile.ZipFile, archive: Path) -> Iterator[_Member]:
    for info in source.infolist():
        if info.is_dir() or _is_note(info.filename):
            continue
        kind = info.external_attr >> 28  # of Unix's mode: 8 is a file, 0 unknown
        if kind not in (0, 8):
            raise DataError(f"{archive} holds {info.filename!r}, a link or device: only files and folders are taken")
        with source.open(info) as file:
            yield _Member(info.filename, info.file_size, file)


def _is_note(name: str) -> bool:
    return name.startswith("__MACOSX/") or PurePosixPath(name).name in (".DS_Store", "desktop.ini")


def _safe_name(name: str, archive: Path) -> str:
    """Return the name of a member as a relative path.

    Raises:
        DataError: it leaves the folder, is absolute, names a drive, or holds control characters.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    windows = PureWindowsPath(name)
    if not path.parts or path.is_absolute() or windows.drive or windows.root or ".." in path.parts:
        raise DataError(f"{archive} holds {name!r}, which leaves the folder: refused")
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in name):
        raise DataError(f"{archive} holds {name!r}, a name with control characters: refused")
    return str(path)
