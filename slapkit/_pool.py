"""Work in processes that may hang or crash: each task has a time limit, and none takes the others down with it."""

from __future__ import annotations

import contextlib
import faulthandler
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, TimeoutError, as_completed
from typing import TYPE_CHECKING, Any

from slapkit.errors import ConfigError, SlapkitError

if TYPE_CHECKING:
    from pebble import ProcessPool


def _follow_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def start_worker(parent: int, quiet: bool) -> None:
    """Set a worker up: it ends when its parent was killed, and (`quiet`) neither decoders nor native crashes print."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    threading.Thread(target=_follow_parent, args=(parent,), daemon=True).start()
    if quiet:
        faulthandler.disable()  # notebooks and pytest turn it on, and it would print every crash of a decoder
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)


@contextlib.contextmanager
def process_pool(workers: int, *, quiet: bool = False) -> Iterator[ProcessPool]:
    """Yield a pool of processes; those that still work when the block is left are killed."""
    from pebble import ProcessPool

    # Fork is quick, and scripts need no `__main__` guard; the workers use no thread pool that a fork would break.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    if sys.platform != "linux" and multiprocessing.parent_process() is not None:
        raise ConfigError('a worker starts workers: in a script, put the call under `if __name__ == "__main__":`')
    pool = ProcessPool(workers, initializer=start_worker, initargs=(os.getpid(), quiet), context=context)
    try:
        yield pool
        pool.close()
    finally:
        pool.stop()
        pool.join()


def outcome(future: Future, timeout_s: float) -> tuple[Any, str | None]:
    """Return the result of a task and None, or None and the reason why there is no result. A `SlapkitError` of the task
    (a full disk, a bad SoundFont) is raised: no other task would fare better."""
    from pebble import ProcessExpired

    try:
        return future.result(), None
    except SlapkitError:
        raise
    except TimeoutError:
        return None, f"took more than {timeout_s:g} s"
    except (ProcessExpired, CancelledError):
        return None, "the process crashed"
    except Exception as error:  # whatever a worker meets is counted, never fatal
        return None, f"{type(error).__name__}: {error}"[:300]


def run_tasks(
    function: Callable[..., Any], tasks: Sequence[Any], *, workers: int, timeout_s: float, quiet: bool = False
) -> Iterator[tuple[int, Any, str | None]]:
    """Yield the index of each task and its `outcome`, in the order they end; one that takes too long is killed."""
    if not tasks:
        return
    with process_pool(min(workers, len(tasks)), quiet=quiet) as pool:
        futures = {pool.schedule(function, args=(task,), timeout=timeout_s): i for i, task in enumerate(tasks)}
        for future in as_completed(futures):
            yield futures[future], *outcome(future, timeout_s)
