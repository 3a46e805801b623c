"""The whole of `train` in other processes: killed with -9, and shared by two as a launcher starts them."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

import slapkit
from slapkit._io import read_json_lines
from slapkit.models.weights import load_tensors
from slapkit.training import checkpoint
from tests.training.tones import assert_equal, in_two_processes, weights

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
original = kind.pairs
out.mkdir(exist_ok=True)

def pairs(self, step, k):
    found = original(self, step, k)
    with open(out / f"drawn-{self.rank}.jsonl", "a") as file:
        values = [None if value is None else torch.as_tensor(value).double().sum().item() for value in found]
        file.write(json.dumps([step, k, found.captions.tolist(), *values]) + "\\n")
    return found

kind.pairs = pairs
trained = run(tiny(settings), read(data), out, **options)
save_tensors(trained.model.own_state(), out / f"rank-{os.environ.get('RANK', 0)}.safetensors")
"""


def drawn(folder: Path, rank: int = 0) -> dict[tuple[int, int], list]:
    """What was drawn for each micro-batch; drawn twice, it must have been the same."""
    found: dict[tuple[int, int], list] = {}
    for step, k, *rest in read_json_lines(folder / f"drawn-{rank}.jsonl")[0]:
        assert found.setdefault((step, k), rest) == rest, "after a kill, the same pairs again"
    return found


def arguments(tones, folder: Path, settings: dict, **options) -> list[str]:
    return ["-c", SCRIPT, str(tones.root), str(folder), json.dumps(settings), json.dumps(options)]


@pytest.mark.slow
def test_kill_9_at_any_moment_goes_on_at_the_same_pair(tones, tmp_path):
    settings = {"steps": 20, "checkpoint_every": 1, "eval_every": 10, "micro_batch": 8}
    settings |= {"text_views": True, "window_views": True}
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    log, chance, progress = tmp_path / "killed" / "drawn-0.jsonl", random.Random(0), []

    def start(name: str, workers: int) -> subprocess.Popen:
        command = arguments(tones, tmp_path / name, settings, streaming=True, workers=workers)
        return subprocess.Popen([sys.executable, *command], env=environment)

    assert start("whole", 0).wait() == 0
    for kill in range(2):
        seen, process = log.stat().st_size if log.exists() else 0, start("killed", workers=kill)
        while process.poll() is None and (not log.exists() or log.stat().st_size < seen + 500):
            time.sleep(0.005)
        time.sleep(chance.uniform(0.0, 0.1))
        process.kill()
        process.wait()
        complete = checkpoint.complete(tmp_path / "killed" / "training")
        progress.append(int(complete[-1].name[5:]) if complete else 0)
        for path in complete:
            assert load_tensors(path / "model.safetensors") and load_tensors(path / "optimizer.safetensors")
    assert progress == sorted(progress) and 0 < progress[0] < progress[-1] < 20
    assert start("killed", 1).wait() == 0
    assert drawn(tmp_path / "killed") == drawn(tmp_path / "whole")
    assert_equal(weights(tmp_path / "whole"), weights(tmp_path / "killed"))
    assert [row["step"] for row in read_json_lines(tmp_path / "killed" / "train.jsonl")[0]] == list(range(1, 21))


@pytest.mark.slow
def test_two_processes_train_one_model(tones, tmp_path):
    settings = {"steps": 4, "batch_size": 8, "micro_batch": 2}
    in_two_processes(*arguments(tones, tmp_path, settings, streaming=True, workers=1))
    assert_equal(*(load_tensors(tmp_path / f"rank-{rank}.safetensors") for rank in range(2)))
    rows = read_json_lines(tmp_path / "train.jsonl")[0]
    assert [row["step"] for row in rows] == [1, 2, 3, 4] and "validation" in rows[-1]
    assert slapkit.load(tmp_path).embed_text(["a low tone"]).shape == (1, 32)
    clips = [{c // 2 for captions, *_ in drawn(tmp_path, rank).values() for c in captions} for rank in range(2)]
    assert not clips[0] & clips[1] and clips[0] | clips[1] == set(range(32)), "one epoch: every clip once"
