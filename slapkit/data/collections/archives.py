"""Unpacking the archives that collections are published in (zip, tar).

Nothing of an archive stays when a member leaves the folder, or when it would unpack to more than a limit allows. Parts
of a divided zip are joined first, with `cat`.
"""

import os
import re
import shutil
import tarfile
import zipfile
import zlib
from lzma import LZMAError
from pathlib import Path, PurePosixPath, PureWindowsPath

from slapkit._io import readable_size, temporary_beside, write_guard
from slapkit.errors import DataError

MOST_BYTES = 200_000_000_000  # unpacked: the largest collection read here takes 10 GB
MOST_TIMES = 200  # as large as the archive: audio hardly shrinks, tables some 10 times
_SMALL = 100_000_000  # bytes: archives that unpack to less may shrink as much as they like
_NOTE = re.compile(r"^__MACOSX/|(^|/)(\.DS_Store|desktop\.ini)$")  # left by macOS and Windows
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, LZMAError, EOFError, RuntimeError, ValueError)


def extract(archive: str | os.PathLike[str], folder: str | os.PathLike[str], *, progress: bool = True) -> Path:
    """Unpack a zip or tar archive (also tar.gz, .bz2, .xz) into a new folder, and return the folder.

    The folder appears when everything is unpacked.

    Raises:
        DataError: the archive is missing, damaged or refused, which names the member; or the folder exists.
        StorageError: the folder cannot be written.
    """
    archive, folder = Path(archive), Path(folder)
    if not archive.is_file():
        raise DataError(f"no archive {archive}")
    if folder.exists():
        raise DataError(f"{folder} exists: name a new folder for the content of {archive.name}")
    temporary = temporary_beside(folder)
    try:
        with write_guard(folder):
            temporary.mkdir(parents=True)
            if not zipfile.is_zipfile(archive) and not tarfile.is_tarfile(archive):
                raise DataError(f"{archive} is neither zip nor tar: unpack it with the program that made it")
            with zipfile.ZipFile(archive) if zipfile.is_zipfile(archive) else tarfile.open(archive) as source:
                _unpack(source, archive, temporary, progress)
            os.replace(temporary, folder)
    except OSError as error:
        raise DataError(f"{archive} cannot be unpacked to {folder}: {error.strerror or error}") from error
    except _DAMAGED as error:
        raise DataError(f"{archive} is refused, or damaged: {str(error)[:200]}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _unpack(source: zipfile.ZipFile | tarfile.TarFile, archive: Path, folder: Path, progress: bool) -> None:
    from tqdm.auto import tqdm

    zipped, total = isinstance(source, zipfile.ZipFile), 0
    limit = min(MOST_BYTES, max(_SMALL, MOST_TIMES * archive.stat().st_size))
    with tqdm(unit="B", unit_scale=True, disable=not progress, delay=1) as bar:
        for info in source.infolist() if zipped else source:
            name, size = (info.filename, info.file_size) if zipped else (info.name, info.size)
            path, windows = PurePosixPath(name.replace("\\", "/")), PureWindowsPath(name)
            if path.is_absolute() or windows.root or ".." in path.parts:
                raise DataError(f"{archive} holds {name!r}, which leaves the folder: refused")
            total += size
            if total > limit:
                sizes = f"({readable_size(archive.stat().st_size)}) unpacks to more than {readable_size(limit)}"
                raise DataError(f"{archive} {sizes}, at {name!r}: refused as forged to fill the disk")
            if not _NOTE.search(name):
                # Both modules read a member no further than the size that it declares; neither makes a link of a zip's.
                try:
                    source.extract(info, folder) if zipped else source.extract(info, folder, filter="data")
                except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
                    raise DataError(f"{archive} is refused: at {name!r} a file and a folder have one name") from error
            bar.update(size)
