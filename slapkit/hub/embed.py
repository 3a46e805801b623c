"""Embedding a whole collection into one Parquet file, on one device or many, stopped and continued at will.

Processes share the folder `<out>.parts/` and nothing else. Each takes the next chunk of files that nobody holds, so one
that dies leaves its chunk to the others; a finished chunk is a Parquet file, named by a hash of all that decides the
result (model, windows, names, sizes, times and captions of the files).

Columns: `id`, `path` (relative to the collection's folder), `modality` ("audio" or "text"), `caption` (null for
audio), `start_s` and `end_s` (s, of the window, or of the file where windows are pooled; null for text), and `z` and
`q`, float32 lists of fixed size and unit norm. Rows keep the order of the collection.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from tqdm.auto import tqdm

from slapkit._cores import available_cores
from slapkit._io import atomic_path, atomic_write_json_lines, locked, read_json_lines
from slapkit.config import require
from slapkit.data import AudioTextDataset, read
from slapkit.data.scan import Failure, Source, scan, sources_of
from slapkit.errors import ConfigError, DataError, short
from slapkit.models.embed import BATCH, Embedded, Embedder, hop_frames, mean_by_clip
from slapkit.models.inference import Model

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 1  # goes up when the same collection would get other rows
CHUNK = 256  # files; what a kill loses at most, for each process
_META = b"slapkit"
_ROWS = 8192  # at least so many rows make a row group, so that readers fetch large pieces


@dataclass(frozen=True)
class Outcome:
    """What became of a call: the result's path, how many files are in it, what failed, the chunks this call made."""

    out: Path
    files: int
    failures: tuple[Failure, ...]
    made: int


