"""Writing a data set's table, so that splits made here are the splits that every notebook reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slapkit._io import atomic_write_json_lines
from slapkit.data.dataset import AudioTextDataset, Clip, plain
from slapkit.data.reader import group_of
from slapkit.errors import DataError


def write_table(dataset: AudioTextDataset, path: str | Path | None = None) -> Path:
    """Write captions, splits, groups and facts as JSON Lines, one row for each clip, and return the path.

    `read` gives the same data set again. It prefers `metadata.jsonl` to a `metadata.csv` beside it, which stays.

    Args:
        dataset: what to write.
        path: of the table; default: `metadata.jsonl` in the data set's folder. Elsewhere it is read by
            `read(folder, table=path)`.

    Raises:
        DataError: the table exists already, or a sound lies outside the data set's folder.
        StorageError: it cannot be written.
    """
    path = dataset.root / "metadata.jsonl" if path is None else Path(path)
    if path.exists():
        raise DataError(f"{path} exists already: move it away, or name another table")
    return atomic_write_json_lines(path, [_row(dataset, clip) for clip in dataset])


def _row(dataset: AudioTextDataset, clip: Clip) -> dict[str, Any]:
    """Return the row of which `read` makes this clip."""
    try:
        name = clip.path.relative_to(dataset.root).as_posix()
    except ValueError:
        raise DataError(f"{clip.path} lies outside {dataset.root}: a table names sounds of its own folder") from None
    row = {"file_name": name, "captions": list(clip.captions), "split": clip.split}
    group = {} if group_of(clip.facts, clip.id) == clip.group else {"group": clip.group}
    return row | {key: value for key, value in plain(clip.facts).items() if key not in row} | group
