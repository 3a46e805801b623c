"""Run by test_features_killed.py in a fresh Python: builds features in forked children and kills them.

Forks come from a process that has imported everything and computed nothing, so that a child starts at once.
"""

import json
import os
import random
import resource
import signal
import sys
import time

import soundfile  # noqa: F401  (a child would import it again)
import torch
import tqdm.auto  # noqa: F401

from slapkit.audio import features, worker
from slapkit.audio.frontend import FrontendConfig
from slapkit.data import read
from slapkit.errors import StorageError

SMALL = FrontendConfig(sample_rate=8000, n_fft=256, hop=160, n_mels=16, f_max=4000.0, min_s=0.5)


def slowly(delay):
    """Make building take long enough to be hit anywhere: before, between and after what it writes."""
    write = features._write

    def slow_write(file, data):
        time.sleep(random.uniform(0, delay))
        write(file, data[: len(data) // 2])
        time.sleep(random.uniform(0, delay))
        write(file, data[len(data) // 2 :])

    features._write = slow_write


def start(root, cache, log, workers, seed):
    """Fork a child that builds and writes how many rows it computed to `log`; return its process id."""
    child = os.fork()
    if child:
        return child
    torch.set_num_threads(1)
    random.seed(seed)
    slowly(0.004)
    computed = []
    attempt = worker.attempt
    worker.attempt = lambda path, config: computed.append(path) or attempt(path, config)
    status = 1
    try:
        features.build(read(root).audio_files(), SMALL, cache, progress=True, workers=workers)
        with open(log, "a") as file:
            file.write(f"{len(computed)}\n")
        status = 0
    finally:
        os._exit(status)


def wait_for_a_moment(child, cache, early):
    """Wait for a random moment: while the child starts, or a little after its first row (or its last)."""
    if not early:
        before = written(cache)
        while written(cache) == before and os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            time.sleep(0.001)
    time.sleep(random.uniform(0, 0.1))


def written(cache):
    try:
        return sum(entry.stat().st_size for entry in os.scandir(cache) if entry.name.endswith(".journal"))
    except FileNotFoundError:
        return 0


def main(mode, root, cache, log, seed, count, workers):
    worker._transform(SMALL)
    random.seed(seed)
    killed = finished = 0
    if mode == "together":
        children = [start(root, cache, log, workers, seed + i) for i in range(count)]
        finished = sum(os.waitpid(child, 0)[1] == 0 for child in children)
    while mode == "kill" and finished == 0:
        child = start(root, cache, log, workers, seed + killed)
        if killed < count:
            wait_for_a_moment(child, cache, early=killed % 4 == 0)
        if killed < count and os.waitpid(child, os.WNOHANG) == (0, 0):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            killed += 1
        elif killed < count:
            finished = 1
        else:
            finished = int(os.waitpid(child, 0)[1] == 0) or -1
    if mode == "limit":  # the system refuses to let any file grow beyond `count` bytes
        resource.setrlimit(resource.RLIMIT_FSIZE, (count, count))
        try:
            features.build(read(root).audio_files(), SMALL, cache, progress=False, workers=workers)
        except StorageError as error:
            print(json.dumps({"told": str(error)}))
            return
    print(json.dumps({"killed": killed, "finished": finished}))


if __name__ == "__main__":
    main(*sys.argv[1:5], *map(int, sys.argv[5:]))
