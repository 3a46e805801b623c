"""kill -9 while features are computed, and several processes at once: the result is the same to the byte."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slapkit.audio.features import FeatureFile

HERE = Path(__file__).parent
SENTINEL = "SLAPKIT_TEST_KILLING"


def drive(mode, root, cache, log, *, seed=0, count=1, workers=1):
    """Run killing.py and return what it tells."""
    command = [sys.executable, str(HERE / "killing.py"), mode, *map(str, (root, cache, log, seed, count, workers))]
    search = os.pathsep.join(filter(None, [str(HERE.parents[1]), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": search, SENTINEL: str(cache)}
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def content(cache):
    (path,) = cache.glob("*.features")
    FeatureFile(path).verify(progress=False)
    assert not [p.name for p in cache.iterdir() if p.suffix not in (".features", ".lock")]
    return path.read_bytes()


def processes_of(cache):
    """Return the ids of live processes that were started for `cache`."""
    mark = f"{SENTINEL}={cache}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
def test_twenty_kills_change_no_byte(make_dataset, tmp_path, seed):
    root = make_dataset(count=250, seconds=0.2)
    assert drive("kill", root, tmp_path / "whole", tmp_path / "log", count=0) == {"killed": 0, "finished": 1}
    told = drive("kill", root, tmp_path / "cache", tmp_path / "log", seed=seed * 1000, count=20)
    assert told["finished"] == 1 and told["killed"] == 20, told
    assert content(tmp_path / "cache") == content(tmp_path / "whole")
    whole, last = map(int, (tmp_path / "log").read_text().split())
    assert whole == 250 and last < 230, "what was finished is not computed again"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")
def test_kills_leave_no_helper_process_behind(make_dataset, tmp_path):
    root = make_dataset(count=300, seconds=0.2)
    drive("kill", root, tmp_path / "whole", tmp_path / "log", count=0)
    told = drive("kill", root, tmp_path / "cache", tmp_path / "log", count=3, workers=2)
    assert told["finished"] == 1 and told["killed"] >= 1
    assert content(tmp_path / "cache") == content(tmp_path / "whole")
    for _ in range(50):
        if not processes_of(tmp_path / "cache"):
            break
        time.sleep(0.2)
    assert not processes_of(tmp_path / "cache")


def test_processes_that_build_the_same_do_it_once(make_dataset, tmp_path):
    root = make_dataset(count=60, seconds=0.5)
    drive("kill", root, tmp_path / "whole", tmp_path / "alone", count=0)
    told = drive("together", root, tmp_path / "cache", tmp_path / "log", count=3)
    assert told["finished"] == 3
    assert sorted(map(int, (tmp_path / "log").read_text().split())) == [0, 0, 60]
    assert content(tmp_path / "cache") == content(tmp_path / "whole")


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_system_that_refuses_to_write_is_told_and_work_is_kept(make_dataset, tmp_path, workers):
    root = make_dataset(count=40, seconds=0.5)
    drive("kill", root, tmp_path / "whole", tmp_path / "log", count=0)
    told = drive("limit", root, tmp_path / "cache", tmp_path / "log", count=20_011, workers=workers)["told"]
    assert "no space left to write" in told and ".partial" in told and "run the same command again" in told
    (journal,) = (tmp_path / "cache").glob("*.journal")
    assert len(journal.read_text().splitlines()) > 5
    drive("kill", root, tmp_path / "cache", tmp_path / "log", count=0)
    whole, rest = map(int, (tmp_path / "log").read_text().split())
    assert rest < whole - 5
    assert content(tmp_path / "cache") == content(tmp_path / "whole")
