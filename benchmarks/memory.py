"""Does accumulation hold memory? Peak memory of an effective batch of 1,024 beside that of one micro-batch.

    python benchmarks/memory.py [--data data/scores-quick] [--batch 1024] [--micro 64] [--steps 3]

Every case runs in a process of its own (`slapkit.claims.memory`). Linux only.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from slapkit.claims.memory import peak_memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="data/scores-quick", type=Path)
    parser.add_argument("--batch", default=1024, type=int)
    parser.add_argument("--micro", default=64, type=int)
    parser.add_argument("--steps", default=3, type=int)
    args = parser.parse_args()
    peaks = peak_memory(
        args.data,
        cache_dir=args.data / "cache",
        preset="tiny",
        batches=(args.micro, args.batch),
        micro=args.micro,
        kinds=("accumulated", "cached"),
        repetitions=1,
        steps=args.steps,
    )
    for objective, kind in (("slap", "accumulated"), ("clap", "cached")):
        one, whole = (peaks[objective, kind, batch][0] for batch in (args.micro, args.batch))
        found = {"objective": objective, "peak_MiB": {args.micro: one, args.batch: whole}}
        print(json.dumps(found | {"ratio": round(whole / one, 4)}))


if __name__ == "__main__":
    main()
