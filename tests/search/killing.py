"""Run by test_killed.py in a fresh Python: embeds in forked children and kills them at random moments."""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch

from slapkit.hub import store as vector_store
from slapkit.hub.embed import embed_collection
from slapkit.models import embed
from slapkit.search import Library, store
from tests.search.library_parts import make_model

torch.set_num_threads(1)
kind, root, out, whole = sys.argv[1:5]
model, log, killed = make_model(), Path(f"{out}.log"), 0


def made(out):
    """Build a library or a Parquet file, and return the vectors of each file."""
    if kind == "library":
        rows = Library.build(root, model, out=out, progress=False)._store
        return {id: rows.vectors_of(item["first"], item["windows"]) for id, item in rows.items.items()}
    embed_collection(model, root, out, chunk=2, workers=1, progress=False)
    table = pq.read_table(out).to_pydict()
    return {id: np.array(vector) for id, vector in zip(table["id"], table["q"])}


def start(seed):
    """Fork a child that embeds slowly enough to be hit anywhere; what it embeds is counted in `log`."""
    child = os.fork()
    if child:
        return child
    random.seed(seed)
    store.BATCH = embed.embed_windows.__kwdefaults__["batch_size"] = 4
    flush, fsync, embed_windows = vector_store.sync_file, os.fsync, embed._embed
    vector_store.sync_file = lambda path: (time.sleep(random.uniform(0, 0.02)), flush(path))
    os.fsync = lambda handle: (time.sleep(random.uniform(0, 0.02)), fsync(handle))

    def counting(waiting, *rest):
        with open(log, "a") as file:
            file.write("x" * len(waiting))
        return embed_windows(waiting, *rest)

    embed._embed = counting
    status = 1
    try:
        made(out)
        status = 0
    finally:
        os._exit(status)


random.seed(1)
for number in range(int(sys.argv[5])):
    child = start(number)
    time.sleep(random.uniform(0.02, 0.35))
    if os.waitpid(child, os.WNOHANG) == (0, 0):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        killed += 1
assert os.waitpid(start(99), 0)[1] == 0
embedded, found, expected = len(log.read_text()), made(out), made(whole)
assert found.keys() == expected.keys()
worst = max(float(np.abs(found[id] - expected[id]).max()) for id in expected)
print(json.dumps({"killed": killed, "files": len(found), "worst": worst, "embedded": embedded}))
