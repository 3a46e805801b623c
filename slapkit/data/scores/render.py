"""Making one clip, in a worker process: draw, arrange, render, check, encode, write."""

import dataclasses
import functools
import hashlib
import importlib.util
import io
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from slapkit._io import atomic_write_bytes
from slapkit.data.scores.arrange import Arrangement, arrange
from slapkit.data.scores.config import CorpusConfig
from slapkit.data.scores.excerpt import Unfit
from slapkit.data.scores.score import Score
from slapkit.data.scores.styles import draw_style
from slapkit.data.scores.works import Work
from slapkit.errors import DataError

RATE = 48_000  # Hz, of the renderer
LEVEL_DB = -20.0  # root mean square of every clip, unless its peaks forbid it
PEAK_DB = -1.0
_DRAWS = 5  # draws from each candidate work before the next one is tried
_TICKS = 480  # in a quarter note; at 120 beats a minute a second has 960


def find_soundfont(path: str | None) -> Path:
    """Return the SoundFont to render with: `path`, or the one packaged with pretty_midi.

    Raises:
        DataError: it is missing, or not a SoundFont.
    """
    if path is None:
        found = importlib.util.find_spec("pretty_midi")
        path = str(Path(found.origin).parent / "TimGM6mb.sf2") if found and found.origin else "TimGM6mb.sf2"
    file = Path(path).expanduser()
    try:
        with open(file, "rb") as stream:
            head = stream.read(12)
    except OSError as error:
        hint = "name a General MIDI .sf2 file, or None for the one that comes with pretty_midi"
        raise DataError(f"soundfont={str(file)!r} cannot be read ({error.strerror}): {hint}") from error
    if head[:4] != b"RIFF" or head[8:] != b"sfbk":
        raise DataError(f"{file} is not a SoundFont 2 file (it begins with {head!r}): name a General MIDI .sf2 file")
    return file


def to_midi(arrangement: Arrangement, clip_s: float) -> bytes:
    """Return the arrangement as MIDI bytes, one track for each voice, its end marked at `clip_s` seconds."""
    import symusic

    score = symusic.Score(_TICKS)
    score.tempos.append(symusic.Tempo(0, 120.0))
    tables = [(voice.notes, voice.instrument.program, False) for voice in arrangement.voices]
    if arrangement.drums is not None:
        tables.append((arrangement.drums, arrangement.kit, True))
    second = 2 * _TICKS
    for number, (notes, program, is_drum) in enumerate(tables):
        track = symusic.Track(str(number), program, is_drum)
        for start, length, pitch, velocity in notes.tolist():
            ticks = max(1, round(length * second))
            track.notes.append(symusic.Note(round(start * second), ticks, round(pitch), round(velocity)))
        if number == 0:  # the renderer stops at the last event: keep it going to the end of the clip
            track.controls.append(symusic.ControlChange(round((clip_s + 0.05) * second), 7, 100))
        score.tracks.append(track)
    return score.dumps_midi()


def render(arrangement: Arrangement, soundfont: bytes, *, clip_s: float) -> np.ndarray:
    """Return the audio, float32 `[clip_s * RATE]`, mono, at the common level.

    Raises:
        Unfit: it is not finite, clipped, (partly) silent or too short.
    """
    import midirenderer

    raw = np.frombuffer(midirenderer.render_wave_from(soundfont, to_midi(arrangement, clip_s))[44:], dtype="<i2")
    if len(raw) and (raw.max() == 32767 or raw.min() == -32768):
        raise Unfit("clipped in rendering")
    wave = (raw[0 : len(raw) // 2 * 2 : 2].astype(np.float32) + raw[1::2]) * np.float32(0.5 / 32768)
    wanted = round(clip_s * RATE)
    if len(wave) < 0.995 * wanted:
        raise Unfit("rendered too short")
    wave = np.pad(wave[:wanted], (0, max(0, wanted - len(wave))))
    check(wave)
    fade = round(0.03 * RATE)
    wave[-fade:] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
    level, peak = float(np.sqrt(np.mean(wave**2))), float(np.abs(wave).max())
    return (wave * min(10 ** (LEVEL_DB / 20) / level, 10 ** (PEAK_DB / 20) / peak)).astype(np.float32)


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
    """Return a wave `[T]` at `RATE` as FLAC of 16 bits at `sample_rate` Hz; the same wave gives the same bytes.

    Lossy encoders take as long as the synthesis, and FLAC a tenth of that, for four times the space (about 350 kB for
    10 s at 32 kHz).
    """
    if sample_rate != RATE:
        import soxr

        wave = soxr.resample(wave, RATE, sample_rate)
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, sample_rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


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
                style = draw_style(work.kind, len(score.parts), score.metre_at(score.length / 2), rng)
                arrangement = arrange(score, rng, clip_s=config.clip_s, style=style)
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
