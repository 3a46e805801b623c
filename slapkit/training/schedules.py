"""Schedules: pure functions of the optimiser step, counted from 0, out of `total` steps."""

import math


def warmup_cosine(*, step: int, total: int, warmup_fraction: float, peak: float) -> float:
    """Learning rate: linear from peak/warm-up to `peak` over the first `warmup_fraction` of training, then a half
    cosine towards 0.

    The first step already learns (rate > 0) and so does the last.

    Examples:
        >>> [round(warmup_cosine(step=i, total=8, warmup_fraction=0.25, peak=1.0), 2) for i in range(8)]
        [0.5, 1.0, 1.0, 0.93, 0.75, 0.5, 0.25, 0.07]
    """
    warmup = max(1, round(total * warmup_fraction)) if warmup_fraction > 0 else 0
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, total - warmup)
    return peak * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def tau_schedule(*, step: int, total: int, start: float, end: float) -> float:
    """EMA decay: half a cosine from `start` at step 0 to `end` at the last step (BYOL, arXiv 2006.07733, section 3.2).

    The paper keeps it constant: `start == end`.

    Examples:
        >>> [round(tau_schedule(step=i, total=5, start=0.9, end=1.0), 3) for i in range(5)]
        [0.9, 0.915, 0.95, 0.985, 1.0]
    """
    progress = step / max(1, total - 1)
    return end - (end - start) * (1 + math.cos(math.pi * min(1.0, progress))) / 2
