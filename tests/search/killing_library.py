"""Run by test_updates.py in a fresh Python: builds a library in forked children and kills them at random moments."""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch

from slapkit.hub import store
from slapkit.models import embed
from slapkit.search import Library, sync
from tests.search.library_parts import make_model

torch.set_num_threads(1)


def slowly():
    """Make a build long enough to be hit anywhere: within what it writes, and between vectors and their lines."""
    sync.BATCH = 4
    flush, fsync = store.sync_file, os.fsync
    store.sync_file = lambda path: (time.sleep(random.uniform(0, 0.02)), flush(path))
    os.fsync = lambda handle: (time.sleep(random.uniform(0, 0.02)), fsync(handle))


def start(model, root, out, log, seed):
    """Fork a child that builds; what it hears goes to `log`."""
    child = os.fork()
    if child:
        return child
    random.seed(seed)
    slowly()
    embed_windows = embed._embed

    def counting(waiting, *rest):
        with open(log, "a") as file:
            file.write("x" * len(waiting))
        return embed_windows(waiting, *rest)

    embed._embed = counting
    embed.Embedder.__init__.__kwdefaults__["batch_size"] = 4
    status = 1
    try:
        Library.build(root, model, out=out, progress=False)
        status = 0
    finally:
        os._exit(status)


def rows(library, id):
    item = library._store.items[id]
    return library._store.vectors_of(item["first"], item["windows"])


def main(root, out, whole, kills):
    model, log, killed = make_model(), Path(f"{out}.log"), 0
    random.seed(1)
    for number in range(kills):
        child = start(model, root, out, log, number)
        time.sleep(random.uniform(0.02, 0.35))
        if os.waitpid(child, os.WNOHANG) == (0, 0):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            killed += 1
    child = start(model, root, out, log, kills)
    assert os.waitpid(child, 0)[1] == 0
    library, other = Library.open(out, model), Library.build(root, model, out=whole, progress=False)
    worst = max(float(np.abs(rows(library, id) - rows(other, id)).max()) for id in library._store.items)
    heard = len(log.read_text())
    print(json.dumps({"killed": killed, "tracks": len(library), "worst": worst, "heard": heard}))


if __name__ == "__main__":
    main(*sys.argv[1:4], int(sys.argv[4]))
