"""Work in processes that may hang or crash: each task has a time limit, and none takes the build down with it."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, TimeoutError, as_completed
from typing import Any

from slapkit.errors import ConfigError, SlapkitError


def _follow_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _start(parent: int, quiet: bool) -> None:
    """Set a worker up: it ends when its parent was killed, and (`quiet`) native crashes do not print."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    threading.Thread(target=_follow_parent, args=(parent,), daemon=True).start()
    if quiet:
        faulthandler.disable()  # notebooks and pytest turn it on, and it would print every crash of verovio
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)


def run_tasks(
    function: Callable[..., Any], tasks: Sequence[Any], *, workers: int, timeout_s: float, quiet: bool = False
) -> Iterator[tuple[int, Any, str | None]]:
    """Yield `(index, result, None)` or `(index, None, reason)` for each task, in the order they end.

    A task that takes longer than `timeout_s` seconds is killed; one whose process dies is reported as crashed. An error
    of slapkit (a full disk, a bad SoundFont) ends the whole run: no other task would fare better.
    """
    from pebble import ProcessExpired, ProcessPool

    if not tasks:
        return
    if multiprocessing.parent_process() is not None:
        raise ConfigError(
            "the corpus is being built from inside a worker process; in a script, put the call under "
            'if __name__ == "__main__":'
        )
    # Fork is quick, and scripts need no `__main__` guard; the workers use no thread pool that a fork would break.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    workers = min(workers, len(tasks))
    pool = ProcessPool(workers, initializer=_start, initargs=(os.getpid(), quiet), context=context)
    try:
        futures = {pool.schedule(function, args=(task,), timeout=timeout_s): i for i, task in enumerate(tasks)}
        for future in as_completed(futures):
            try:
                yield futures[future], future.result(), None
            except SlapkitError:
                raise
            except TimeoutError:
                yield futures[future], None, f"took more than {timeout_s:g} s"
            except (ProcessExpired, CancelledError):
                yield futures[future], None, "the process crashed"
            except Exception as error:  # whatever a worker meets is counted, never fatal
                yield futures[future], None, f"{type(error).__name__}: {error}"[:300]
        pool.close()
    finally:
        pool.stop()
        pool.join()
