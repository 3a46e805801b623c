"""Making one clip, in a worker process: draw, arrange, render, check, encode, write."""

import dataclasses
import functools
import hashlib
import io
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from slapkit._io import atomic_write_bytes
from slapkit.data.scores import room
from slapkit.data.scores.arrange import Arrangement, arrange
from slapkit.data.scores.config import CorpusConfig
from slapkit.data.scores.excerpt import Unfit
from slapkit.data.scores.score import Score
from slapkit.data.scores.soundfonts import DRUMS, Fonts, SoundFont
from slapkit.data.scores.styles import draw_style
from slapkit.data.scores.works import Work

RATE = 48_000  # Hz, of the renderer
SHIFT = "shift"  # split of test clips rendered once more, with a SoundFont that training never uses
_DRAWS = 5  # draws from each candidate work before the next one is tried
_TICKS = 480  # in a quarter note; at 120 beats a minute a second has 960


def to_midi(arrangement: Arrangement, clip_s: float) -> bytes:
    """Return the arrangement as MIDI bytes, one track for each voice, its end marked at `clip_s` seconds."""
    import symusic

    score = symusic.Score(_TICKS)
    score.tempos.append(symusic.Tempo(0, 120.0))
    second = 2 * _TICKS
    for number, (bank, program, notes) in enumerate(_parts(arrangement)):
        track = symusic.Track(str(number), program, bank == DRUMS)
        for (start, length), (key, velocity) in zip(notes[:, :2].tolist(), _struck(notes).tolist(), strict=True):
            ticks = max(1, round(length * second))
            track.notes.append(symusic.Note(round(start * second), ticks, key, velocity))
        if number == 0:  # the renderer stops at the last event: keep it going to the end of the clip
            track.controls.append(symusic.ControlChange(round((clip_s + 0.05) * second), 7, 100))
        score.tracks.append(track)
    return score.dumps_midi()


def _parts(arrangement: Arrangement) -> list[tuple[int, int, np.ndarray]]:
    """Return (bank, program, notes) of what sounds in an arrangement."""
    parts = [(0, voice.instrument.program, voice.notes) for voice in arrangement.voices]
    return parts if arrangement.drums is None else [*parts, (DRUMS, arrangement.kit, arrangement.drums)]


def _struck(notes: np.ndarray) -> np.ndarray:
    """Return rows of (key, velocity), whole numbers."""
    return np.round(notes[:, 2:]).astype(int)


def render(arrangement: Arrangement, font: SoundFont, *, clip_s: float) -> np.ndarray:
    """Return the audio, float32 `[clip_s * RATE]`, mono, as loud as it comes.

    Raises:
        Unfit: it is not finite, clipped, (partly) silent or too short.
    """
    import midirenderer

    part = font.part((bank, program, _struck(notes)) for bank, program, notes in _parts(arrangement))
    raw = np.frombuffer(midirenderer.render_wave_from(part, to_midi(arrangement, clip_s))[44:], dtype="<i2")
    if len(raw) and (raw.max() == 32767 or raw.min() == -32768):
        raise Unfit("clipped in rendering")
    wave = (raw[0 : len(raw) // 2 * 2 : 2].astype(np.float32) + raw[1::2]) * np.float32(0.5 / 32768)
    wanted = round(clip_s * RATE)
    if len(wave) < 0.995 * wanted:
        raise Unfit("rendered too short")
    wave = np.pad(wave[:wanted], (0, max(0, wanted - len(wave))))
    check(wave)
    return wave


def check(wave: np.ndarray) -> None:
    """Raise `Unfit` unless a wave `[T]` at `RATE` is finite, audible, and without long silences."""
    if not np.isfinite(wave).all():
        raise Unfit("not finite")
    frames = wave[: len(wave) // 4800 * 4800].reshape(-1, 4800)  # 0.1 s
    level = np.sqrt((frames**2).mean(axis=1))
    if level.max(initial=0.0) < 1e-3:
        raise Unfit("silent")
    quiet = level < 0.02 * level.max()
    longest = max(sum(run) for _, run in itertools.groupby(quiet.tolist()))
    if longest > 15 or quiet.mean() > 0.3:
        raise Unfit("silent in part")


def encode(wave: np.ndarray, sample_rate: int) -> bytes:
    """Return a wave `[T]` as FLAC of 16 bits; the same wave gives the same bytes.

    Lossy encoders take as long as the synthesis, and FLAC a tenth of that, for four times the space (about 350 kB for
    10 s at 32 kHz).
    """
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, sample_rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


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
                waves = [render(arrangement, _font(font), clip_s=config.clip_s) for font in fonts.values()]
            except Unfit as unfit:
                rejected.append(str(unfit))
                continue
            facts = about | arrangement.facts
            return [
                _finish(task, split, wave, facts | {"soundfont": font.stem}, rng)
                for (split, font), wave in zip(fonts.items(), waves, strict=True)
            ], rejected
    return [], rejected


def _finish(
    task: ClipTask, split: str, wave: np.ndarray, facts: dict[str, Any], rng: np.random.Generator
) -> dict[str, Any]:
    """Give a wave its room and level, write it, and return all facts about it."""
    config = task.config
    chain = room.draw_chain(rng)
    wave = room.apply(wave, RATE, config.sample_rate, chain, rng)
    data = encode(wave, config.sample_rate)
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
