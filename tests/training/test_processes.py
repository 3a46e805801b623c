"""The whole of `train` in other processes: killed with -9, and shared by two as a launcher starts them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import slapkit
from slapkit._io import read_json_lines
from slapkit.models.weights import load_tensors
from slapkit.training.streaming import StreamBatches
from tests.training.tones import in_two_processes, run, tiny

SCRIPT = """
import json, os, sys
import torch
torch.set_num_threads(1)
from pathlib import Path
from slapkit.data import read
from slapkit.models.weights import save_tensors
from slapkit.training.batches import BatchSource
from slapkit.training.streaming import StreamBatches
from tests.training.tones import run, tiny

data, out, settings, options = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3]), json.loads(sys.argv[4])
kind = StreamBatches if options else BatchSource
original, out_of_time = kind.pairs, os.environ.get("KILL_AT")
out.mkdir(exist_ok=True)

def pairs(self, step, k):
    sound, captions = original(self, step, k)
    with open(out / f"drawn-{self.rank}.jsonl", "a") as file:
        file.write(json.dumps([step, k, captions.tolist(), float(sound.double().sum())]) + "\\n")
    if f"{step} {k}" == out_of_time:
        os.kill(os.getpid(), 9)
    return sound, captions

kind.pairs = pairs
trained = run(tiny(settings), read(data), out, **options)
save_tensors(trained.model.own_state(), out / f"rank-{os.environ.get('RANK', 0)}.safetensors")
"""


def drawn(folder: Path, rank: int = 0) -> dict[tuple[int, int], list]:
    """What was drawn for each micro-batch; drawn twice, it must have been the same."""
    found: dict[tuple[int, int], list] = {}
    for line in (folder / f"drawn-{rank}.jsonl").read_text().splitlines():
        step, k, *rest = json.loads(line)
        assert found.setdefault((step, k), rest) == rest, "after a kill, the same pairs again"
    return found


def arguments(tones, folder: Path, settings: dict, **options) -> list[str]:
    return ["-c", SCRIPT, str(tones.root), str(folder), json.dumps(settings), json.dumps(options)]


def assert_equal(a: Path, b: Path) -> None:
    first, second = load_tensors(a), load_tensors(b)
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.slow
def test_kill_9_while_streaming_goes_on_at_the_same_pair(tones, tmp_path, monkeypatch):
    settings = {"steps": 16, "checkpoint_every": 3, "eval_every": 16, "micro_batch": 8}
    whole, original = {}, StreamBatches.pairs

    def pairs(self, step, k):
        sound, captions = original(self, step, k)
        whole[step, k] = [captions.tolist(), float(sound.double().sum())]
        return sound, captions

    monkeypatch.setattr(StreamBatches, "pairs", pairs)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    run(tiny(settings), tones, tmp_path / "whole", streaming=True, workers=0)
    torch.set_num_threads(before)
    killed = tmp_path / "killed"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    for workers, kill_at, code in ((2, "11 0", -signal.SIGKILL), (1, "", 0)):
        command = [sys.executable, *arguments(tones, killed, settings, streaming=True, workers=workers)]
        done = subprocess.run(command, env=environment | {"KILL_AT": kill_at}, capture_output=True, text=True)
        assert done.returncode == code, done.stderr
    lines = [json.loads(line) for line in (killed / "drawn-0.jsonl").read_text().splitlines()]
    assert lines[22][:2] == [11, 0] and lines[23][:2] == [9, 0], "it went on from its last checkpoint"
    assert drawn(killed) == whole and len(whole) == 32
    assert_equal(tmp_path / "whole" / "model.safetensors", killed / "model.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize(("objective", "streaming"), [("slap", False), ("clap", False), ("slap", True)])
def test_two_processes_train_one_model(objective, streaming, tones, tmp_path):
    settings = {"objective": objective, "steps": 4, "batch_size": 8, "micro_batch": 4 - 2 * streaming}
    options = {"streaming": True, "workers": 1} if streaming else {}
    in_two_processes(*arguments(tones, tmp_path, settings, **options))
    assert_equal(tmp_path / "rank-0.safetensors", tmp_path / "rank-1.safetensors")
    rows = read_json_lines(tmp_path / "train.jsonl")[0]
    assert [row["step"] for row in rows] == [1, 2, 3, 4] and "validation" in rows[-1]
    assert slapkit.load(tmp_path).embed_text(["a low tone"]).shape == (1, 32)
    clips = [{c // 2 for captions, _ in drawn(tmp_path, rank).values() for c in captions} for rank in range(2)]
    assert not clips[0] & clips[1] and clips[0] | clips[1] == set(range(32)), "one epoch: every clip once"
