"""Few large files instead of many small ones: plain tar archives of sounds, with an index of what lies where.

    <folder>/shards/00000.tar ...   the training sounds, uncompressed, in shuffled order: any tar program reads them
    <folder>/shards.json            each member's archive, offset and size
    <folder>/metadata.jsonl         the table: captions, splits, groups and facts
    <folder>/held/...               sounds of all other splits, as plain files, for evaluation reads them by path

A sound in a shard is named by a path that goes on inside the archive: `shards/00000.tar/audio/a.ogg`.
"""

from __future__ import annotations

import functools
import io
import json
import os
import re
import shutil
import tarfile
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np

from slapkit._io import atomic_path, atomic_write_json, write_guard
from slapkit.data.dataset import AudioTextDataset, Clip
from slapkit.errors import AudioError, DataError

FORMAT = 1
SHARD_BYTES = 1_000_000_000
_INSIDE = re.compile(r"(?P<shard>.*/shards/\d{5,}\.tar)/(?P<id>.+)", re.DOTALL)


def write_shards(
    dataset: AudioTextDataset,
    folder: str | os.PathLike[str],
    *,
    split: str = "train",
    shard_bytes: int = SHARD_BYTES,
    seed: int = 0,
    progress: bool = True,
) -> AudioTextDataset:
    """Pack a data set; return it as it reads from there. An interrupted call leaves no index and can be repeated.

    Args:
        folder: an empty or new folder.
        split: the sounds of this split go into shards.
        shard_bytes: a shard is closed when it has so many bytes.
        seed: of the order in which sounds are packed.

    Raises:
        DataError: the split is missing, the folder holds something else, or a file vanished.
        StorageError: the disk is full.
    """
    from tqdm.auto import tqdm

    folder, packed = Path(folder), {clip.id for clip in dataset.split(split)}
    if (folder / "shards.json").exists() or (folder / "metadata.jsonl").exists():
        raise DataError(f"{folder} holds a data set already: name a new folder")
    clips = [dataset.clips[i] for i in np.random.default_rng(seed).permutation(len(dataset))]
    members: dict[str, list[Any]] = {}
    shard = _Shard(folder / "shards", shard_bytes, members)
    for clip in tqdm(clips, "Packing sounds", unit="file", disable=not progress):
        if clip.id in packed:
            shard.add(clip)
        else:
            place = folder / "held" / clip.id
            with write_guard(place):
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(clip.path, place)
    shard.close()
    _index.cache_clear()
    rows = [
        {"id": c.id, "captions": list(c.captions), "facts": c.facts, "split": c.split, "group": c.group}
        for c in dataset.clips
    ]
    with atomic_path(folder / "metadata.jsonl") as temporary:
        with open(temporary, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    index = {"format": FORMAT, "name": dataset.name, "shards": shard.number, "members": members}
    atomic_write_json(folder / "shards.json", index, indent=None)  # last, for it says that all is there
    return read_shards(folder)


class _Shard:
    """The shard being written, and those before it."""

    def __init__(self, folder: Path, limit: int, members: dict[str, list[Any]]) -> None:
        self.folder, self.limit, self.members, self.number = folder, limit, members, 0
        self._file: tarfile.TarFile | None = None

    def add(self, clip: Clip) -> None:
        path = self.folder / f"{self.number:05d}.tar"
        try:
            content = clip.path.read_bytes()
        except OSError as error:
            raise DataError(f"{clip.path} cannot be read ({error.strerror}): it changed after the table") from error
        with write_guard(path, needed=len(content)):
            if self._file is None:
                self.folder.mkdir(parents=True, exist_ok=True)
                self._file = tarfile.open(path, "w", format=tarfile.PAX_FORMAT)
            header = tarfile.TarInfo(clip.id)  # owner, mode and time stay at their defaults: the same bytes every time
            header.size = len(content)
            self._file.addfile(header, io.BytesIO(content))
            end = -(-len(content) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
            self.members[clip.id] = [self.number, self._file.offset - end, len(content)]
            self._file.members.clear()  # kept by tarfile for a table of contents that nobody asks for
            if self._file.offset >= self.limit:
                self.close()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file, self.number = None, self.number + 1


def read_shards(folder: str | os.PathLike[str]) -> AudioTextDataset:
    """Read a packed data set, for streamed training: nothing else looks into shards.

    Raises:
        DataError: there is none, it is incomplete, or a name in it leaves its folder.
    """
    folder = Path(folder)
    index = _index(folder)
    clips = []
    try:
        with open(folder / "metadata.jsonl", encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                row = json.loads(line)
                if _leaves(row["id"]):
                    raise DataError(f"{folder / 'metadata.jsonl'}, line {number}: {row['id']!r} leaves the folder")
                place = index["members"].get(row["id"])
                path = folder / "held" / row["id"] if place is None else _shard_path(folder, place[0]) / row["id"]
                captions = tuple(row["captions"])
                clips.append(Clip(row["id"], path, captions, row["facts"], row["split"], row["group"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder / 'metadata.jsonl'} cannot be read ({error}): pack the data set again") from error
    if missing := [p for p in (_shard_path(folder, n) for n in range(index["shards"])) if not p.is_file()]:
        raise DataError(f"{folder} lacks {len(missing)} of {index['shards']} shards, {missing[0].name} for one")
    return AudioTextDataset(folder, clips, name=index["name"])


def _leaves(id: str) -> bool:
    path = PurePosixPath(id)
    return not id or path.is_absolute() or ".." in path.parts or "\0" in id or "\\" in id


def _shard_path(folder: Path, number: int) -> Path:
    return folder / "shards" / f"{int(number):05d}.tar"


@functools.lru_cache(maxsize=4)
def _index(folder: Path) -> dict[str, Any]:
    path = folder / "shards.json"
    try:
        index = json.loads(path.read_text("utf-8"))
        if index["format"] != FORMAT:
            raise DataError(f"{path} has format {index['format']!r}, and this version reads format {FORMAT}")
        if not isinstance(index["members"], dict) or not isinstance(index["shards"], int):
            raise ValueError("members and shards needed")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"no packed data set at {folder} ({error}): pack one with write_shards") from error
    return index


def member(path: str | os.PathLike[str]) -> BinaryIO | None:
    """Return the content of a sound in a shard, or None where `path` does not lead into one.

    Raises:
        AudioError: the shard is cut off, or the index does not fit it.
    """
    found = _INSIDE.fullmatch(Path(path).as_posix())
    if found is None or not os.path.isfile(found["shard"]):
        return None
    shard, id = Path(found["shard"]), found["id"]
    place = _index(shard.parent.parent)["members"].get(id)
    if place is None or _shard_path(shard.parent.parent, place[0]) != shard:
        raise AudioError(f"{shard} holds no {id!r}, says its index: pack the data set again")
    try:
        with open(shard, "rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(place[1])
            content = file.read(min(place[2], end))
    except (OSError, ValueError, TypeError) as error:
        raise AudioError(f"{shard} cannot be read at {id!r}: {error}") from error
    if len(content) != place[2]:
        raise AudioError(f"{shard} is cut off: {id!r} ends after {len(content)} of {place[2]} bytes")
    return io.BytesIO(content)
