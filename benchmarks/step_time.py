"""How much longer is a SLAP step than a CLAP step? Both trainers take turns in one process, so that noise hits both.

    python benchmarks/step_time.py [--data data/scores-quick] [--preset tiny] [--rounds 40]

Prints the median step times (s) and the median and spread of the paired ratios, with frozen text.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from slapkit import data
from slapkit.presets import preset
from slapkit.training.loop import Trainer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="data/scores-quick", type=Path)
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--rounds", default=40, type=int)
    parser.add_argument("--batch", default=None, type=int, help="instead of the preset's")
    parser.add_argument("--warmup", default=5, type=int, help="rounds that are not counted")
    args = parser.parse_args()

    dataset, trainers = data.read(args.data), {}
    out = Path(tempfile.mkdtemp())
    for objective in ("slap", "clap"):
        settings = {"objective": objective} | ({"batch_size": args.batch} if args.batch else {})
        chosen = preset(args.preset, train=settings)
        trainers[objective] = Trainer(
            chosen.model, chosen.train, dataset, out / objective, args.data / "cache", progress=True
        )
    times: dict[str, list[float]] = {objective: [] for objective in trainers}
    for step in range(args.warmup + args.rounds):
        for objective in sorted(trainers, reverse=step % 2 == 0):  # neither always follows the other's cache
            began = time.perf_counter()
            trainers[objective].step(step)
            times[objective].append(time.perf_counter() - began)
    counted = {objective: np.array(values[args.warmup :]) for objective, values in times.items()}
    ratios = counted["slap"] / counted["clap"]
    result = {f"{objective}_step_s": round(float(np.median(values)), 4) for objective, values in counted.items()}
    quartiles = np.percentile(ratios, [25, 50, 75]).round(3).tolist()
    result |= {"ratio_of_medians": round(result["slap_step_s"] / result["clap_step_s"], 3)}
    result |= {"paired_ratio_quartiles": quartiles, "rounds": args.rounds, "batch": chosen.train.batch_size}
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
