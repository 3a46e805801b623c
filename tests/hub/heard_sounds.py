"""Sounds that musicnn tells apart: a beat, a quick and a slow plucked string, a pad, noise."""

from pathlib import Path

import numpy as np
import soundfile

RATE = 16000


def write_sounds(root: Path, seconds: float = 3.5) -> None:
    """Write seven sounds, one of them twice, and files that are none."""
    time, rng = np.arange(round(seconds * RATE)) / RATE, np.random.default_rng(0)
    noise = rng.standard_normal(len(time))

    def beat(bpm: float) -> np.ndarray:
        kick = np.exp(-30 * (time * bpm / 60 % 1)) * np.sin(2 * np.pi * 60 * time)
        return 0.6 * kick + 0.2 * np.exp(-60 * (time * bpm / 30 % 1)) * noise

    def pad(pitch: float) -> np.ndarray:
        return 0.15 * sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 5)) * np.minimum(1, time)

    def pluck(pitch: float, rate: float) -> np.ndarray:
        tone = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 8))
        return 0.3 * np.exp(-6 * (time * rate % 1)) * tone

    sounds = {"beat.wav": beat(140), "hard \x1b[2J beat.wav": beat(170), "noise.flac": 0.3 * noise}
    sounds |= {"<img src=x onerror=alert(1)>.wav": pad(110), "pad 'n' \"pad\".wav": pad(220)}
    sounds |= {"album/slow.wav": pluck(330, 1), "album/quick.wav": pluck(440, 6), "album/again.wav": pluck(440, 6)}
    (root / "album").mkdir(parents=True)
    for name, wave in sounds.items():
        soundfile.write(root / name, wave.astype(np.float32), RATE)
    soundfile.write(root / "silent.wav", np.zeros(2 * RATE), RATE)
    (root / "broken.mp3").write_bytes(b"no sound at all" * 100)
    (root / "empty.ogg").touch()


UNUSABLE = {"silent.wav": "silent", "broken.mp3": "cannot be decoded", "empty.ogg": "0 bytes"}
