"""What is to be embedded, cut into chunks that do not depend on how many processes share them.

A chunk is named by all that decides its result: the model, how sounds are windowed, and the names, sizes, times and
captions of its sounds. So a finished chunk is found again after a kill, under any number of processes, and never
mistaken for that of another model or of sounds that changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slapkit.config import Config, require
from slapkit.data import AudioTextDataset, read
from slapkit.data.scan import Failure, Source, scan
from slapkit.errors import DataError

FORMAT = 1


@dataclass(frozen=True)
class Settings(Config):
    """What is asked of the embeddings. `model` is the model's fingerprint; `hop` counts frames between windows; with
    `pooled` a sound has one row, the mean over its windows, else one for each window."""

    model: str
    dim: int
    window: int
    hop: int
    hop_s: float
    pooled: bool = True

    def check(self) -> None:
        require(1 <= self.hop <= self.window, "hop", self.hop, f"1 to the window's {self.window} frames")


@dataclass(frozen=True)
class Chunk:
    """Some sounds that are embedded and kept together; `key` names them and all that decides their embeddings."""

    sources: tuple[Source, ...]
    key: str


def collect(data: AudioTextDataset | str | Path) -> tuple[list[Source], list[Failure]]:
    """Return the sounds in the order of their ids, and what cannot be used.

    Args:
        data: a data set, the table of one, or a folder of sounds (with a table or without).

    Raises:
        DataError: nothing is there, or no sound is in it.
        LibraryError: the folder is not there.
    """
    if not isinstance(data, AudioTextDataset) and Path(data).is_file():
        data = read(data)
    if isinstance(data, AudioTextDataset):
        sources, failures = [], [Failure(p.value, f"line {p.row} of the table: {p.reason}") for p in data.problems]
        known = {clip.id for clip in data}  # a remark about a row that is in use is no failure
        failures = [f for f in failures if f.file not in known and f.file.rsplit(":", 1)[0] not in known]
        for clip in data:
            try:
                info = clip.path.stat()
            except OSError as error:
                failures.append(Failure(clip.id, f"the file cannot be opened: {error.strerror}"))
                continue
            sources.append(Source(clip.id, clip.id, clip.path, info.st_size, info.st_mtime_ns, captions=clip.captions))
    else:
        sources, failures = scan(data)
    if not sources:
        first = (
            f": {len(failures)} cannot be used, such as {failures[0].file}, {failures[0].reason}" if failures else ""
        )
        raise DataError(f"no sound to embed in {data}{first}")
    return sources, sorted(failures, key=lambda failure: failure.file)


def chunks(sources: Sequence[Source], settings: Settings, size: int) -> list[Chunk]:
    """Cut sounds into chunks of `size`, the last one smaller."""
    require(size >= 1, "chunk", size, "at least 1 sound")
    return [_chunk(tuple(sources[i : i + size]), settings) for i in range(0, len(sources), size)]


def _chunk(sources: tuple[Source, ...], settings: Settings) -> Chunk:
    sounds = [[s.id, s.file, s.size, s.mtime_ns, list(s.captions)] for s in sources]
    text = json.dumps([FORMAT, settings.to_dict(), sounds], sort_keys=True)
    return Chunk(sources, hashlib.sha256(text.encode()).hexdigest()[:32])


def identity(plan: Sequence[Chunk]) -> str:
    """Return 32 hex digits that name the whole result."""
    return hashlib.sha256("".join(chunk.key for chunk in plan).encode()).hexdigest()[:32]
