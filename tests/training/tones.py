"""Small real data sets made on the spot, a preset of a second, and ways to stop and to share out a training."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from slapkit.data import AudioTextDataset, read
from slapkit.models.weights import load_tensors
from slapkit.presets import Preset, preset
from slapkit.training import Trained, loop, train

PITCHES = {"low": 110.0, "middle": 440.0, "high": 1760.0, "shrill": 5000.0}
PULSES = {"calm": 1.0, "steady": 3.0, "hurried": 8.0}


def make_tones(folder: Path, *, clips: int = 48, seconds: float = 2.0, rate: int = 24000) -> AudioTextDataset:
    """Write decaying tones whose captions name pitch and pulse; two thirds train, the rest is validation and test."""
    rng, rows = np.random.default_rng(0), []
    folder.mkdir(parents=True, exist_ok=True)
    time = np.arange(int(seconds * rate)) / rate
    for i in range(clips):
        pitch, pulse = list(PITCHES)[i % 4], list(PULSES)[i // 4 % 3]
        frequency = PITCHES[pitch] * rng.uniform(0.9, 1.1)
        envelope = np.exp(-4 * (time * PULSES[pulse] % 1.0))
        wave = 0.4 * envelope * np.sin(2 * np.pi * frequency * time) + 0.002 * rng.standard_normal(len(time))
        soundfile.write(folder / f"tone-{i:03d}.wav", wave, rate)
        captions = [f"a {pitch} {pulse} tone", f"{pulse}, {pitch} beeping number {i}"]
        split = ("validation", "test")[i % 2] if i >= clips - clips // 3 else "train"
        rows.append({"file_name": f"tone-{i:03d}.wav", "captions": captions, "split": split})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read(folder)


def write_collection(folder: Path, clips: int = 40) -> AudioTextDataset:
    """Write WAV, FLAC and MP3 files of 0.4 to 4 s at 24 kHz; every fifth is held out."""
    rng, rows = np.random.default_rng(0), []
    (folder / "audio").mkdir(parents=True)
    for i in range(clips):
        time = np.arange(round((0.4, 1.0, 1.7, 4.0)[i % 4] * 24000)) / 24000
        sweep = np.sin(2 * np.pi * (150 + 90 * i) * time * (1 + 0.2 * time))  # every window sounds different
        wave = (0.3 * sweep + 0.01 * rng.standard_normal(len(time))).astype(np.float32)
        name = f"audio/{i:03d}.{('wav', 'flac', 'mp3')[i % 3]}"
        soundfile.write(folder / name, wave, 24000)
        split = "validation" if i % 5 == 4 else "train"
        rows.append({"file_name": name, "captions": [f"tone {i}", f"a tone of number {i}"], "split": split})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read(folder)


def tiny(train: dict | None = None, model: dict | None = None, *, batch_norm: bool = True) -> Preset:
    """The `tiny` preset shrunk to a second: a narrow CNN on windows of 1 s."""
    plain = {"batch_norm": batch_norm, "hidden": 64, "dropout": 0.0}
    shrunk = {"audio": {"channels": (8, 16), "window_s": 1.0, "frontend": {"min_s": 1.0}}, "dim": 32}
    shrunk |= dict.fromkeys(("audio_projector", "text_projector", "predictor"), plain)
    quick = {"steps": 8, "lr": 1e-3, "batch_size": 16, "eval_every": 4, "checkpoint_every": 2, "log_every": 1}
    quick |= {"device": "cpu", "stop_on_collapse": False}
    return preset("tiny", model=shrunk | (model or {}), train=quick | (train or {}))


class NoText:
    """Stands in for captions: hands out their numbers."""

    def take(self, captions, device):
        return torch.from_numpy(np.asarray(captions))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """The tensors of a trained model."""
    return load_tensors(folder / "model.safetensors")


def assert_equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    """Check that tensors are equal to the bit."""
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def run(chosen: Preset, dataset: AudioTextDataset, folder: Path, cache: Path | None = None, **options) -> Trained:
    """Train a preset into `folder`."""
    given = {"dataset": dataset, "out_dir": folder, "cache_dir": cache or folder / "cache", "progress": False}
    return train(model=chosen.model, config=chosen.train, **given | options)


@contextmanager
def stopped_at(step: int) -> Iterator[None]:
    """Press Ctrl-C when training comes to `step`, and see that it is passed on."""
    original = loop.Trainer.step

    def stop(self, number):
        if number == step:
            raise KeyboardInterrupt
        return original(self, number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Trainer, "step", stop)
        with pytest.raises(KeyboardInterrupt):
            yield


def in_two_processes(*arguments: str) -> None:
    """Run Python with these arguments as a launcher would: twice, as two devices of one training."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "ACCELERATE_USE_CPU": "true"}
    common |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    processes = []
    for rank in "01":
        environment = os.environ | common | {"RANK": rank, "LOCAL_RANK": rank}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        processes.append(subprocess.Popen([sys.executable, *arguments], env=environment, **pipes))
    try:
        said = [process.communicate(timeout=240)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(said)
