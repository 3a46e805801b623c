"""Making one clip, in a worker process: draw, arrange, render, check, encode, write."""

import dataclasses
import functools
import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from slapkit._io import atomic_write_bytes
from slapkit.data.scores import room
from slapkit.data.scores.arrange import arrange
from slapkit.data.scores.config import CorpusConfig
from slapkit.data.scores.excerpt import Unfit
from slapkit.data.scores.score import Score
from slapkit.data.scores.soundfonts import Fonts, SoundFont
from slapkit.data.scores.styles import draw_style
from slapkit.data.scores.synth import render
from slapkit.data.scores.works import Work

SHIFT = "shift"  # split of test clips rendered once more, with a SoundFont that training never uses
_DRAWS = 5  # draws from each candidate work before the next one is tried


@dataclasses.dataclass(frozen=True)
class ClipTask:
    """One clip to make; `works` are candidates (work, its notes, its group), of which the first good one is used.

    A clip that is `shifted` is made twice: as it is, and with the unseen SoundFont and another room for the split
    "shift".
    """

    number: int
    split: str
    shifted: bool
    works: tuple[tuple[Work, Path, str], ...]
    folder: Path
    fonts: Fonts
    config: CorpusConfig

    @property
    def name(self) -> str:
        """Path of the (first) audio inside the corpus folder."""
        return self.file_name(self.split)

    def file_name(self, split: str) -> str:
        """Path of the audio of a split; both sounds of a shifted clip have one number."""
        return f"audio/{split}/{self.number:05d}.flac"


@functools.cache
def _font(path: Path) -> SoundFont:
    return SoundFont(path)


def make_clip(task: ClipTask) -> tuple[list[dict[str, Any]], list[str]]:
    """Write the audio of a clip; return (facts of each sound, reasons of rejected draws), no facts if no draw was good.

    Raises:
        StorageError: a file cannot be written.
    """
    config = task.config
    seen = task.fonts.seen
    rng = np.random.default_rng([config.seed, 6, task.number])
    fonts = {task.split: seen[int(rng.integers(len(seen)))]}
    if task.shifted and task.fonts.unseen:
        fonts[SHIFT] = task.fonts.unseen
    rejected: list[str] = []
    for candidate, (work, path, group) in enumerate(task.works):
        score = Score.read(path)
        about = {"work": work.id, "title": work.title, "collection": work.collection, "group": group}
        for draw in range(_DRAWS):
            rng = np.random.default_rng([config.seed, 5, task.number, candidate, draw])
            style = draw_style(work.kind, len(score.parts), score.metre_at(score.length / 2), rng)
            try:
                arrangement = arrange(score, rng, clip_s=config.clip_s, style=style)
                length = {"clip_s": config.clip_s, "sample_rate": config.sample_rate}
                waves = [render(arrangement, _font(font), **length) for font in fonts.values()]
            except Unfit as unfit:
                rejected.append(str(unfit))
                continue
            facts = about | arrangement.facts
            return [
                _finish(task, split, wave, rate, facts | {"soundfont": font.stem}, rng)
                for (split, font), (wave, rate) in zip(fonts.items(), waves, strict=True)
            ], rejected
    return [], rejected


def _finish(
    task: ClipTask, split: str, wave: np.ndarray, rate: int, facts: dict[str, Any], rng: np.random.Generator
) -> dict[str, Any]:
    """Give a wave its room and level, write it, and return all facts about it."""
    config = task.config
    chain = room.draw_chain(rng)
    wave = room.apply(wave, rate, config.sample_rate, chain, rng)
    # Lossy encoders take as long as the synthesis, and FLAC a tenth of that, for four times the space.
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, config.sample_rate, format="FLAC", subtype="PCM_16")
    data = buffer.getvalue()
    atomic_write_bytes(task.folder / task.file_name(split), data)
    return {
        "file_name": task.file_name(split),
        "split": split,
        **facts,
        "room": chain.room,
        "reverb_s": chain.reverb_s,
        "tilt_db": chain.tilt_db,
        "cutoff_hz": chain.cutoff_hz,
        "noise_db": chain.noise_db,
        "duration_s": config.clip_s,
        "peak_db": round(20 * float(np.log10(np.abs(wave).max())), 2),
        "rms_db": round(10 * float(np.log10(np.mean(wave**2))), 2),
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
