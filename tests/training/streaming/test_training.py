"""Training on streamed sounds: it learns, goes on after kill -9 at the very pair, and shares its data out."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import slapkit
from slapkit.data.shards import write_shards
from slapkit.errors import CheckpointError
from slapkit.models.weights import load_tensors
from slapkit.training import train
from slapkit.training.prefetch import StreamBatches
from slapkit.training.streaming import StreamConfig
from tests.training.tones import make_tones, stopped_at, tiny

SCRIPT = """
import json, os, sys
sys.path.insert(0, {root!r})
import torch
torch.set_num_threads(1)
from pathlib import Path
from tests.training.tones import tiny
from slapkit.data import read
from slapkit.training.streaming import StreamConfig
from slapkit.training.prefetch import StreamBatches
from slapkit.training import train
out, original = Path({out!r}), StreamBatches.pairs

def pairs(self, step, k):
    sound, captions = original(self, step, k)
    with open(out / f"drawn-{{self.rank}}.jsonl", "a") as file:
        file.write(json.dumps([step, k, captions.tolist(), float(sound.double().sum())]) + "\\n")
    if (step, k) == tuple(map(int, os.environ.get("KILL_AT", "-1 -1").split())):
        os.kill(os.getpid(), 9)
    return sound, captions

StreamBatches.pairs = pairs
chosen = tiny({settings!r})
train(model=chosen.model, config=chosen.train, dataset=read({data!r}), out_dir=out,
      cache_dir=out / "cache", progress=False, streaming=StreamConfig(workers={workers}))
"""


def start(out: Path, data: Path, settings: dict, workers: int, **environment: str) -> subprocess.Popen:
    out.mkdir(exist_ok=True)
    script = SCRIPT.format(
        root=str(Path(__file__).parents[3]), out=str(out), data=str(data), settings=settings, workers=workers
    )
    return subprocess.Popen(
        [sys.executable, "-c", script],
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(settings, dataset, folder, **options):
    chosen = tiny(settings)
    options = {"streaming": StreamConfig(workers=0)} | options
    return train(
        model=chosen.model, config=chosen.train, dataset=dataset, out_dir=folder, cache_dir=folder / "cache",
        progress=False, **options,
    )  # fmt: skip


def drawn(folder: Path, rank: int = 0) -> dict[tuple[int, int], list]:
    """What was drawn for each micro-batch; drawn twice, it must have been the same."""
    found: dict[tuple[int, int], list] = {}
    for line in (folder / f"drawn-{rank}.jsonl").read_text().splitlines():
        step, k, *rest = json.loads(line)
        assert found.setdefault((step, k), rest) == rest, "after a kill, the same pairs again"
    return found


def assert_equal_weights(a: Path, b: Path) -> None:
    first, second = (load_tensors(folder / "model.safetensors") for folder in (a, b))
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    return make_tones(tmp_path_factory.mktemp("tones") / "tones", clips=36, seconds=2.5)


@pytest.mark.slow
def test_streamed_training_learns_and_its_model_is_of_use(tones, tmp_path):
    trained = run({"steps": 40, "eval_every": 40}, tones, tmp_path)
    losses = [row["loss"] for row in trained.history]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5]) and trained.history[-1]["validation"]["effective_rank"] > 2
    kept = [path.name for path in (tmp_path / "cache").glob("*.features")]
    assert len(kept) == 1, "of the validation split"
    assert (tmp_path / "cache" / kept[0]).stat().st_size < 6 * 130 * 64 * 2 + 10_000
    assert slapkit.load(tmp_path).embed_audio([tones.clips[0].path]).shape == (1, 32)


@pytest.mark.parametrize("objective", ["slap", pytest.param("clap", marks=pytest.mark.slow)])
def test_a_stopped_run_ends_with_the_same_weights(objective, tones, tmp_path):
    settings = {"objective": objective, "micro_batch": 8}
    run(settings, tones, tmp_path / "whole")
    with stopped_at(5):
        run(settings, tones, tmp_path / "stopped")
    run(settings, tones, tmp_path / "stopped", streaming=StreamConfig(workers=1, ahead=1))
    assert_equal_weights(tmp_path / "whole", tmp_path / "stopped")


def test_shards_train_the_same_model(tones, tmp_path):
    run({"steps": 4}, tones, tmp_path / "files")
    run({"steps": 4}, write_shards(tones, tmp_path / "packed", progress=False), tmp_path / "shards")
    assert_equal_weights(tmp_path / "files", tmp_path / "shards")


def test_streaming_and_kept_features_do_not_mix_in_one_run(tones, tmp_path):
    run({"steps": 2}, tones, tmp_path)
    with pytest.raises(CheckpointError, match="data: "):
        run({"steps": 2}, tones, tmp_path, streaming=None)


@pytest.mark.slow
def test_kill_9_goes_on_at_the_same_pair(tones, tmp_path, monkeypatch):
    settings = {"steps": 30, "checkpoint_every": 3, "eval_every": 30, "micro_batch": 8}
    whole, original = {}, StreamBatches.pairs

    def pairs(self, step, k):
        sound, captions = original(self, step, k)
        whole[step, k] = [captions.tolist(), float(sound.double().sum())]
        return sound, captions

    monkeypatch.setattr(StreamBatches, "pairs", pairs)
    run(settings, tones, tmp_path / "whole")
    killed, log = tmp_path / "killed", tmp_path / "killed" / "drawn-0.jsonl"
    process = start(killed, tones.root, settings, workers=2, KILL_AT="11 0")
    said, _ = process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL, said
    first = drawn(killed)
    assert len(first) == 23 and first.items() <= whole.items()
    last = start(killed, tones.root, settings, workers=1)
    said, _ = last.communicate(timeout=200)
    assert last.returncode == 0, said
    lines = log.read_text().splitlines()
    assert json.loads(lines[len(first)])[:2] == [9, 0], "it went on from its last checkpoint"
    assert drawn(killed) == whole and len(whole) == 60
    assert_equal_weights(tmp_path / "whole", killed)


@pytest.mark.slow
def test_two_processes_hear_disjoint_parts_that_are_everything(tones, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    settings = {"steps": 3, "batch_size": 8, "eval_every": 3}
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "ACCELERATE_USE_CPU": "true"}
    both = [
        start(tmp_path / "two", tones.root, settings, 1, **common, RANK=str(rank), LOCAL_RANK=str(rank))
        for rank in range(2)
    ]
    for process in both:
        said, _ = process.communicate(timeout=240)
        assert process.returncode == 0, said
    clips = [{c // 2 for captions, _ in drawn(tmp_path / "two", rank).values() for c in captions} for rank in range(2)]
    assert not clips[0] & clips[1] and clips[0] | clips[1] == set(range(24)), "one epoch: every clip once"
