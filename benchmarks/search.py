"""How fast is search, without the text encoder? Exact against the memory's bandwidth; approximate with its recall.

    python benchmarks/search.py [--exact 1000000x512] [--approximate 200000x256] [--rounds 15]

Exact: one query over unit rows in a memory-mapped file, by turns with plain reads of the same file in memory; the
fastest way of reading that is tried here counts as the bandwidth. Approximate: vectors around cluster centres, queries
drawn likewise, one at a time; recall@10 against exact search. Prints JSON; times in ms, build in s.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil

from slapkit.search.index import open_index

_BLOCK = 50_000  # rows made at a time


def unit_rows(path: Path, rows: int, dim: int, *, clusters: int = 0, seed: int = 0) -> np.ndarray:
    """Write unit rows `[rows, dim]`, around `clusters` centres or in all directions, and return them memory-mapped."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(7).standard_normal((clusters, dim), dtype=np.float32) if clusters else None
    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(rows, dim))
    for start in range(0, rows, _BLOCK):
        count = min(_BLOCK, rows - start)
        block = rng.standard_normal((count, dim), dtype=np.float32)
        if centres is not None:
            block = centres[rng.integers(0, clusters, count)] + 0.7 * block
        out[start : start + count] = block / np.linalg.norm(block, axis=1, keepdims=True)
    out.flush()
    del out
    return np.load(path, mmap_mode="r")


def readers(path: Path) -> dict[str, Callable[[], object]]:
    """Return ways of reading every byte once with all processors, doing as little else as can be."""
    import torch

    flat = np.asarray(np.load(path, mmap_mode="c")).reshape(-1)  # torch wants it writable, nothing is written
    parts = np.array_split(flat, psutil.cpu_count())
    pool = ThreadPoolExecutor(len(parts))
    tensor = torch.from_numpy(flat)
    return {
        "torch sum": tensor.sum,
        "numpy sum": lambda: list(pool.map(np.sum, parts)),
        "numpy max": lambda: list(pool.map(np.max, parts)),
        "numpy or": lambda: list(pool.map(np.bitwise_or.reduce, [part.view(np.uint32) for part in parts])),
    }


def milliseconds(call: Callable[[], object]) -> float:
    """Return how long a call takes."""
    began = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - began)


def exact(folder: Path, rows: int, dim: int, rounds: int) -> dict[str, object]:
    """Time exact search by turns with plain reads of the same matrix."""
    vectors = unit_rows(folder / "exact.npy", rows, dim)
    index = open_index(vectors)
    queries = np.random.default_rng(1).standard_normal((rounds + 1, dim)).astype(np.float32)
    ways = readers(folder / "exact.npy")
    first = milliseconds(lambda: index.search(queries[-1], 10))  # also fills the page tables
    times: dict[str, list[float]] = {name: [] for name in [*ways, "search"]}
    for number in range(rounds):
        calls = list((ways | {"search": lambda n=number: index.search(queries[n], 10)}).items())
        for name, call in calls[number % len(calls) :] + calls[: number % len(calls)]:  # none always follows the same
            times[name].append(milliseconds(call))
    fastest = min(ways, key=lambda name: float(np.median(times[name])))
    read, search = np.array(times[fastest]), np.array(times["search"])
    gigabytes = vectors.nbytes / 1e9
    return {
        "shape": [rows, dim],
        "read_once_ms": round(float(np.median(read)), 1),
        "read_by": fastest,
        "bandwidth_GB_s": round(1000 * gigabytes / float(np.median(read)), 1),
        "search_ms": round(float(np.median(search)), 1),
        "ratio": round(float(np.median(search) / np.median(read)), 3),
        "paired_ratio_quartiles": np.percentile(search / read, [25, 50, 75]).round(3).tolist(),
        "ratio_of_fastest": round(float(search.min() / read.min()), 3),
        "first_search_ms": round(first, 1),
        "batch_of_32_ms_per_query": round(milliseconds(lambda: index.search(queries[:1].repeat(32, 0), 10)) / 32, 1),
        "rounds": rounds,
    }


def approximate(folder: Path, rows: int, dim: int, clusters: int, queries: int) -> dict[str, object]:
    """Build a graph over clustered vectors and time single queries."""
    vectors = unit_rows(folder / "clustered.npy", rows, dim, clusters=clusters)
    asked = np.asarray(unit_rows(folder / "queries.npy", queries, dim, clusters=clusters, seed=1))
    truth = open_index(vectors).search(asked, 10)[1]
    build = milliseconds(lambda: open_index(vectors, "usearch", location=folder / "index")) / 1000
    began = time.perf_counter()
    index = open_index(vectors, "usearch", location=folder / "index")
    opened = time.perf_counter() - began
    index.search(asked[:20], 10)
    times = np.array([milliseconds(lambda q=query: index.search(q, 10)) for query in asked])
    found = index.search(asked, 10)[1]
    hits = [len(set(a.tolist()) & set(b.tolist())) / 10 for a, b in zip(found, truth)]
    return {
        "shape": [rows, dim],
        "clusters": clusters,
        "queries": queries,
        "p50_ms": round(float(np.percentile(times, 50)), 3),
        "p95_ms": round(float(np.percentile(times, 95)), 3),
        "recall@10": round(float(np.mean(hits)), 4),
        "build_s": round(build, 1),
        "open_again_s": round(opened, 2),
        "file_MB": round(sum(p.stat().st_size for p in (folder / "index").iterdir()) / 1e6, 1),
    }


def shape(text: str) -> tuple[int, int]:
    rows, dim = text.lower().split("x")
    return int(rows), int(dim)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exact", type=shape, default=(1_000_000, 512), help="rows x width")
    parser.add_argument("--approximate", type=shape, default=(200_000, 256), help="rows x width")
    parser.add_argument("--clusters", type=int, default=1000)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--folder", type=Path, help="where the matrices are written (default: the system's own)")
    args = parser.parse_args()

    result: dict[str, object] = {"processors": psutil.cpu_count(), "load_before": round(psutil.getloadavg()[0], 2)}
    folder = Path(tempfile.mkdtemp(dir=args.folder))
    try:
        needed = 4 * args.exact[0] * args.exact[1]
        free, memory = shutil.disk_usage(folder).free, psutil.virtual_memory().available
        if free < 1.2 * needed or memory < 1.5 * needed:
            # A file that does not stay in memory would measure the disk.
            room = f"{free / 1e9:.1f} GB of disk and {memory / 1e9:.1f} GB of memory are free"
            result["exact"] = f"skipped: the matrix takes {needed / 1e9:.1f} GB, {room}"
        else:
            result["exact"] = exact(folder, *args.exact, args.rounds)
            (folder / "exact.npy").unlink()
        result["approximate"] = approximate(folder, *args.approximate, args.clusters, args.queries)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
