"""From notes to sound: one of two renderers plays an arrangement on a SoundFont.

tinysoundfont takes a third of the time, but asks for an audio device's library that it does not use here, so that pip
installs it only without its dependencies; midirenderer is used where it is missing. They sound alike.
"""

import importlib.util
import itertools

import numpy as np

from slapkit.data.scores.arrange import Arrangement
from slapkit.data.scores.excerpt import Unfit
from slapkit.data.scores.soundfonts import DRUMS, SoundFont

_TICKS = 480  # in a quarter note; at 120 beats a minute a second has 960


def renderer() -> str:
    """Return the name of the package that renders."""
    return "tinysoundfont" if importlib.util.find_spec("tinysoundfont") else "midirenderer"


def render(arrangement: Arrangement, font: SoundFont, *, clip_s: float, sample_rate: int) -> tuple[np.ndarray, int]:
    """Return the audio, float32 `[clip_s * rate]`, mono, as loud as it comes, and its rate in Hz: the one wanted, or 48
    kHz from midirenderer.

    Raises:
        Unfit: it is not finite, clipped, (partly) silent or too short, or the SoundFont lacks an instrument.
    """
    parts = _parts(arrangement)
    part = font.part(parts)
    if renderer() == "tinysoundfont":
        wave, rate = _tinysoundfont(part, parts, clip_s, sample_rate), sample_rate
    else:
        wave, rate = _midirenderer(part, parts, clip_s), 48_000
    check(wave, rate)
    return wave, rate


def _parts(arrangement: Arrangement) -> list[tuple[int, int, np.ndarray]]:
    """Return (bank, program, notes) of what sounds in an arrangement; keys and velocities are whole numbers."""
    parts = [(0, voice.instrument.program, voice.notes) for voice in arrangement.voices]
    parts += [] if arrangement.drums is None else [(DRUMS, arrangement.kit, arrangement.drums)]
    return [(bank, program, np.column_stack([notes[:, :2], np.round(notes[:, 2:])])) for bank, program, notes in parts]


def _tinysoundfont(font: bytes, parts: list[tuple[int, int, np.ndarray]], clip_s: float, rate: int) -> np.ndarray:
    import tinysoundfont

    synth = tinysoundfont.Synth(gain=-6.0, samplerate=rate)
    number = synth.sfload(font)
    total = round(clip_s * rate)
    events = [(total, False, 0, 0, 0)]  # (sample, whether it begins, channel, key, velocity)
    for channel, (bank, program, notes) in enumerate(parts):
        synth.program_select(channel, number, 0, program, bank == DRUMS)
        for start, length, key, velocity in notes.tolist():
            first, last = round(start * rate), round((start + length) * rate)
            events.append((first, True, channel, int(key), int(velocity)))
            events.append((max(last, first + 1), False, channel, int(key), 0))
    wave, now = np.zeros((total, 2), dtype=np.float32), 0
    for sample, begins, channel, key, velocity in sorted(events):  # a key that is struck anew ends first
        if now < sample <= total:
            synth.generate_simple(sample - now, memoryview(wave[now:sample]).cast("B"))
            now = sample
        if begins:
            synth.noteon(channel, key, velocity)
        else:
            synth.noteoff(channel, key)
    return (wave[:, 0] + wave[:, 1]) * np.float32(0.5)


def _midirenderer(font: bytes, parts: list[tuple[int, int, np.ndarray]], clip_s: float) -> np.ndarray:
    import midirenderer

    raw = np.frombuffer(midirenderer.render_wave_from(font, to_midi(parts, clip_s))[44:], dtype="<i2")
    if len(raw) and (raw.max() == 32767 or raw.min() == -32768):
        raise Unfit("clipped in rendering")
    wave = (raw[0 : len(raw) // 2 * 2 : 2].astype(np.float32) + raw[1::2]) * np.float32(0.5 / 32768)
    wanted = round(clip_s * 48_000)
    if len(wave) < 0.995 * wanted:
        raise Unfit("rendered too short")
    return np.pad(wave[:wanted], (0, max(0, wanted - len(wave))))


def to_midi(parts: list[tuple[int, int, np.ndarray]], clip_s: float) -> bytes:
    """Return parts, (bank, program, notes), as MIDI bytes, a track for each, the end marked at `clip_s` seconds."""
    import symusic

    score = symusic.Score(_TICKS)
    score.tempos.append(symusic.Tempo(0, 120.0))
    second = 2 * _TICKS
    for number, (bank, program, notes) in enumerate(parts):
        track = symusic.Track(str(number), program, bank == DRUMS)
        for start, length, key, velocity in notes.tolist():
            ticks = max(1, round(length * second))
            track.notes.append(symusic.Note(round(start * second), ticks, int(key), int(velocity)))
        if number == 0:  # the renderer stops at the last event: keep it going to the end of the clip
            track.controls.append(symusic.ControlChange(round((clip_s + 0.05) * second), 7, 100))
        score.tracks.append(track)
    return score.dumps_midi()


def check(wave: np.ndarray, rate: int) -> None:
    """Raise `Unfit` unless a wave `[T]` is finite, audible, and without long silences."""
    if not np.isfinite(wave).all():
        raise Unfit("not finite")
    size = rate // 10
    frames = wave[: len(wave) // size * size].reshape(-1, size)
    level = np.sqrt((frames**2).mean(axis=1))
    if level.max(initial=0.0) < 1e-3:
        raise Unfit("silent")
    quiet = level < 0.02 * level.max()
    longest = max(sum(run) for _, run in itertools.groupby(quiet.tolist()))
    if longest > 15 or quiet.mean() > 0.3:
        raise Unfit("silent in part")
