"""A collection of real files of many lengths and formats, for the tests of streaming."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soundfile

from slapkit import data
from slapkit.data import AudioTextDataset

RATE = 24000


def write_collection(folder: Path, clips: int = 40) -> AudioTextDataset:
    """Write WAV, FLAC and MP3 files of 0.4 to 4 s at 24 kHz, whose pitch the captions tell; every fifth is held out."""
    rng = np.random.default_rng(0)
    (folder / "audio").mkdir(parents=True)
    rows = []
    for i in range(clips):
        seconds = (0.4, 1.0, 1.7, 4.0)[i % 4]
        time = np.arange(round(seconds * RATE)) / RATE
        sweep = np.sin(2 * np.pi * (150 + 90 * i) * time * (1 + 0.2 * time))  # every window sounds different
        wave = (0.3 * sweep + 0.01 * rng.standard_normal(len(time))).astype(np.float32)
        name = f"audio/{i:03d}.{('wav', 'flac', 'mp3')[i % 3]}"
        soundfile.write(folder / name, wave, RATE)
        split = "validation" if i % 5 == 4 else "train"
        rows.append({"file_name": name, "captions": [f"tone {i}", f"a tone of number {i}"], "split": split})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return data.read(folder)