def embed_collection(
    model: Model, data: AudioTextDataset | str | Path, out: str | Path, *, pooled: bool = True,
    hop_s: float | None = None, chunk: int = CHUNK, workers: int = 0, progress: bool = True,
) -> Outcome:  # fmt: skip
    """Embed all audio files of a collection, and their captions, into one Parquet file.

    Any number of processes may call this at once; each returns when the file is complete. Killed or stopped, the same
    call goes on, and ends with the same bytes on the same kind of machine with as many threads. Files that cannot be
    used are listed in `<out>.failures.jsonl`, and their captions left out.

    Args:
        data: a data set, the table of one, or a folder of audio files (with a table or without).
        pooled: one row a file, the mean over windows that cover it; else one row a window.
        hop_s: from one window to the next, in s; default: the window's length.
        chunk: files that are kept together. With another value, finished work is done again.
        workers: helper processes that decode; 0 chooses.

    Raises:
        ConfigError, DataError, LibraryError: a setting out of range, `out` is something else, or no audio file.
        StorageError: the disk is full; what was finished is kept.
    """
    out = Path(out)
    _finished(out)
    require(chunk >= 1, "chunk", chunk, "at least 1 file")
    require(hop_s is None or math.isfinite(hop_s), "hop_s", hop_s, "a number of seconds")
    require(workers >= 0, "workers", workers, "at least 0, which chooses")
    hop, audio = hop_frames(model.config.audio, hop_s), model.config.audio
    fingerprint = model.fingerprint() + ("" if model.precision == "no" else f"-{model.precision}")
    settings = {"model": fingerprint, "dim": model.dim, "window": audio.window_frames, "hop": hop}
    settings |= {"hop_s": audio.frontend.hop_s, "pooled": pooled}
    sources, failures = _collect(data)
    folder, made = out.with_name(f"{out.name}.parts"), 0
    chunks = [sources[i : i + chunk] for i in range(0, len(sources), chunk)]
    plan = {folder / f"{_key(part, settings)}.parquet": part for part in chunks}
    result = hashlib.sha256("".join(path.stem for path in plan).encode()).hexdigest()[:32]
    if _finished(out) != result:
        todo = {path: part for path, part in plan.items() if not path.exists()}
        expected = sum(map(len, todo.values()))
        processes = _environ("LOCAL_WORLD_SIZE", "WORLD_SIZE", default=1)  # of this machine, which share its cores
        if not workers and processes > 1:
            workers = max(1, available_cores() // processes)
        bar = tqdm(total=expected, desc="Embedding audio", unit="file", disable=not progress or not todo)
        with bar, Embedder(model, hop=hop, expected=expected, workers=workers) as embedder:
            # What other processes hold is waited for in a second pass, and done here where they died.
            for wait in (None, "Waiting for the last files of other processes"):
                for path, part in todo.items():
                    lock = path.with_suffix(".lock")
                    with contextlib.suppress(BlockingIOError), locked(lock, wait=wait, progress=progress):
                        if not path.exists() and _finished(out) != result:
                            _embed(path, model, part, embedder, settings, bar)
                            made += 1
        with locked(folder / "join.lock", wait="Waiting for another process that writes the result", progress=progress):
            if _finished(out) != result:
                _join(out, list(plan), settings, result, failures)
        shutil.rmtree(folder, ignore_errors=True)
    files = {source.file for source in sources}
    broken = [failure for failure in _listed(out) if failure.file in files]  # the others may be gone by now
    _list(out, [*failures, *broken])
    return Outcome(out, len(sources) - len(broken), _listed(out), made)


def failures_path(out: Path) -> Path:
    """Return where the failures of a result are listed, one JSON object with `file` and `reason` a line."""
    return out.with_name(f"{out.name}.failures.jsonl")


def _listed(out: Path) -> tuple[Failure, ...]:
    return tuple(Failure(**line) for line in read_json_lines(failures_path(out))[0])


def _list(out: Path, failures: Iterable[Failure]) -> None:
    """Keep the list of failures beside the result, unless it is there; without failures there is no file."""
    failures = tuple(sorted(failures, key=lambda failure: (failure.file, failure.reason)))
    if not failures:
        failures_path(out).unlink(missing_ok=True)
    elif failures != _listed(out):
        atomic_write_json_lines(failures_path(out), map(asdict, failures))


def device_of_process(device: str = "auto") -> str:
    """Return the torch device of this process of those that a launcher started: its own GPU, or the CPU. Raise
    `ConfigError` where a GPU is asked for and none is there."""
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device={short(device)}: take 'auto', 'cpu' or 'cuda'")
    count = torch.cuda.device_count() if device != "cpu" and torch.cuda.is_available() else 0
    if device == "cuda" and not count:
        raise ConfigError("device='cuda' but torch sees no GPU: take device='cpu' or 'auto'")
    return f"cuda:{_environ('LOCAL_RANK', 'RANK', default=0) % count}" if count else "cpu"


def _environ(*names: str, default: int) -> int:
    """Return the first of some numbers that a launcher sets."""
    for name in names:
        if name in os.environ:
            require(os.environ[name].isdecimal(), name, os.environ[name], "a whole number")
            return int(os.environ[name])
    return default


def _collect(data: AudioTextDataset | str | Path) -> tuple[list[Source], list[Failure]]:
    """Return the audio files in the order of their ids, and what cannot be used."""
    if not isinstance(data, AudioTextDataset) and Path(data).is_file():
        data = read(data)
    sources, failures = sources_of(data) if isinstance(data, AudioTextDataset) else scan(data)
    if not sources:
        example = f"; {failures[0].file}: {failures[0].reason}" if failures else ""
        raise DataError(f"no audio file to embed in {data}: {len(failures)} cannot be used{example}")
    return sources, failures


def _key(sources: Sequence[Source], settings: dict[str, Any]) -> str:
    files = [[s.id, s.file, s.size, s.mtime_ns, list(s.captions)] for s in sources]
    return hashlib.sha256(json.dumps([FORMAT, settings, files], sort_keys=True).encode()).hexdigest()[:32]


def _embed(
    path: Path, model: Model, sources: Sequence[Source], embedder: Embedder, settings: dict[str, Any], bar: tqdm
) -> None:
    """Write the rows of a chunk as a Parquet file, with the failures in its schema."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    good, failures = [], []
    for source, found in zip(sources, embedder.embed([s.path for s in sources]), strict=True):
        if found.failure is None:
            good.append((source, found))
        else:
            failures.append({"file": source.file, "reason": found.failure})
        bar.update()
    texts = _captions(model, {caption for source, _ in good for caption in source.captions})
    rows = [row for source, found in good for row in _rows(source, found, texts, settings)]
    table = pa.Table.from_pylist(rows, _schema(model.dim).with_metadata({_META: json.dumps(failures)}))
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary)


def _rows(
    source: Source, found: Embedded, texts: dict[str, tuple[np.ndarray, ...]], settings: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield the rows of one file: of its windows, or of their mean, and of its captions."""
    if settings["pooled"]:
        owners = np.zeros(len(found.starts), dtype=np.int64)
        outputs, spans = [mean_by_clip(output, owners, 1) for output in found.outputs], [(0.0, found.duration_s)]
    else:
        # Frames are the middle of their hop, so the last one is the window's end.
        ends = (found.starts + settings["window"] - 1) * settings["hop_s"]
        spans = zip((found.starts * settings["hop_s"]).tolist(), np.minimum(ends, found.duration_s).tolist())
        outputs = found.outputs
    known = {"id": source.id, "path": source.file}
    for (start_s, end_s), z, q in zip(spans, *outputs):
        yield known | {"modality": "audio", "start_s": start_s, "end_s": end_s, "z": z, "q": q}
    for caption in source.captions:
        z, q = texts[caption]
        yield known | {"modality": "text", "caption": caption, "z": z, "q": q}


def _captions(model: Model, captions: Iterable[str]) -> dict[str, tuple[np.ndarray, ...]]:
    """Return `z` and `q` `[D]` of each caption."""
    unique, found = sorted(captions), {}
    for rows, tokens in model.joint.text.encoder.batches(unique, BATCH) if unique else ():
        both = zip(*(output.numpy() for output in model.encode(tokens, "text")))
        found |= {unique[row]: pair for row, pair in zip(rows, both, strict=True)}
    return found


def _schema(dim: int) -> pa.Schema:
    import pyarrow as pa

    vector = pa.list_(pa.field("element", pa.float32(), nullable=False), dim)
    kinds = {"id": pa.string(), "path": pa.string(), "modality": pa.string(), "caption": pa.string()}
    kinds |= {"start_s": pa.float64(), "end_s": pa.float64(), "z": vector, "q": vector}
    return pa.schema([pa.field(n, kind, n in ("caption", "start_s", "end_s")) for n, kind in kinds.items()])


def _join(
    out: Path, chunks: Sequence[Path], settings: dict[str, Any], result: str, failures: Sequence[Failure]
) -> None:
    """Write the rows of all chunks to one file, after the list of failures: its presence says that all is done."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    meta = {"format": FORMAT, "identity": result, "settings": settings}
    schema = _schema(settings["dim"]).with_metadata({_META: json.dumps(meta)})
    options = {"compression": "zstd", "use_dictionary": ["id", "path", "modality", "caption"]}
    parts, failed = [], list(failures)
    with atomic_path(out) as temporary:
        with pq.ParquetWriter(temporary, schema, write_page_checksum=True, **options) as writer:
            for path in chunks:
                parts.append(pq.ParquetFile(path).read())
                failed += [Failure(**line) for line in json.loads(parts[-1].schema.metadata[_META])]
                rows = sum(map(len, parts))
                if rows >= _ROWS or (path is chunks[-1] and rows):
                    writer.write_table(pa.concat_tables(parts), row_group_size=rows)
                    parts = []
        _list(out, failed)


def _finished(out: Path) -> str | None:
    """Return the identity of the result at `out`; None where there is none. Raise `ConfigError` where something else
    lies there, which must not be overwritten."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not out.exists():
        return None
    try:
        return json.loads((pq.read_schema(out).metadata or {})[_META])["identity"]
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{out} exists and holds no embeddings of this command: name another file") from error
