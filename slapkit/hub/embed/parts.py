"""Parquet files of embeddings: one for each finished chunk, and the one that they are joined into.

Columns: `id`, `path` (relative to the collection's folder), `modality` ("audio" or "text"), `caption` (null for
audio), `start_s` and `end_s` (s, of the window, or of the sound where windows are pooled; null for text), and `z` and
`q`, float32 lists of fixed size and unit norm. Pages carry checksums, and rows stand in the order of the collection.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slapkit._io import atomic_path, atomic_write_text, write_guard
from slapkit.data.scan import Failure, Source
from slapkit.errors import ConfigError, StorageError
from slapkit.hub.embed.plan import FORMAT, Chunk, Settings

if TYPE_CHECKING:
    import pyarrow as pa

_META = b"slapkit"
_ROWS = 8192  # at least so many rows make a row group, so that readers fetch large pieces


@dataclass
class Rows:
    """Rows being gathered, column by column."""

    id: list[str]
    path: list[str]
    modality: list[str]
    caption: list[str | None]
    start_s: list[float | None]
    end_s: list[float | None]
    z: list[np.ndarray]
    q: list[np.ndarray]

    @classmethod
    def none(cls) -> Rows:
        return cls([], [], [], [], [], [], [], [])

    def add(
        self,
        source: Source,
        modality: str,
        z: np.ndarray,
        q: np.ndarray,
        *,
        caption: str | None = None,
        start_s: float | None = None,
        end_s: float | None = None,
    ) -> None:
        """Add the row of a window, a sound or a caption of `source`."""
        values = [source.id, source.file, modality, caption, start_s, end_s, z, q]
        for column, value in zip(fields(self), values, strict=True):
            getattr(self, column.name).append(value)


def schema(dim: int) -> pa.Schema:
    """Return the columns and their types."""
    import pyarrow as pa

    vector = pa.list_(pa.field("element", pa.float32(), nullable=False), dim)
    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("path", pa.string(), nullable=False),
            pa.field("modality", pa.string(), nullable=False),
            pa.field("caption", pa.string()),
            pa.field("start_s", pa.float64()),
            pa.field("end_s", pa.float64()),
            pa.field("z", vector, nullable=False),
            pa.field("q", vector, nullable=False),
        ]
    )


def _table(rows: Rows, settings: Settings) -> pa.Table:
    import pyarrow as pa

    columns = schema(settings.dim)
    arrays = []
    for field in columns:
        values = getattr(rows, field.name)
        if field.name in ("z", "q"):
            flat = np.concatenate([np.zeros(0, np.float32), *values])
            arrays.append(pa.FixedSizeListArray.from_arrays(pa.array(flat, pa.float32()), type=field.type))
        else:
            arrays.append(pa.array(values, field.type))
    return pa.Table.from_arrays(arrays, schema=columns)


def _write_options() -> dict[str, Any]:
    words = ["id", "path", "modality", "caption"]
    return {"compression": "zstd", "use_dictionary": words, "write_page_checksum": True}


class _Damaged(Exception):
    """A part that cannot be read."""

    def __init__(self, path: Path) -> None:
        self.path = path


class Parts:
    """The folder of finished chunks beside the result."""

    def __init__(self, out: Path, settings: Settings) -> None:
        self.out, self.settings = out, settings
        self.folder = out.with_name(f"{out.name}.parts")

    def path(self, chunk: Chunk) -> Path:
        return self.folder / f"{chunk.key}.parquet"

    def write(self, chunk: Chunk, rows: Rows, failures: Sequence[Failure]) -> None:
        """Keep a finished chunk, in one step.

        Raises:
            StorageError: the disk is full or does not let us.
        """
        import pyarrow.parquet as pq

        meta = {"format": FORMAT, "key": chunk.key, "failures": [asdict(failure) for failure in failures]}
        table = _table(rows, self.settings).replace_schema_metadata({_META: json.dumps(meta)})
        with atomic_path(self.path(chunk), needed=table.nbytes) as temporary:
            pq.write_table(table, temporary, **_write_options())

    def read(self, chunk: Chunk) -> tuple[pa.Table, list[Failure]] | None:
        """Return the rows and failures of a finished chunk; None where it is missing or damaged."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(self.path(chunk), page_checksum_verification=True)
            meta = json.loads(table.schema.metadata[_META])
            if meta["key"] != chunk.key or not table.schema.equals(schema(self.settings.dim)):
                return None
            return table, [Failure(**failure) for failure in meta["failures"]]
        except (OSError, pa.ArrowException, ValueError, KeyError, TypeError):
            return None

    def missing(self, plan: Sequence[Chunk]) -> int:
        """Return how many chunks are not there."""
        return sum(not self.path(chunk).is_file() for chunk in plan)

    def clear(self) -> None:
        """Remove all parts."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def join(self, plan: Sequence[Chunk], result: str, failures: Sequence[Failure]) -> bool:
        """Make one file of all chunks and list the failures beside it.

        Nothing keeps two processes from joining at the same time: both write the same bytes. Parts that turn out to
        be damaged are removed, to be made again, and False is returned.
        """
        listed = list(failures)
        joined = self.folder / "joined.parquet"
        try:
            with atomic_path(joined) as temporary:
                self._concatenate(plan, result, temporary, listed)
        except _Damaged as found:
            found.path.unlink(missing_ok=True)
            return False
        self._put(joined, listed)
        return True

    def _concatenate(self, plan: Sequence[Chunk], result: str, path: Path, failures: list[Failure]) -> None:
        """Write the rows of all chunks to `path`, and add their failures to `failures`."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        meta = {"format": FORMAT, "identity": result, "settings": self.settings.to_dict()}
        columns = schema(self.settings.dim).with_metadata({_META: json.dumps(meta)})
        pending: list[pa.Table] = []
        with pq.ParquetWriter(path, columns, **_write_options()) as writer:
            for number, chunk in enumerate(plan):
                found = self.read(chunk)
                if found is None:
                    raise _Damaged(self.path(chunk))
                pending.append(found[0].replace_schema_metadata(columns.metadata))
                failures += found[1]
                if sum(len(table) for table in pending) >= _ROWS or number == len(plan) - 1:
                    whole = pa.concat_tables(pending)
                    writer.write_table(whole, row_group_size=max(1, len(whole)))
                    pending = []

    def _put(self, joined: Path, failures: Sequence[Failure]) -> None:
        """Give the joined file its name, after the list of failures, for its presence says that all is done."""
        lines = [json.dumps(asdict(f), ensure_ascii=False) for f in sorted(failures, key=lambda f: (f.file, f.reason))]
        if lines:
            atomic_write_text(failures_path(self.out), "".join(line + "\n" for line in lines))
        else:
            failures_path(self.out).unlink(missing_ok=True)
        with write_guard(self.out):
            os.replace(joined, self.out)


def failures_path(out: Path) -> Path:
    """Return where the failures of a result are listed, one JSON object with `file` and `reason` a line."""
    return out.with_name(f"{out.name}.failures.jsonl")


def finished(out: Path) -> str | None:
    """Return the identity of the result at `out`; None where there is none.

    Raises:
        ConfigError: something else lies there, which must not be overwritten.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not out.exists():
        return None
    try:
        return json.loads((pq.read_schema(out).metadata or {})[_META])["identity"]
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{out} exists and holds no embeddings of this command: name another file") from error


def read_failures(out: Path) -> list[Failure]:
    """Return the failures listed beside a result.

    Raises:
        StorageError: the list is damaged.
    """
    path = failures_path(out)
    if not path.is_file():
        return []
    try:
        return [Failure(**json.loads(line)) for line in path.read_text("utf-8").splitlines()]
    except (OSError, ValueError, TypeError) as error:
        raise StorageError(f"{path} cannot be read ({error}): delete it and embed again") from error
