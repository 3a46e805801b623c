"""How many of the first results are right where a query names several facts ("slow flute", "waltz in minor")?

    python benchmarks/several_facts.py --data data/scores-medium RUN [RUN ...]

Asks for every combination of two or three facts that at least five clips of the test split have, in plain words, and
prints the share of the first five that have all of them: of the query as a whole, and of its parts added up, as
"slow + flute" does in a search. Then, of the whole query, the share that has each fact of the combination.
"""

from __future__ import annotations

import argparse
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pandas as pd

import slapkit
from slapkit.data import read
from slapkit.metrics.by_name import precision_at, said_of
from slapkit.metrics.checks import unit_rows
from slapkit.metrics.embedded import embed_split

FIRST = 5
WORDS = {
    "tempo": {"tempo_class=slow": "slow", "tempo_class=medium": "medium tempo", "tempo_class=fast": "fast"},
    "mode": {"mode=major": "in major", "mode=minor": "in minor"},
    "drums": {"drums=True": "with drums"},
    "solo": {"ensemble=solo": "solo"},
}
# In the order in which people say them; words that begin with a preposition come last.
KINDS = ("tempo instrument", "instrument mode", "tempo instrument mode", "instrument drums", "solo instrument",
         "tempo solo instrument", "instrument instrument", "tempo style", "style instrument", "style mode")  # fmt: skip


def queries(facts: list[dict]) -> pd.DataFrame:
    """Return one row for each combination: kind, what is asked for, and the words of each part."""
    instruments = {
        f"instruments={name}": name for name in sorted({name for one in facts for name in one["instruments"]})
    }
    styles = {f"style={name}": name for name in sorted({one["style"] for one in facts})}
    words = WORDS | {"instrument": instruments, "style": styles}
    rows = []
    for kind in KINDS:
        parts = kind.split()
        pairs = combinations(instruments, 2) if kind == "instrument instrument" else product(*map(words.get, parts))
        rows += [(kind, asked, [words[part][said] for part, said in zip(parts, asked)]) for asked in pairs]
    return pd.DataFrame(rows, columns=["kind", "asked", "parts"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="data/scores-quick", type=Path)
    parser.add_argument("runs", nargs="+", type=Path)
    args = parser.parse_args()
    dataset = read(args.data)
    for run in args.runs:
        model = slapkit.load(run)
        embedded = embed_split(model, dataset, split="test", cache_dir=args.data.parent / "cache", progress=False)
        facts, audio = [clip.facts for clip in embedded.clips], unit_rows("audio", embedded.audio())
        table = queries(facts)
        relevant = said_of(facts, table["asked"])
        usual = relevant.sum(axis=1) >= FIRST
        table, relevant = table[usual].reset_index(drop=True), relevant[usual]
        whole = unit_rows("queries", model.embed_text([" ".join(parts) for parts in table["parts"]])) @ audio.T
        known = {part: row for row, part in enumerate(sorted(set(table["parts"].explode())))}
        each = unit_rows("parts", model.embed_text(list(known))) @ audio.T
        added = np.stack([each[[known[part] for part in parts]].sum(axis=0) for parts in table["parts"]])
        table["whole"] = precision_at(scores=whole, relevant=relevant, k=FIRST)
        table["parts added"] = precision_at(scores=added, relevant=relevant, k=FIRST)
        first = np.argsort(-whole, axis=1, kind="stable")[:, :FIRST]
        for place in range(3):
            has = said_of(facts, [asked[place : place + 1] for asked in table["asked"]])
            table[f"fact {place + 1}"] = np.take_along_axis(has, first, axis=1).mean(axis=1)
            table.loc[table["asked"].map(len) <= place, f"fact {place + 1}"] = np.nan
        found = table.groupby("kind", sort=False)
        means = 100 * found[["whole", "parts added", "fact 1", "fact 2", "fact 3"]].mean()
        means.loc["mean"] = means.mean()
        print(f"\n{run.name}: {len(table)} queries of {len(facts)} clips, percent\n")
        print(means.assign(queries=found.size()).round(1).to_string())


if __name__ == "__main__":
    main()
