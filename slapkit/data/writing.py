"""Writing a data set so that `slapkit.data.read` and others read it."""

import contextlib
import io
import json
import re
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

from slapkit._io import as_file, atomic_path, atomic_write_json_lines, sync_file
from slapkit.config import require
from slapkit.data.dataset import AudioTextDataset, Clip
from slapkit.data.frames import cells
from slapkit.data.tables import CAPTION_COLUMNS
from slapkit.errors import DataError


def write_table(dataset: AudioTextDataset, path: str | Path | None = None) -> Path:
    """Write captions, splits, groups and facts as JSON Lines, one row for each clip, and return the path.

    `read` gives the same data set again. By default the table is `metadata.jsonl` in the data set's folder, which is
    preferred to a `metadata.csv` beside it; elsewhere it is read by `read(folder, table=path)`.

    Raises:
        DataError: the table exists already or is not called `.jsonl`, or a sound is in a tar or outside the data set's
            folder.
        StorageError: it cannot be written.
    """
    path = dataset.root / "metadata.jsonl" if path is None else Path(path)
    if path.suffix.lower() != ".jsonl":
        raise DataError(f"{path} is no name for JSON Lines, and would not be read: call it {path.stem}.jsonl")
    if path.exists():
        raise DataError(f"{path} exists already: move it away, or name another table")
    return atomic_write_json_lines(path, [_row(dataset, clip) for clip in dataset])


def _row(dataset: AudioTextDataset, clip: Clip) -> dict[str, Any]:
    """Return the row of which `read` makes this clip."""
    try:
        name = clip.path.absolute().relative_to(dataset.root.absolute()).as_posix()
    except ValueError:
        raise DataError(f"{clip.path} lies outside {dataset.root}: a table names sounds of its own folder") from None
    if not clip.path.parent.is_dir():
        raise DataError(f"{clip.path} lies in a tar, or is gone: a table names files, so use write_webdataset")
    return {"file_name": name, **cells(clip)}


def write_webdataset(dataset: AudioTextDataset, folder: str | Path, *, clips_per_tar: int = 1000) -> list[Path]:
    """Write a data set as WebDataset, tars such as `train-000000.tar`, all or none, and return their paths.

    A sample is the file of the sound as it is, and JSON with the captions as `text` (which CLAP's training reads), the
    split, the group and the facts. `slapkit.data.read` gives the same clips again; `webdataset` reads the tars, and so
    does `datasets` where all sounds have one format.

    Raises:
        DataError: a sound is gone, or tars are there already.
        StorageError: a tar cannot be written.
    """
    require(clips_per_tar > 0, "clips_per_tar", clips_per_tar, "1 or more")
    folder = Path(folder)
    if any(folder.rglob("*.tar")):
        raise DataError(f"{folder} holds tars already: name a new folder")
    dataset.audio_hashes()  # raises for what is gone
    paths = []
    counts: Counter[str] = Counter()  # of tars, by a name that several splits may share
    with contextlib.ExitStack() as whole:  # a part of them would be read as all
        for split, clips in dataset.by_split().items():
            name = re.sub(r"[^\w-]+", "-", split)
            for start in range(0, len(clips), clips_per_tar):
                paths.append(folder / f"{name}-{counts[name]:06d}.tar")
                counts[name] += 1
                temporary = whole.enter_context(atomic_path(paths[-1]))
                with tarfile.open(temporary, "w") as tar:
                    for number, clip in enumerate(clips[start : start + clips_per_tar], start):
                        _add(tar, f"{number:09d}", clip)
                sync_file(temporary)
    return paths


def _add(tar: tarfile.TarFile, key: str, clip: Clip) -> None:
    row = cells(clip, *CAPTION_COLUMNS)
    words = json.dumps({"text": row.pop("captions"), **row}, ensure_ascii=False).encode()
    with as_file(clip.path) as file:
        for suffix, data in ((clip.path.suffix.lower(), Path(file).read_bytes()), (".json", words)):
            info = tarfile.TarInfo(key + suffix)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
