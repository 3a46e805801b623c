"""Writing a data set so that `slapkit.data.read` and others read it."""

from pathlib import Path
from typing import Any

from slapkit._io import atomic_write_json_lines
from slapkit.data.dataset import AudioTextDataset, Clip
from slapkit.data.frames import cells
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
    return {"file_name": name, **cells(clip)}
