"""How fast is a folder of music embedded, and how much of that is decoding?

    python benchmarks/folder.py [--tracks 100] [--seconds 240] [--suffix mp3] [--model RUN] [--folder DIR]

The tracks are made first: stereo at 44.1 kHz, notes of decaying partials over noise, each other ones. Then, each by a
process of its own: all files are decoded to the model's rate; they become features; and a library is built of them.
Prints JSON: hours of audio a minute, processor seconds (worker processes included), the greatest memory of a process
(MiB), and decoding's share of the library's processor time. Without `--model` the preset's heads are untrained.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch
from library_size import own_process

from slapkit import load
from slapkit._cores import spread
from slapkit.audio import decode
from slapkit.audio.features import Extractor
from slapkit.models.inference import Model
from slapkit.models.joint import JointModel
from slapkit.presets import preset
from slapkit.search import Library

RATE = 44_100


@functools.cache
def tone(key: int) -> np.ndarray:
    """Return a second of five decaying partials, some semitones above 55 Hz."""
    seconds, hertz = np.arange(RATE) / RATE, 55 * 2 ** (key / 12)
    partials = sum(np.sin(2 * np.pi * hertz * k * seconds) / k for k in range(1, 6))
    return (0.1 * partials * np.exp(-4 * seconds)).astype(np.float32)


def make_track(path: Path, seconds: float, seed: int) -> None:
    """Write a track of random notes, four a second, over noise."""
    rng = np.random.default_rng(seed)
    wave = 0.01 * rng.standard_normal((round(seconds * RATE), 2)).astype(np.float32)
    for start in range(0, len(wave) - RATE, RATE // 4):
        key, levels = int(rng.integers(0, 48)), rng.uniform(0.3, 1, 2).astype(np.float32)
        wave[start : start + RATE] += tone(key)[:, None] * levels
    soundfile.write(path, wave, RATE)


def loaded(run: str | None) -> Model:
    """Return the run's model, or the preset's with untrained heads."""
    if run:
        return load(run)
    torch.manual_seed(0)
    return Model(JointModel.build(preset("pretrained").model, "slap", captions=["music"]))


def decoding(files: list[Path], run: str | None) -> None:
    rate = loaded(run).config.audio.frontend.sample_rate

    def read(path: Path) -> int:
        with decode.opened(path) as file:
            return len(file.read(sample_rate=rate))

    assert all(spread(read, files, most=os.cpu_count()))


def features(files: list[Path], run: str | None) -> None:
    with Extractor(loaded(run).config.audio.frontend, expected=len(files)) as extractor:
        assert not [found for found in extractor.map(map(str, files)) if isinstance(found, str)]


def library(files: list[Path], run: str | None) -> None:
    with tempfile.TemporaryDirectory() as out:
        made = Library.build(files[0].parent, loaded(run), out=out)
        assert len(made) == len(files), made.failures


def timed(work: Callable[..., None], files: list[Path], run: str | None, pipe) -> None:
    """Send wall and processor seconds of a piece of work past the loading of its model, and its memory in MiB."""
    loaded(run)  # what is imported and compiled once
    before, began = os.times(), time.perf_counter()
    work(files, run)
    wall, now = time.perf_counter() - began, os.times()
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    pipe.send((wall, sum(now[:4]) - sum(before[:4]), peak / 1024))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--suffix", default="mp3", help="what soundfile writes: mp3, flac, ogg, wav")
    parser.add_argument("--model", metavar="RUN")
    parser.add_argument("--folder", type=Path, help="where the tracks stay for another time (default: nowhere)")
    args = parser.parse_args()
    hours, result = args.tracks * args.seconds / 3600, {}
    with tempfile.TemporaryDirectory() as place:
        files = [Path(args.folder or place, f"{number:03d}.{args.suffix}") for number in range(args.tracks)]
        missing = [number for number in range(args.tracks) if not files[number].exists()]
        spread(lambda number: make_track(files[number], args.seconds, number), missing)
        for work in (decoding, features, library):
            wall, processor, peak = own_process(timed, work, files, args.model)
            result[work.__name__] = {
                "hours_per_minute": round(60 * hours / wall, 2), "processor_s": round(processor, 1),
                "memory_mib": round(peak),
            }  # fmt: skip
    result["share_of_decoding"] = round(result["decoding"]["processor_s"] / result["library"]["processor_s"], 3)
    print(json.dumps({"processors": os.cpu_count(), "hours": round(hours, 2), **result}, indent=2))


if __name__ == "__main__":
    main()
