"""Making one clip, in a worker process: draw, arrange, render, check, encode, write."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from slapkit._io import atomic_write_bytes
from slapkit.data.scores.arrange import arrange
from slapkit.data.scores.config import CorpusConfig
from slapkit.data.scores.excerpt import Unfit
from slapkit.data.scores.render import encode, render
from slapkit.data.scores.score import Score
from slapkit.data.scores.works import Work

_DRAWS = 5  # draws from each candidate work before the next one is tried


@dataclasses.dataclass(frozen=True)
class ClipTask:
    """One clip to make; `works` are candidates (work, its notes, its group), of which the first good one is used."""

    number: int
    split: str
    works: tuple[tuple[Work, Path, str], ...]
    folder: Path
    soundfont: Path
    config: CorpusConfig

    @property
    def file_name(self) -> str:
        """Path of the audio inside the corpus folder."""
        return f"audio/{self.split}/{self.number:05d}.flac"


@functools.cache
def _soundfont(path: Path) -> bytes:
    return path.read_bytes()


def make_clip(task: ClipTask) -> tuple[dict[str, Any] | None, list[str]]:
    """Write the audio of a clip; return (facts, reasons of rejected draws), facts None when no draw was good.

    Raises:
        StorageError: the file cannot be written.
    """
    config = task.config
    rejected: list[str] = []
    for candidate, (work, path, group) in enumerate(task.works):
        score = Score.read(path)
        for draw in range(_DRAWS):
            rng = np.random.default_rng([config.seed, 5, task.number, candidate, draw])
            try:
                arrangement = arrange(score, rng, clip_s=config.clip_s, style=work.style)
                wave = render(arrangement, _soundfont(task.soundfont), clip_s=config.clip_s)
            except Unfit as unfit:
                rejected.append(str(unfit))
                continue
            data = encode(wave, config.sample_rate)
            atomic_write_bytes(task.folder / task.file_name, data)
            facts = {
                "file_name": task.file_name,
                "split": task.split,
                "work": work.id,
                "title": work.title,
                "collection": work.collection,
                "group": group,
                **arrangement.facts,
                "duration_s": config.clip_s,
                "peak_db": round(20 * float(np.log10(np.abs(wave).max())), 2),
                "rms_db": round(10 * float(np.log10(np.mean(wave**2))), 2),
                "bytes": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
            }
            return facts, rejected
    return None, rejected
