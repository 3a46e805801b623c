"""The processor's cores: how many there are for this process, and small pieces of work spread over them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Piece = TypeVar("Piece")
Result = TypeVar("Result")


def available() -> int:
    """Return the number of cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spread(function: Callable[[Piece], Result], pieces: Sequence[Piece], *, most: int | None = None) -> list[Result]:
    """Return `function` of each piece, in order; threads take a piece each and share torch's cores evenly.

    Threads that share one product wait for each other after every operation, and what torch does not divide leaves all
    cores but one idle. Where pieces are fewer than threads, they are taken one after another, by all cores together.
    The function runs without gradients; autocast is its own to set, for it does not reach other threads.

    Args:
        most: pieces that are worked on at a time; by default as many as there are cores.

    Raises:
        Exception: what the function raised, for the first piece of those for which it did.
    """
    import torch

    def apart(piece: Piece) -> Result:
        with torch.no_grad():
            return function(piece)

    threads = torch.get_num_threads()
    count = threads if most is None else min(threads, most)
    if count < 2 or len(pieces) < count:
        return [apart(piece) for piece in pieces]
    try:
        with ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(threads // count,)) as pool:
            return list(pool.map(apart, pieces))
    finally:
        torch.set_num_threads(threads)  # threads had set it for all that begin after them, too
