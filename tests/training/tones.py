"""A tiny real data set, made on the spot: decaying tones whose pitch and pulse the captions tell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from slapkit.data import AudioTextDataset, read
from slapkit.presets import Preset, preset

PITCHES = {"low": 110.0, "middle": 440.0, "high": 1760.0, "shrill": 5000.0}
PULSES = {"calm": 1.0, "steady": 3.0, "hurried": 8.0}


def make_tones(folder: Path, *, clips: int = 48, seconds: float = 2.0, rate: int = 24000) -> AudioTextDataset:
    """Write `clips` sounds and their table; two thirds train, the rest is divided between validation and test."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    time = np.arange(int(seconds * rate)) / rate
    rows = []
    for i in range(clips):
        pitch, pulse = list(PITCHES)[i % 4], list(PULSES)[i // 4 % 3]
        frequency = PITCHES[pitch] * rng.uniform(0.9, 1.1)
        envelope = np.exp(-4 * (time * PULSES[pulse] % 1.0))
        wave = 0.4 * envelope * np.sin(2 * np.pi * frequency * time) + 0.002 * rng.standard_normal(len(time))
        soundfile.write(folder / f"tone-{i:03d}.wav", wave, rate)
        captions = [f"a {pitch} {pulse} tone", f"{pulse}, {pitch} beeping number {i}"]
        held_out = i >= clips - clips // 3
        split = ("validation", "test")[i % 2] if held_out else "train"
        rows.append({"file_name": f"tone-{i:03d}.wav", "captions": captions, "split": split})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read(folder)


def tiny(train: dict | None = None, model: dict | None = None, *, batch_norm: bool = True) -> Preset:
    """The `tiny` preset shrunk to a second: a narrow CNN on windows of 1 s."""
    plain = {"batch_norm": batch_norm, "hidden": 64, "dropout": 0.0}
    shrunk = {
        "audio": {"channels": (8, 16), "window_s": 1.0, "frontend": {"min_s": 1.0}},
        "audio_projector": plain,
        "text_projector": plain,
        "predictor": plain,
        "dim": 32,
    }
    quick = {
        "steps": 8,
        "lr": 1e-3,
        "batch_size": 16,
        "eval_every": 4,
        "checkpoint_every": 2,
        "log_every": 1,
        "device": "cpu",
    }
    quick["stop_on_collapse"] = False
    return preset("tiny", model=shrunk | (model or {}), train=quick | (train or {}))


@contextmanager
def stopped_at(step: int) -> Iterator[None]:
    """Press Ctrl-C when training comes to `step`, and see that it is passed on."""
    from slapkit.training import loop

    original = loop.Trainer.step

    def stop(self, number):
        if number == step:
            raise KeyboardInterrupt
        return original(self, number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Trainer, "step", stop)
        with pytest.raises(KeyboardInterrupt):
            yield
