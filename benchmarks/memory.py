"""Does accumulation hold memory? Peak memory of an effective batch of 1,024 beside that of one micro-batch.

    python benchmarks/memory.py [--data data/scores-quick] [--batch 1024] [--micro 64] [--repetitions 5]

Every case runs in processes of its own (`slapkit.runs.claims.memory`), for the peak of one is uncertain by 2 %: it is
sampled, and the heap of several threads never grows twice alike. The ratio is that of the medians. Linux only.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from statistics import median

from slapkit.runs.claims.memory import memory_of
from slapkit.runs.claims.plan import Size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="data/scores-quick", type=Path)
    parser.add_argument("--batch", default=1024, type=int)
    parser.add_argument("--micro", default=64, type=int)
    parser.add_argument("--repetitions", default=5, type=int)
    args = parser.parse_args()
    sizes = (args.micro, args.batch)
    plan = Size(memory=sizes, repetitions=args.repetitions)
    with tempfile.TemporaryDirectory() as keep:
        peaks = memory_of(plan, data=args.data, cache_dir=args.data / "cache", keep=keep)
    for objective, kind in (("slap", "accumulated"), ("clap", "cached")):
        found = {batch: sorted(round(peak, 1) for peak in peaks[objective, kind, batch]) for batch in sizes}
        ratio = median(found[args.batch]) / median(found[args.micro])
        print(json.dumps({"objective": objective, "peaks_MiB": found, "ratio": round(ratio, 4)}))


if __name__ == "__main__":
    main()
