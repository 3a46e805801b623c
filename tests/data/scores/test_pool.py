from __future__ import annotations

import os
import signal
import time

import pytest

from slapkit.data.scores.pool import run_tasks
from slapkit.errors import StorageError


def behave(task: str) -> str:
    if task == "hang":
        time.sleep(60)
    if task == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    if task == "raise":
        raise ValueError("no such key")
    if task == "full":
        raise StorageError("no space left")
    return task.upper()


def test_tasks_that_hang_crash_or_raise_are_reported_and_the_others_done():
    tasks = ["a", "hang", "b", "crash", "c", "raise", "d"]
    started = time.monotonic()
    results = {
        tasks[i]: (value, problem)
        for i, value, problem in run_tasks(behave, tasks, workers=2, timeout_s=2.0, quiet=True)
    }
    assert time.monotonic() - started < 30
    assert {k: v for k, (v, p) in results.items() if p is None} == {"a": "A", "b": "B", "c": "C", "d": "D"}
    assert "more than 2 s" in results["hang"][1]
    assert "crashed" in results["crash"][1]
    assert "no such key" in results["raise"][1]


def test_a_full_disk_ends_the_run():
    with pytest.raises(StorageError, match="no space"):
        list(run_tasks(behave, ["full", "a"], workers=1, timeout_s=10))


def test_nothing_to_do_starts_nothing():
    assert list(run_tasks(behave, [], workers=2, timeout_s=1)) == []
