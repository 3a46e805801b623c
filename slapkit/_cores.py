"""The cores of this machine: how many there are, and work that is spread over them."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Piece = TypeVar("Piece")
Result = TypeVar("Result")


def available_cores() -> int:
    """Return the number of cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spread(function: Callable[[Piece], Result], pieces: Sequence[Piece], *, most: int | None = None) -> list[Result]:
    """Return `function` of each piece, in order, without gradients; up to `most` threads take a piece each.

    Threads that share one product wait for each other after every operation. Where pieces are fewer than threads, they
    are taken one after another, by all cores together. Autocast does not reach the threads.
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
