"""How fast are random windows drawn from long files? One file of two minutes in each format, one core; then workers.

    python benchmarks/streaming.py [--seconds 2] [--workers 2]

Prints, for each format, windows a second by seeking and by decoding the whole file, and micro-
batches of 32 windows a second out of worker processes, with the pairs a second that a training step may use.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch

from slapkit.audio.features import extract
from slapkit.data import AudioTextDataset
from slapkit.data.dataset import Clip
from slapkit.presets import preset
from slapkit.training.streaming import StreamBatches, StreamStore

RATE = 44100


def per_second(call: Callable[[int], object], seconds: float) -> float:
    """Call again and again for `seconds` s; return calls a second."""
    began, calls = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        call(calls)
        calls += 1
    return calls / (time.perf_counter() - began)


def write_tracks(folder: Path) -> dict[str, Path]:
    """Write two minutes of a wandering tone in noise, in each format."""
    rng, t = np.random.default_rng(0), np.arange(120 * RATE) / RATE
    wave = (0.2 * np.sin(2 * np.pi * (300 + 4 * t) * t) + 0.05 * rng.standard_normal(len(t))).astype(np.float32)
    tracks = {}
    for suffix in ("wav", "flac", "ogg", "mp3"):
        tracks[suffix] = folder / f"track.{suffix}"
        with soundfile.SoundFile(tracks[suffix], "w", RATE, 1) as file:
            for start in range(0, len(wave), RATE):  # one call with two minutes overflows the Ogg encoder's stack
                file.write(wave[start : start + RATE])
    return tracks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", default=1.0, type=float, help="of each measurement")
    parser.add_argument("--workers", default=2, type=int)
    args = parser.parse_args()

    torch.set_num_threads(1)
    chosen = preset("tiny", train={"batch_size": 32, "steps": 10_000})
    frontend, window = chosen.model.audio.frontend, chosen.model.audio.window_frames
    with tempfile.TemporaryDirectory() as folder:
        result = {}
        for suffix, path in write_tracks(Path(folder)).items():
            clips = [Clip(f"{i}.{suffix}", path, ("a tone",), {}, "train", str(i)) for i in range(64)]
            store = StreamStore(AudioTextDataset(folder, clips), frontend, window, folder, progress=False)
            source, rng = store.source([clip.id for clip in clips], window), np.random.default_rng(0)
            sought = per_second(lambda i, s=source, r=rng: s.window_of(i % 64, r.integers(2**53)), args.seconds)
            decoded = per_second(lambda i, p=path: extract(p, frontend), args.seconds)
            batches = StreamBatches(source, None, np.arange(64), chosen.train, workers=args.workers)
            batches.pairs(0, 0)  # the workers have started
            rate = per_second(lambda i, b=batches: b.pairs(i + 1, 0), args.seconds)
            result[suffix] = {
                "windows_per_s": round(sought, 1),
                "whole_files_per_s": round(decoded, 1),
                "ratio": round(sought / decoded, 1),
                f"pairs_per_s_{args.workers}_workers": round(32 * rate, 1),
            }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
