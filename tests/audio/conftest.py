"""Real sounds, made here: tones, chords and noise, written by soundfile."""

import json
from pathlib import Path

import numpy as np
import pytest


def chord(number: int, seconds: float, rate: int) -> np.ndarray:
    """Return a chord with a little noise, float32 `[T]`, different for every number."""
    rng = np.random.default_rng(number)
    t = np.arange(round(seconds * rate)) / rate
    wave = sum(np.sin(2 * np.pi * f * t) for f in rng.uniform(80, 2000, 4)) / 8
    return (wave + 0.01 * rng.standard_normal(len(t))).astype(np.float32)


@pytest.fixture
def sound(tmp_path):
    """Write samples `[T]` or `[T, C]` to a file in `tmp_path` and return its path."""
    import soundfile

    def write(name: str, samples: np.ndarray, rate: int = 24000, **options) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, rate, **options)
        return path

    return write


@pytest.fixture
def make_dataset(tmp_path):
    """Write a folder of chords of different lengths with its table, and return the folder."""
    import soundfile

    def make(name: str = "set", count: int = 6, rate: int = 8000, seconds: float = 1.0, suffix: str = "wav") -> Path:
        root = tmp_path / name
        (root / "audio").mkdir(parents=True)
        lines = []
        for i in range(count):
            file = f"audio/{i}.{suffix}"
            soundfile.write(root / file, chord(i, seconds + 0.1 * (i % 3), rate), rate)
            split = ("train", "train", "test")[i % 3]
            lines.append(json.dumps({"file_name": file, "captions": [f"chord {i}"], "split": split}))
        (root / "metadata.jsonl").write_text("\n".join(lines))
        return root

    return make
