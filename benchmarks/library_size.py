"""How does a library of the size that people have do? 65,000 tracks, 2.6 M windows of 256 in random directions.

    python benchmarks/library_size.py [--tracks 65000] [--windows 40] [--orders sorted later shuffled] [--clusters 1000]

The vectors go through the real store: in the order of ids, with a random tenth of the tracks added later, or shuffled.
Each library is then opened by a process of its own, as a user's would be. An update adds ten tracks whose embedding is
left out. Times in s; memory is what the process holds after all searches, less what it held before it opened the
library, as a share of the float32 vectors.
The approximate index is asked for what it has of the ten best tracks: in random directions nothing but the whole is
exact; with `--clusters` windows lie around that many centres, as embeddings of music do. Prints JSON.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil

from slapkit.audio.frontend import FrontendConfig
from slapkit.data.scan import scan
from slapkit.models.embed import Embedded
from slapkit.search import Library, following, store

DIM = 256
ORDERS = ("sorted", "later", "shuffled")
_MODEL = SimpleNamespace(fingerprint=lambda: "random", note="")


class RandomEmbedder:
    """Stands for `Embedder`: random unit vectors at once, so that an update's time is that of the rest."""

    def __init__(self, model: Any, **options: Any) -> None:
        self.rng = np.random.default_rng(3)

    def __enter__(self) -> RandomEmbedder:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def embed(self, paths: list[Path], hashes: list[str]) -> Iterator[Embedded]:
        for _ in paths:
            vectors = unit(self.rng, 40, 0)
            yield Embedded((vectors, vectors), frames=40_000, duration_s=400.0)


def unit(rng: np.random.Generator, rows: int, clusters: int) -> np.ndarray:
    """Return random unit rows, float32 `[rows, DIM]`, in all directions or around centres."""
    vectors = rng.standard_normal((rows, DIM), dtype=np.float32)
    if clusters:
        centres = np.random.default_rng(7).standard_normal((clusters, DIM), dtype=np.float32)
        vectors = centres[rng.integers(0, clusters, rows)] + 0.7 * vectors
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def make_files(folder: Path, first: int, count: int) -> None:
    """Write small files with the names and places of sounds, each of other bytes."""
    for number in range(first, first + count):
        path = folder / f"{number // 12:05d}" / f"{number % 12:02d}.mp3"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(f"track {number} ".encode() * 16)


def make_library(folder: Path, out: Path, windows: int, order: str, clusters: int) -> None:
    """Store random vectors for all files of a folder, as they arrive in an order."""
    header = store.Header(
        folder=str(folder), model="random", model_path=None, objective="slap", embedding="q", dim=DIM,
        frontend=FrontendConfig().to_dict(), window=1000, hop=1000,
    )  # fmt: skip
    kept, rng, sources = store.LibraryStore(out, header), np.random.default_rng(0), scan(folder)[0]
    if order == "shuffled":
        sources = [sources[i] for i in rng.permutation(len(sources))]
    elif order == "later":
        tenth = set(rng.choice(len(sources), len(sources) // 10, replace=False).tolist())
        numbers = sorted(range(len(sources)), key=lambda i: i in tenth)
        sources = [sources[i] for i in numbers]
    with kept.writing():
        for start in range(0, len(sources), 1000):
            items = []
            for source in sources[start : start + 1000]:
                sha = hashlib.sha256(source.path.read_bytes()).hexdigest()
                place = (source.file, source.size, source.mtime_ns, sha, source.title, 10.0 * windows, 1000 * windows)
                entry = store.Entry(source.id, *place, facts={"genre": f"genre {int(sha[:4], 16) % 20}"})
                items.append((asdict(entry), unit(rng, windows, clusters)))
            kept.append(items)


def measure(folder: Path, out: Path, index: str, clusters: int, pipe: Any) -> None:
    """Open a library, search it and update it."""
    process, result = psutil.Process(), {}
    before = process.memory_info().rss
    rng = np.random.default_rng(1)

    def query() -> np.ndarray:
        return unit(rng, 1, clusters)[0]

    def timed(call: Any) -> tuple[float, Any]:
        began = time.perf_counter()
        found = call()
        return round(time.perf_counter() - began, 4), found

    def p50(library: Library, **options: Any) -> float:
        times = [timed(lambda one=one: library.search(one, **options))[0] for one in [query() for _ in range(21)]]
        return float(np.median(times))

    result["open"], library = timed(lambda: Library.open(out, index=index))
    result["first_search"] = timed(lambda: library.search(query()))[0]
    result["p50"] = p50(library)
    result["p50_filtered"] = p50(library, where={"genre": "genre 3"})
    if index == "exact":
        result["first_mean"] = timed(lambda: library.search(query(), pooling="mean"))[0]
        result["p50_mean"] = p50(library, pooling="mean")
        one = query()
        result["equals_float32"] = float32_ids(library, one) == library.search(one)["id"].tolist()
    rss = process.memory_info().rss - before
    result["memory"] = round(rss / library._store.vectors().nbytes, 3)
    if index != "exact":
        exact, queries = Library.open(out), [query() for _ in range(50)]
        found = [[set(each.search(one)["id"]) for each in (exact, library)] for one in queries]
        result["recall@10"] = float(np.mean([len(a & b) / 10 for a, b in found]))
        result["open_again"] = timed(lambda: Library.open(out, index=index))[0]
    following.Embedder, library._model = RandomEmbedder, _MODEL
    make_files(folder, 900_000 + (index != "exact") * 100, 10)
    result["update_of_ten"], counts = timed(lambda: library.update(progress=False))
    assert counts["added"] == 10, counts
    pipe.send(result)


def float32_ids(library: Library, query: np.ndarray) -> list[str]:
    """Return the ten best tracks by a product with all float32 rows."""
    kept, best = library._store, []
    vectors = kept.vectors()
    scores = np.concatenate([vectors[start : start + 50_000] @ query for start in range(0, len(vectors), 50_000)])
    for id, entry in kept.entries.items():
        best.append((-float(scores[entry.first : entry.first + entry.windows].max()), id))
    return [id for _, id in sorted(best)[:10]]


def own_process(function: Any, *args: Any) -> Any:
    """Return what a function sends, from a process of its own."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=function, args=(*args, sender))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        return "failed"
    finally:
        process.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=int, default=65_000)
    parser.add_argument("--windows", type=int, default=40, help="of a track")
    parser.add_argument("--clusters", type=int, default=0)
    parser.add_argument("--orders", nargs="+", choices=ORDERS, default=ORDERS)
    parser.add_argument("--folder", type=Path, help="where all is written (default: the system's own)")
    args = parser.parse_args()
    result: dict[str, Any] = {"processors": psutil.cpu_count(), "rows": args.tracks * args.windows}
    with tempfile.TemporaryDirectory(dir=args.folder) as place:
        files = Path(place, "files")
        files.mkdir()
        make_files(files, 0, 20_000)
        began = time.perf_counter()
        scan(files)
        result["scan_of_20000"] = round(time.perf_counter() - began, 2)
        for order in args.orders:
            folder, out = Path(place, order), Path(place, "library")
            folder.mkdir()
            make_files(folder, 0, args.tracks)
            make_library(folder, out, args.windows, order, args.clusters)
            result[order] = own_process(measure, folder, out, "exact", args.clusters)
            if order == args.orders[0]:
                result["approximate"] = own_process(measure, folder, out, "approximate", args.clusters)
            for path in out.iterdir():
                path.unlink()
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
