"""Peak memory of a batch size, each measured over some steps in a process of its own.

On a CPU the figure is the peak of the process's anonymous resident memory (Linux), sampled every 2 ms: pages of the
memory-mapped features are the system's to take back and do not count. On a GPU it is what torch allocated at most.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from slapkit._io import atomic_write_json
from slapkit.data import read
from slapkit.errors import RunError
from slapkit.presets import preset as named
from slapkit.training.loop import Trainer

KINDS = {"accumulated": "slap", "plain": "clap", "cached": "clap"}  # how a batch is taken -> objective
Peaks = dict[tuple[str, str, int], list[float]]  # (objective, kind, batch) -> MiB, one value a repetition


class Peak:
    """Watches this process's anonymous resident memory; `mib` is its peak (MiB)."""

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


def take_steps(
    data: str | Path, cache_dir: str | Path, preset: str, objective: str, batch: int, micro: int, steps: int
) -> float:
    """Take some training steps and return the peak memory of this process (MiB)."""
    import torch

    chosen = named(preset, train={"objective": objective, "batch_size": batch, "micro_batch": micro})
    with tempfile.TemporaryDirectory() as out:
        trainer = Trainer(chosen.model, chosen.train, read(data), Path(out), Path(cache_dir), progress=False)
        with Peak() as peak:
            for step in range(steps):
                trainer.step(step)
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return peak.mib


def peak_memory(
    data: str | Path,
    *,
    cache_dir: str | Path,
    preset: str,
    batches: Sequence[int],
    micro: int,
    kinds: Sequence[str] = tuple(KINDS),
    repetitions: int = 2,
    steps: int = 2,
    keep: str | Path | None = None,
    progress: bool = True,
) -> Peaks:
    """Return the peak memory of each way to take a batch, at each size.

    Caches are filled first. A batch of one micro-batch takes as many forward passes as the largest, so that the
    allocator has had its chance to grow.

    Args:
        data: folder of the data set.
        batches: effective batch sizes; the first is one micro-batch.
        micro: pairs that go through the model at once, where gradients accumulate.
        kinds: "accumulated" (SLAP), "plain" and "cached" (CLAP).
        keep: a JSON file that takes what is measured, and from which it is read instead.

    Raises:
        RunError: a process ended otherwise than with a figure, for want of memory perhaps.
    """
    from tqdm.auto import tqdm

    settings = {"preset": preset, "batches": list(batches), "micro": micro, "repetitions": repetitions, "steps": steps}
    kept = _kept(keep, settings)
    cases = [(kind, batch, n) for kind in kinds for batch in batches for n in range(repetitions)]
    if any(f"{kind} {batch} {n}" not in kept for kind, batch, n in cases):
        # One that does not count: it computes the features and representations that the others find.
        _in_process([str(value) for value in (data, cache_dir, preset, KINDS[kinds[0]], micro, micro, 1)])
    for kind, batch, n in tqdm(cases, desc="peak memory", unit="process", disable=not progress):
        name = f"{kind} {batch} {n}"
        if name in kept:
            continue
        at_once = batch if kind == "plain" else min(micro, batch)
        passes = steps * max(1, max(batches) // batch) if kind != "plain" else steps
        arguments = [data, cache_dir, preset, KINDS[kind], batch, at_once, passes]
        kept[name] = _in_process([str(argument) for argument in arguments])
        if keep is not None:
            atomic_write_json(Path(keep), {"settings": settings, "peaks": kept})
    peaks: Peaks = {}
    for kind, batch, n in cases:
        peaks.setdefault((KINDS[kind], kind, batch), []).append(kept[f"{kind} {batch} {n}"])
    return peaks


def _kept(keep: str | Path | None, settings: dict[str, object]) -> dict[str, float]:
    """Return what was measured before with the same settings."""
    try:
        content = json.loads(Path(keep).read_text(encoding="utf-8")) if keep is not None else {}
        return dict(content["peaks"]) if content.get("settings") == settings else {}
    except (OSError, ValueError, KeyError):
        return {}


def _in_process(arguments: list[str]) -> float:
    done = subprocess.run([sys.executable, "-m", __name__, *arguments], capture_output=True, text=True, check=False)
    try:
        return float(done.stdout.split()[-1])
    except (IndexError, ValueError):
        last = (done.stderr.strip().splitlines() or ["killed by the system, perhaps for want of memory"])[-1]
        raise RunError(
            f"measuring the memory of {' '.join(arguments[2:])} ended with {done.returncode}: {last}"
        ) from None


if __name__ == "__main__":
    _data, _cache, _preset, _objective, *_numbers = sys.argv[1:]
    print(take_steps(_data, _cache, _preset, _objective, *map(int, _numbers)))
