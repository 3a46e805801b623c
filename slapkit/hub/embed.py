"""Embedding a whole collection into one Parquet file, on one device or many, stopped and continued at will.

Processes share the folder `<out>.parts/` and nothing else. Each takes the next chunk of files that nobody holds, so one
that dies leaves its chunk to the others; finished chunks are kept in a `VectorStore`, under a name made of all that
decides the result (model, windows, names, sizes, times and captions of the files).

Columns: `id`, `path` (relative to the collection's folder), `modality` ("audio" or "text"), `caption` (null for
audio), `start_s` and `end_s` (s, of the window, or of the file where windows are pooled; null for text), and `z` and
`q`, float32 lists of fixed size and unit norm. Rows keep the order of the collection.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from tqdm.auto import tqdm

from slapkit._io import atomic_path, atomic_write_json_lines, available_cores, locked, read_json_lines, size_and_time
from slapkit.config import require
from slapkit.data import AudioTextDataset, read
from slapkit.data.scan import Failure, Source, scan
from slapkit.errors import ConfigError, DataError, short
from slapkit.hub.store import VectorStore
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


class _Chunk(NamedTuple):
    sources: tuple[Source, ...]
    key: str


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

    Raises:
        ConfigError, DataError, LibraryError: a setting out of range, `out` is something else, or no audio file.
        StorageError: the disk is full; what was finished is kept.
    """
    out = Path(out)
    _finished(out)
    require(chunk >= 1, "chunk", chunk, "at least 1 file")
    hop, audio = hop_frames(model.config.audio, hop_s), model.config.audio
    fingerprint = model.fingerprint() + ("" if model.precision == "no" else f"-{model.precision}")
    settings = {"model": fingerprint, "dim": model.dim, "window": audio.window_frames, "hop": hop}
    settings |= {"hop_s": audio.frontend.hop_s, "pooled": pooled}
    sources, failures = _collect(data)
    plan = [_chunk(sources[i : i + chunk], settings) for i in range(0, len(sources), chunk)]
    result = hashlib.sha256("".join(one.key for one in plan).encode()).hexdigest()[:32]
    folder, made = out.with_name(f"{out.name}.parts"), 0
    if _finished(out) != result:
        store = VectorStore(folder, 2 * model.dim)
        todo = [one for one in plan if one.key not in store.items]
        expected = sum(len(one.sources) for one in todo)
        processes = _environ("LOCAL_WORLD_SIZE", "WORLD_SIZE", default=1)  # of this machine, which share its cores
        if not workers and processes > 1:
            workers = max(1, available_cores() // processes)
        bar = tqdm(total=expected, desc="Embedding audio", unit="file", disable=not progress or not todo)
        with bar, Embedder(model, hop=hop, expected=expected, workers=workers) as embedder:
            # What other processes hold is waited for in a second pass, and done here where they died.
            for wait in (None, "Waiting for the last files of other processes"):
                for one in todo:
                    with contextlib.suppress(BlockingIOError):
                        with locked(folder / f"{one.key}.lock", wait=wait, progress=progress):
                            store.reload()
                            if one.key not in store.items and _finished(out) != result:
                                item, vectors = _embed(model, one, embedder, settings, bar)
                                with store.writing(progress=progress):
                                    store.append([(item, vectors)])
                                made += 1
        wait = "Waiting for another process that writes the result"
        with locked(folder / "join.lock", wait=wait, progress=progress):
            if _finished(out) != result:
                _join(out, store, plan, settings, result, failures)
        shutil.rmtree(folder, ignore_errors=True)
    listed = tuple(Failure(**line) for line in read_json_lines(failures_path(out))[0])
    failed = {failure.file for failure in listed}
    return Outcome(out, sum(source.file not in failed for source in sources), listed, made)


def failures_path(out: Path) -> Path:
    """Return where the failures of a result are listed, one JSON object with `file` and `reason` a line."""
    return out.with_name(f"{out.name}.failures.jsonl")


def device_of_process(device: str = "auto") -> str:
    """Return the torch device of this process of those that a launcher started: its own GPU, or the CPU.

    Raises:
        ConfigError: a GPU is asked for and none is there.
    """
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
    if isinstance(data, AudioTextDataset):
        known = {clip.id for clip in data}  # a remark about a row that is in use is no failure
        unused = [p for p in data.problems if p.value not in known and p.value.rsplit(":", 1)[0] not in known]
        sources, failures = [], [Failure(p.value, f"line {p.row} of the table: {p.reason}") for p in unused]
        for clip in data:
            try:
                stat = size_and_time(clip.path)
            except OSError as error:
                failures.append(Failure(clip.id, f"the file cannot be opened: {error.strerror}"))
                continue
            sources.append(Source(clip.id, clip.id, clip.path, *stat, captions=clip.captions))
    else:
        sources, failures = scan(data)
    if not sources:
        example = f"; {failures[0].file}: {failures[0].reason}" if failures else ""
        raise DataError(f"no audio file to embed in {data}: {len(failures)} cannot be used{example}")
    return sources, sorted(failures, key=lambda failure: failure.file)


def _chunk(sources: Sequence[Source], settings: dict[str, Any]) -> _Chunk:
    files = [[s.id, s.file, s.size, s.mtime_ns, list(s.captions)] for s in sources]
    text = json.dumps([FORMAT, settings, files], sort_keys=True)
    return _Chunk(tuple(sources), hashlib.sha256(text.encode()).hexdigest()[:32])


def _embed(
    model: Model, chunk: _Chunk, embedder: Embedder, settings: dict[str, Any], bar: tqdm
) -> tuple[dict[str, Any], np.ndarray]:
    """Return a chunk's item of the store, its rows and failures, and `z` beside `q`, `[rows, 2 D]`, of the rows."""
    audio: dict[str, Embedded] = {}
    for source, found in zip(chunk.sources, embedder.embed([s.path for s in chunk.sources]), strict=True):
        audio[source.id] = found
        bar.update()
    failures = [[s.file, audio[s.id].failure] for s in chunk.sources if audio[s.id].failure is not None]
    good = [source for source in chunk.sources if audio[source.id].failure is None]
    texts = _captions(model, {caption for source in good for caption in source.captions})
    rows, vectors = [], [np.zeros((0, 2 * model.dim), np.float32)]
    for source in good:
        found = audio[source.id]
        if settings["pooled"]:
            owners = np.zeros(len(found.starts), dtype=np.int64)
            outputs, spans = [mean_by_clip(output, owners, 1) for output in found.outputs], [(0.0, found.duration_s)]
        else:
            # Frames are the middle of their hop, so the last one is the window's end.
            ends = (found.starts + settings["window"] - 1) * settings["hop_s"]
            spans = zip((found.starts * settings["hop_s"]).tolist(), np.minimum(ends, found.duration_s).tolist())
            outputs = found.outputs
        rows += [[source.id, source.file, "audio", None, start_s, end_s] for start_s, end_s in spans]
        rows += [[source.id, source.file, "text", caption, None, None] for caption in source.captions]
        vectors += [np.concatenate(outputs, axis=1), *(texts[caption] for caption in source.captions)]
    return {"id": chunk.key, "rows": rows, "failures": failures}, np.concatenate(vectors)


def _captions(model: Model, captions: Iterable[str]) -> dict[str, np.ndarray]:
    """Return `z` beside `q`, `[1, 2 D]`, of each caption."""
    unique, found = sorted(captions), {}
    for rows, tokens in model.joint.text.encoder.batches(unique, BATCH) if unique else ():
        both = torch.cat(model.encode(tokens, "text"), dim=1).numpy()
        found |= {unique[row]: vector[None] for row, vector in zip(rows, both, strict=True)}
    return found


def _schema(dim: int) -> pa.Schema:
    import pyarrow as pa

    vector = pa.list_(pa.field("element", pa.float32(), nullable=False), dim)
    kinds = {"id": pa.string(), "path": pa.string(), "modality": pa.string(), "caption": pa.string()}
    kinds |= {"start_s": pa.float64(), "end_s": pa.float64(), "z": vector, "q": vector}
    return pa.schema([pa.field(n, kind, n in ("caption", "start_s", "end_s")) for n, kind in kinds.items()])


def _join(
    out: Path, store: VectorStore, plan: Sequence[_Chunk], settings: dict[str, Any], result: str,
    failures: Sequence[Failure],
) -> None:  # fmt: skip
    """Write the rows of all chunks to one file, after the list of failures: its presence says that all is done."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    dim = settings["dim"]
    meta = {"format": FORMAT, "identity": result, "settings": settings}
    schema = _schema(dim).with_metadata({_META: json.dumps(meta)})
    options = {"compression": "zstd", "use_dictionary": ["id", "path", "modality", "caption"]}
    rows, vectors, failed = [], [], [asdict(failure) for failure in failures]
    with atomic_path(out) as temporary:
        with pq.ParquetWriter(temporary, schema, write_page_checksum=True, **options) as writer:
            for chunk in plan:
                item = store.items[chunk.key]
                rows += item["rows"]
                vectors.append(store.vectors_of(item["first"], item["windows"]))
                failed += [{"file": file, "reason": reason} for file, reason in item["failures"]]
                if len(rows) >= _ROWS or (chunk is plan[-1] and rows):
                    both = np.concatenate(vectors)
                    columns = [pa.array(values, field.type) for values, field in zip(zip(*rows), schema)]
                    for half, field in ((both[:, :dim], schema.field("z")), (both[:, dim:], schema.field("q"))):
                        flat = pa.array(half.ravel(), pa.float32())
                        columns.append(pa.FixedSizeListArray.from_arrays(flat, type=field.type))
                    writer.write_table(pa.Table.from_arrays(columns, schema=schema), row_group_size=len(rows))
                    rows, vectors = [], []
        failures_path(out).unlink(missing_ok=True)
        if failed:
            atomic_write_json_lines(failures_path(out), sorted(failed, key=lambda one: (one["file"], one["reason"])))


def _finished(out: Path) -> str | None:
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
