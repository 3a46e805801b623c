"""kill -9 at random moments: what is on the disk stays whole, and the run ends with the weights of an unstopped one."""

from __future__ import annotations

import multiprocessing
import random
import time

import pytest
import torch

from slapkit import data
from slapkit._io import read_json_lines
from slapkit.models.weights import load_tensors
from slapkit.training import checkpoint
from tests.training import tones as parts


def train(root, folder, cache):
    torch.set_num_threads(1)
    settings = {"steps": 60, "checkpoint_every": 1, "eval_every": 25, "micro_batch": 8}
    parts.run(parts.tiny(settings), data.read(root), folder, cache)


@pytest.mark.slow
def test_training_survives_six_kills(tones, cache, tmp_path):
    context = multiprocessing.get_context("forkserver")
    models = ["transformers.models.bert.modeling_bert", "transformers.models.auto.modeling_auto"]
    context.set_forkserver_preload(["slapkit.training", "slapkit.data", *models])

    def start(folder):
        process = context.Process(target=train, args=(tones.root, folder, cache))
        process.start()
        return process

    def size():
        return log.stat().st_size if log.exists() else 0

    chance, progress, folder = random.Random(0), [], tmp_path / "killed"
    log = folder / "train.jsonl"
    whole = start(tmp_path / "whole")
    whole.join()
    assert whole.exitcode == 0
    for kill in range(6):
        written, process = size(), start(folder)
        if kill == 3:  # one kill hits the way to the first step, the others the steps
            time.sleep(chance.uniform(0.1, 1.5))
        else:
            # A few rows more, and a moment: however fast the machine is, kills spread over steps.
            wanted, began = written + 200 * chance.randint(1, 6), time.monotonic()
            while size() < wanted and time.monotonic() - began < 60:
                time.sleep(0.005)
            time.sleep(chance.uniform(0.0, 0.05))
        process.kill()
        process.join()
        complete = checkpoint.complete(folder / "training")
        progress.append(int(complete[-1].name[5:]) if complete else 0)
        for path in complete:
            assert load_tensors(path / "model.safetensors") and load_tensors(path / "optimizer.safetensors")
        steps = [row["step"] for row in read_json_lines(log)[0]]
        assert steps == sorted(steps)
    assert progress == sorted(progress) and len(set(progress)) > 3, f"kills hit training at different steps: {progress}"
    last = start(folder)
    last.join()
    assert last.exitcode == 0
    a, b = (load_tensors(tmp_path / name / "model.safetensors") for name in ("whole", "killed"))
    assert all(torch.equal(a[name], b[name]) for name in a) and a.keys() == b.keys()
    assert [row["step"] for row in read_json_lines(log)[0]] == list(range(1, 61))
