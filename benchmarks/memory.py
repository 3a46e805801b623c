"""Does accumulation hold memory? Peak memory of an effective batch of 1,024 beside that of one micro-batch.

    python benchmarks/memory.py [--data data/scores-quick] [--batch 1024] [--micro 64] [--steps 3]

Every case runs in a process of its own, which reports the peak of its anonymous resident memory (MiB), sampled every 2
ms: pages of the memory-mapped features are the system's to take back and do not count. Linux only.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path


class Peak:
    """Watches this process's anonymous resident memory."""

    def __enter__(self) -> Peak:
        self.mib, self._running = 0.0, True
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while self._running:
            status = Path("/proc/self/status").read_text()
            self.mib = max(self.mib, int(status.split("RssAnon:")[1].split()[0]) / 1024)
            time.sleep(0.002)

    def __exit__(self, *exception: object) -> None:
        self._running = False
        self._thread.join()


def case(data: Path, objective: str, batch: int, micro: int, steps: int) -> None:
    """Take some steps and print the peak memory of this process."""
    from slapkit import datasets
    from slapkit.presets import preset
    from slapkit.training.loop import Trainer

    chosen = preset("tiny", train={"objective": objective, "batch_size": batch, "micro_batch": micro})
    out = Path(tempfile.mkdtemp())
    trainer = Trainer(chosen.model, chosen.train, datasets.read(data), out, data / "cache", progress=False)
    with Peak() as peak:
        for step in range(steps):
            trainer.step(step % (trainer.train_audio.rows.size // batch))
    print(peak.mib)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="data/scores-quick", type=Path)
    parser.add_argument("--batch", default=1024, type=int)
    parser.add_argument("--micro", default=64, type=int)
    parser.add_argument("--steps", default=3, type=int)
    parser.add_argument("--case", nargs=2, metavar=("OBJECTIVE", "BATCH"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        case(args.data, args.case[0], int(args.case[1]), args.micro, args.steps)
        return
    for objective in ("slap", "clap"):
        peak = {}
        # The micro-batch alone takes as many forward passes, so that the allocator has had its chance to grow.
        for batch, steps in ((args.micro, args.steps * args.batch // args.micro), (args.batch, args.steps)):
            command = [sys.executable, __file__, "--data", args.data, "--micro", args.micro, "--steps", steps]
            out = subprocess.run(
                [*map(str, command), "--case", objective, str(batch)], check=True, capture_output=True, text=True
            )
            peak[batch] = float(out.stdout.split()[-1])
        ratio = peak[args.batch] / peak[args.micro]
        print(json.dumps({"objective": objective, "peak_MiB": peak, "ratio": round(ratio, 4)}))


if __name__ == "__main__":
    main()
