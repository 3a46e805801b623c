"""How long does a search from a shell take, from nothing to the answer? With the text tower as a graph, and without.

    python benchmarks/cold_search.py LIBRARY [--rounds 5] [--query "slow flute and strings"]

`LIBRARY` was built by `slapkit library`, which keeps the graph in its folder `text`. Both ways take turns. Prints the
median wall-clock times (s), and the largest difference between the two embeddings of the query.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from slapkit.search import Library, graph
from slapkit.search.query import ModelTower


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", type=Path)
    parser.add_argument("--rounds", default=5, type=int)
    parser.add_argument("--query", default="slow flute and strings")
    args = parser.parse_args()
    kept, aside = args.library / "text", args.library / "text.aside"
    times: dict[str, list[float]] = {"graph": [], "model": []}
    command = [sys.executable, "-m", "slapkit", "search", str(args.library), args.query]
    for _ in range(args.rounds):
        for way, found in times.items():
            if way == "model":
                kept.rename(aside)
            try:
                began = time.perf_counter()
                subprocess.run(command, check=True, capture_output=True)
                found.append(time.perf_counter() - began)
            finally:
                if aside.exists():
                    aside.rename(kept)
    library = Library.open(args.library)
    header = library._store.header
    towers = graph.kept(kept, header.embedding, header.model), ModelTower(library.model, header.embedding)
    result = {f"{way}_s": round(float(np.median(found)), 2) for way, found in times.items()}
    result["difference"] = float(np.abs(np.subtract(*(tower.embed(args.query) for tower in towers))).max())
    print(json.dumps(result | {"tracks": len(library), "rounds": args.rounds}, indent=2))


if __name__ == "__main__":
    main()
