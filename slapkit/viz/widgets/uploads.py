"""Sound files that the reader hands to a widget: received in parts, kept in a folder of our own, gone with it."""

from __future__ import annotations

import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

from slapkit.audio.decode import MEDIA_TYPES
from slapkit.errors import LibraryError
from slapkit.viz.widgets.assets import shown

LARGEST = 200_000_000  # bytes: an hour of CD sound as FLAC
SUFFIXES = set(MEDIA_TYPES)


class Uploads:
    """Files received, by number. Their names are the reader's only in what is shown: on disk they are ours."""

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._names: dict[str, str] = {}
        self._open: dict[str, tuple[Path, int]] = {}  # file being received -> where to, how many bytes in all
        self.files: dict[str, Path] = {}  # key -> complete file

    def receive(self, message: dict[str, Any], part: bytes) -> dict[str, Any]:
        """Take in one part of a file: `{"upload": key, "name": ..., "offset": ..., "size": ...}` and its bytes.

        Raises:
            LibraryError: not a sound file by its name, too large, or parts out of order.
        """
        key, name, offset, size = (message.get(field) for field in ("upload", "name", "offset", "size"))
        if not isinstance(key, str) or not isinstance(name, str) or type(offset) is not int or type(size) is not int:
            raise LibraryError("a part of a sound file came malformed: choose the file again")
        path = self._begin(key, name, size) if offset == 0 else self._open.get(key, (None, 0))[0]
        if path is None or offset != path.stat().st_size or offset + len(part) > size:
            raise LibraryError(f"{shown(name, 80)} came in disorder: choose the file again")
        with path.open("ab") as file:
            file.write(part)
        done = offset + len(part) == size
        if done:
            self.files[key] = path
            del self._open[key]
        return {"type": "upload", "done": done, "name": self._names[key], "key": key}

    def name(self, key: str) -> str:
        """Return what the file was called by the reader."""
        return self._names.get(key, "sound file")

    def _begin(self, key: str, name: str, size: int) -> Path:
        suffix = PurePosixPath(name.replace("\\", "/")).suffix.lower()
        if suffix not in SUFFIXES:
            kinds = ", ".join(sorted(SUFFIXES))
            raise LibraryError(f"{shown(name, 80)} is not a sound file by its name: one of {kinds} is needed")
        if not 0 < size <= LARGEST:
            raise LibraryError(f"{shown(name, 80)} has {size:,} bytes: up to {LARGEST // 10**6} MB are taken")
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="slapkit-sounds-")
        path = Path(self._folder.name) / f"{len(self._names)}{suffix}"
        path.write_bytes(b"")
        self._names[key] = shown(name, 80)
        self._open[key] = path, size
        return path
