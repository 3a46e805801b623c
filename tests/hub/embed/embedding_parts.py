"""A small model, a collection, and the command as its own process, for the tests of embedding."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile
import torch

from slapkit.models.joint import JointModel  # noqa: E402
from slapkit.models.weights import save_model  # noqa: E402
from tests.training.tones import tiny  # noqa: E402

RATE = 24000
COMMAND = """
import os, signal, sys
import pyarrow.parquet as pq
import torch
torch.set_num_threads(1)
write, written = pq.write_table, []

def write_table(table, path, **options):
    write(table, path, **options)
    written.append(path)
    if len(written) == int(os.environ.get("KILL_AT", "0")):  # before the part has its name
        os.kill(os.getpid(), signal.SIGKILL)

pq.write_table = write_table
from slapkit.cli import main
sys.exit(main(["embed", *sys.argv[1:]]))
"""


def write_model(folder: Path, seed: int = 0, objective: str = "slap") -> Path:
    """Save a model with random weights as a run does."""
    torch.manual_seed(seed)
    model = JointModel.build(tiny().model, objective)
    save_model(model, folder, train={}, step=0)
    return folder


def write_collection(folder: Path, sounds: int = 14) -> Path:
    """Write sounds of 0.5 to 3.5 s with two captions each; the last but one is no sound."""
    rng = np.random.default_rng(0)
    (folder / "audio").mkdir(parents=True)
    rows = []
    for i in range(sounds):
        time = np.arange(round(RATE * (0.5 + 3 * i / sounds))) / RATE
        wave = 0.3 * np.sin(2 * np.pi * rng.uniform(100, 4000) * time) + 0.02 * rng.standard_normal(len(time))
        soundfile.write(folder / "audio" / f"{i:02d}.wav", wave, RATE)
        rows.append({"file_name": f"audio/{i:02d}.wav", "captions": [f"sound {i}", f"a longer caption, number {i}"]})
    (folder / "audio" / f"{sounds - 2:02d}.wav").write_bytes(b"no sound at all")
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def start(*arguments: object, **environment: str) -> subprocess.Popen:
    """Start the command as a process of its own."""
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *map(str, arguments), "--quiet", "--device", "cpu"],
        env=os.environ | {"PYTHONPATH": path} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
