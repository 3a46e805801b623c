"""Unpacking the archives that collections are published in (zip, tar).

An archive is refused as a whole, and nothing of it stays, when a member leaves the folder, is a link or a device, comes
twice, or when it would unpack to more than limits allow. Parts of a divided zip are joined first, with `cat`.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import tarfile
import unicodedata
import zipfile
import zlib
from lzma import LZMAError
from pathlib import Path, PurePosixPath, PureWindowsPath

from slapkit._io import readable_size, write_guard
from slapkit.errors import DataError

MOST_BYTES = 200_000_000_000  # unpacked: the largest collection read here takes 10 GB
MOST_FILES = 1_000_000
MOST_TIMES = 200  # as large as the archive: audio hardly shrinks, tables some 10 times
_SMALL = 100_000_000  # bytes: archives that unpack to less may shrink as much as they like
_NOTE = re.compile(r"^__MACOSX/|(^|/)(\.DS_Store|desktop\.ini)$")  # left by macOS and Windows
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, LZMAError, EOFError, RuntimeError, ValueError)


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
        most_bytes: limit of the unpacked bytes.
        most_files: limit of the unpacked files.
        progress: show a progress bar.

    Raises:
        DataError: the archive is missing, damaged or refused, which names the member and the reason; or the folder
            exists.
        StorageError: the folder cannot be written.
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
            if zipfile.is_zipfile(archive):
                source = zipfile.ZipFile(archive)
            elif tarfile.is_tarfile(archive):
                source = tarfile.open(archive)
            else:
                raise DataError(f"{archive} is neither zip nor tar: unpack it with the program that made it")
            with source:
                _unpack(source, archive, temporary, limit, most_files, progress)
            os.replace(temporary, folder)
    except OSError as error:
        raise DataError(f"{archive} cannot be unpacked to {folder}: {error.strerror or error}") from error
    except _DAMAGED as error:
        raise DataError(f"{archive} is damaged or not an archive that can be read: {str(error)[:200]}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _unpack(
    source: zipfile.ZipFile | tarfile.TarFile, archive: Path, folder: Path, limit: int, most_files: int, progress: bool
) -> None:
    from tqdm.auto import tqdm

    zipped = isinstance(source, zipfile.ZipFile)
    seen: set[str] = set()
    total = 0
    with tqdm(unit="B", unit_scale=True, disable=not progress, delay=1) as bar:
        for info in source.infolist() if zipped else source:
            name, size = (info.filename, info.file_size) if zipped else (info.name, info.size)
            if (info.is_dir() if zipped else info.isdir()) or _NOTE.search(name):
                continue
            # The type of file in Unix's mode: 8 is a regular file, 0 unknown.
            if info.external_attr >> 28 not in (0, 8) if zipped else not info.isreg():
                raise DataError(f"{archive} holds {name!r}, a link or device: only files and folders are taken")
            safe = _safe_name(name, archive)
            key = unicodedata.normalize("NFC", safe).casefold()  # some disks ignore case and form
            if key in seen:
                raise DataError(f"{archive} holds {name!r} twice: it is unknown which one counts")
            seen.add(key)
            total += size
            if size < 0 or total > limit or len(seen) > most_files:
                raise DataError(
                    f"{archive} ({readable_size(archive.stat().st_size)}) unpacks to more than {readable_size(limit)} "
                    f"or {most_files:,} files, at {name!r}: forged to fill the disk, or raise the limits"
                )
            # Both modules read a member no further than the size that it declares.
            if zipped:
                info.filename = safe
                source.extract(info, folder)
            else:
                source.extract(info.replace(name=safe, deep=False), folder, set_attrs=False, filter="data")
            bar.update(size)


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
