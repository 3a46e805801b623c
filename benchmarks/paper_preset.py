"""The `paper` preset makes real optimisation steps: on a GPU in bf16 if one is there, else two steps of batch 2 on the
CPU.

    python benchmarks/paper_preset.py [--data data/scores-quick] [--batch 768] [--micro 128] [--steps 20]

Prints parameters, losses, clips/s, peak memory, and on a GPU the share of its peak arithmetic (bf16, dense) that the
steps use.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from slapkit import data
from slapkit.presets import preset
from slapkit.training.loop import Trainer

PEAK_FLOPS = {"H100": 989e12, "H200": 989e12, "A100": 312e12}  # dense bf16, by the makers' data sheets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    gpu = torch.cuda.is_available()
    parser.add_argument("--data", default="data/scores-quick", type=Path)
    parser.add_argument("--batch", default=768 if gpu else 2, type=int)
    parser.add_argument("--micro", default=128 if gpu else 2, type=int)
    parser.add_argument("--steps", default=20 if gpu else 2, type=int)
    args = parser.parse_args()

    settings = {"batch_size": args.batch, "micro_batch": args.micro, "precision": "bf16" if gpu else "no"}
    chosen = preset("paper", train=settings)
    dataset = data.read(args.data)
    if not gpu:  # features at 48 kHz of a few clips are enough for two steps
        few = [clip for split in ("train", "validation") for clip in dataset.split(split).clips[:16]]
        dataset = dataset.with_clips(few)
    out = Path(tempfile.mkdtemp())
    trainer = Trainer(chosen.model, chosen.train, dataset, out, args.data / "cache", progress=True)
    towers = sum(p.numel() for tower in (trainer.model.audio, trainer.model.text) for p in tower.parameters())
    trained = sum(p.numel() for p in trainer.trained)
    before = {name: p.detach().clone() for name, p in list(trainer.model.named_parameters())[:3]}

    with FlopCounterMode(display=False) as flops:
        losses = [trainer.step(0)[0]["loss"].item()]
    times = []
    for step in range(1, args.steps):
        if gpu:
            torch.cuda.synchronize()
        began = time.perf_counter()
        losses.append(trainer.step(step)[0]["loss"].item())
        times.append(time.perf_counter() - began)
    moved = all(not torch.equal(before[name], dict(trainer.model.named_parameters())[name]) for name in before)
    seconds = sorted(times)[len(times) // 2]
    result = {
        "encoders_and_projectors_M": round(towers / 1e6, 1),
        "trained_M": round(trained / 1e6, 1),
        "losses": [round(x, 4) for x in losses],
        "weights_moved": moved,
        "step_s": round(seconds, 2),
        "clips_per_s": round(args.batch / seconds, 2),
        "TFLOP_per_step": round(flops.get_total_flops() / 1e12, 2),
    }
    if gpu:
        name = torch.cuda.get_device_name()
        peak = next((value for key, value in PEAK_FLOPS.items() if key in name), None)
        result |= {"device": name, "peak_GiB": round(torch.cuda.max_memory_allocated() / 2**30, 1)}
        if peak:
            result["share_of_peak"] = round(flops.get_total_flops() / seconds / peak, 3)
    else:
        result["peak_GiB"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 1)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
