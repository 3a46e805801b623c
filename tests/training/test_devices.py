"""The whole of `train` under two processes, as a launcher starts them: one log, one model, both processes in step."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import slapkit
from slapkit._io import read_json_lines
from slapkit.models.weights import load_tensors

SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
from tests.training.tones import tiny
import torch
from slapkit.data import read
from slapkit.training import train
torch.set_num_threads(1)
chosen = tiny({{"objective": {objective!r}, "steps": 6, "micro_batch": 4}})
out = Path({out!r})
trained = train(model=chosen.model, config=chosen.train, dataset=read({data!r}), out_dir=out,
                cache_dir=out / "cache", progress=False)
from slapkit.models.weights import save_tensors
save_tensors(trained.model.own_state(), out / f"rank-{{__import__('os').environ['RANK']}}.safetensors")
"""


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["slap", "clap"])
def test_two_processes_train_one_model(objective, tones, tmp_path):
    here = Path(__file__).parent
    script = SCRIPT.format(here=str(here), objective=objective, out=str(tmp_path), data=str(tones.root))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "ACCELERATE_USE_CPU": "true"}
    path = os.pathsep.join([str(here.parent.parent), os.environ.get("PYTHONPATH", "")])
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            env=os.environ | common | {"RANK": str(rank), "LOCAL_RANK": str(rank), "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    for process in processes:
        said, _ = process.communicate(timeout=240)
        assert process.returncode == 0, said
    first, second = (load_tensors(tmp_path / f"rank-{rank}.safetensors") for rank in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first), "both processes hold the same weights"
    rows = read_json_lines(tmp_path / "train.jsonl")[0]
    assert [row["step"] for row in rows] == list(range(1, 7)) and "validation" in rows[-1]
    assert json.loads((tmp_path / "config.json").read_text())["step"] == 6
    assert slapkit.load(tmp_path).embed_text(["a low tone"]).shape == (1, 32)
