"""Peak memory of a batch size, each measured over some steps in a process of its own.

On a CPU the figure is the peak of the process's anonymous resident memory, sampled every 2 ms: pages of the
memory-mapped features are the system's to take back and do not count. On a GPU it is what torch allocated at most.
"""

import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import psutil

from slapkit._io import atomic_write_json
from slapkit.data import read
from slapkit.errors import RunError
from slapkit.presets import preset as named
from slapkit.runs.claims.plan import Size
from slapkit.training.loop import Trainer

KINDS = {"accumulated": "slap", "plain": "clap", "cached": "clap"}  # how a batch is taken -> objective
_STEPS = 2  # of training, in each process
Peaks = dict[tuple[str, str, int], list[float]]  # (objective, kind, batch) -> MiB, one value a repetition


def take_steps(
    data: str | Path, cache_dir: str | Path, preset: str, objective: str, batch: int, micro: int, steps: int
) -> float:
    """Take some training steps and return the peak memory of this process (MiB)."""
    import torch

    chosen = named(preset, train={"objective": objective, "batch_size": batch, "micro_batch": micro})
    peak, done, process = [0], threading.Event(), psutil.Process()

    def watch() -> None:
        while not done.wait(0.002):
            memory = process.memory_info()
            peak[0] = max(peak[0], memory.rss - memory.shared)

    with tempfile.TemporaryDirectory() as out:
        trainer = Trainer(chosen.model, chosen.train, read(data), Path(out), Path(cache_dir), progress=False)
        watcher = threading.Thread(target=watch)
        watcher.start()
        for step in range(steps):
            trainer.step(step)
        done.set()
        watcher.join()
    return (torch.cuda.max_memory_allocated() if torch.cuda.is_available() else peak[0]) / 2**20


def memory_of(plan: Size, *, data: str | Path, cache_dir: str | Path, keep: str | Path, progress: bool = True) -> Peaks:
    """Return the peak memory of the plan's batch sizes, taken in each way; the folder `keep` holds what was measured.

    Caches are filled first. A batch of one micro-batch takes as many forward passes as the largest, so that the
    allocator has had its chance to grow. A `RunError` names a process that ended without a figure.
    """
    from tqdm.auto import tqdm

    path, micro = Path(keep) / f"memory-{plan.corpus}-{plan.memory_preset}.json", plan.memory[0]
    settings = {
        "preset": plan.memory_preset,
        "batches": list(plan.memory),
        "repetitions": plan.repetitions,
        "steps": _STEPS,
    }
    kept = {}
    if path.exists():
        content = json.loads(path.read_text(encoding="utf-8"))
        kept = content["peaks"] if content["settings"] == settings else {}
    cases = [(kind, batch, n) for kind in KINDS for batch in plan.memory for n in range(plan.repetitions)]
    if any(f"{kind} {batch} {n}" not in kept for kind, batch, n in cases):
        _in_process(data, cache_dir, plan.memory_preset, "slap", micro, micro, 1)  # does not count: it fills the caches
    peaks: Peaks = {}
    for kind, batch, n in tqdm(cases, desc="peak memory", unit="process", disable=not progress):
        name = f"{kind} {batch} {n}"
        if name not in kept:
            at_once = batch if kind == "plain" else min(micro, batch)
            steps = _STEPS if kind == "plain" else _STEPS * max(1, max(plan.memory) // batch)
            kept[name] = _in_process(data, cache_dir, plan.memory_preset, KINDS[kind], batch, at_once, steps)
            atomic_write_json(path, {"settings": settings, "peaks": kept})
        peaks.setdefault((KINDS[kind], kind, batch), []).append(kept[name])
    return peaks


def _in_process(*arguments: object) -> float:
    words = [str(argument) for argument in arguments]
    done = subprocess.run([sys.executable, "-m", __name__, *words], capture_output=True, text=True, check=False)
    try:
        return float(done.stdout.split()[-1])
    except (IndexError, ValueError):
        last = (done.stderr.strip().splitlines() or ["killed by the system, perhaps for want of memory"])[-1]
        raise RunError(f"measuring the memory of {' '.join(words[2:])} ended with {done.returncode}: {last}") from None


if __name__ == "__main__":
    _data, _cache, _preset, _objective, *_numbers = sys.argv[1:]
    print(take_steps(_data, _cache, _preset, _objective, *map(int, _numbers)))
