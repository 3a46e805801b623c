"""What do three seeds together find more than one? On the test split, by the runs of `slapkit claims`.

Where the sweep has no runs of `--lam`, `slapkit.runs.sweep("02_train", ...)` makes them of SLAP's other parameters.

    python benchmarks/together.py [--data data/scores-quick] [--runs runs] [--members 3] [--lam 0.6]

Prints a Markdown table: recalls of SLAP and CLAP in percent, and their difference with its 95 % interval over works and
seeds, for single seeds and for as many disjoint groups of `--members` as there are. `--lam` is that of SLAP. Then, of
the groups, how many of the first ten are right by name, and R@10 in sounds that training never used, means in percent.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from slapkit.data import read
from slapkit.hub import load_joint
from slapkit.metrics.embedded import embed_split
from slapkit.metrics.evaluate import evaluate
from slapkit.models.inference import Model
from slapkit.models.together import together
from slapkit.runs.claims.estimate import Measured, compare, estimate
from slapkit.runs.claims.measure import retrieval_and_gap
from slapkit.runs.claims.plan import PAIR, cells, size
from slapkit.runs.record import Run, list_runs

FIGURES = [f"q.{way}.R@{k}" for way in ("text_to_audio", "audio_to_text") for k in (1, 10)]


def by_seed(runs: list[Run], parameters: dict) -> dict[int, Path]:
    """Return the checkpoints of the runs with these parameters."""
    given = {name: value for name, value in parameters.items() if value is not None}
    found = [run for run in runs if given.items() <= run.record["parameters"].items() and run.metrics]
    return {run.record["parameters"]["seed"]: run.folder / "checkpoint" for run in found}


def whole(folders: list[Path]) -> Model:
    """Return the models in `folders` together."""
    return Model(together([load_joint(folder) for folder in folders]))


def measured(folders: list[Path], seed: int, dataset, cache: Path) -> Measured:
    """Return retrieval of the models in `folders` together."""
    embedded = embed_split(whole(folders), dataset, split="test", cache_dir=cache, progress=False)
    return Measured(folders[0], seed, retrieval_and_gap(embedded, seed=0), {})


def by_name(groups: list[list[Path]], dataset, cache: Path) -> dict[str, float]:
    """Return mean shares: right by name for each kind, and R@10 of the same clips in known and unseen sounds."""
    found = [evaluate(whole(folders), dataset, cache_dir=cache, progress=False) for folders in groups]
    rows = [{kind: values["precision"] for kind, values in one["by_name"].items()} for one in found]
    for row, one in zip(rows, found):
        row |= {f"R@10, {sound} sounds": one["timbre_shift"][sound]["R@10"] for sound in ("known", "unseen")}
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="data/scores-quick", type=Path)
    parser.add_argument("--runs", default="runs", type=Path)
    parser.add_argument("--members", default=3, type=int)
    parser.add_argument("--lam", default=0.6, type=float)
    args = parser.parse_args()
    dataset, runs = read(args.data), list_runs(args.runs)
    pair = {cell.label: cell.parameters for cell in cells(size("cpu")) if cell.study == "models" and cell.label in PAIR}
    pair["slap"] |= {"lam": args.lam}
    models = {label: by_seed(runs, parameters) for label, parameters in pair.items()}
    seeds = sorted(set.intersection(*(set(found) for found in models.values())))
    print("| seeds | figure | SLAP | CLAP | SLAP less CLAP |\n|---|---|---:|---:|---|")
    for members in (1, args.members):
        groups = [seeds[i : i + members] for i in range(0, len(seeds) - members + 1, members)]
        found: dict[str, list[Measured]] = {}
        for label, own in models.items():
            folders = [[own[seed] for seed in group] for group in groups]
            found[label] = [measured(one, i, dataset, args.data.parent / "cache") for i, one in enumerate(folders)]
        for name in FIGURES:
            means = [f"{100 * estimate(found[label], name).value:.1f}" for label in PAIR]
            apart = compare(*(found[label] for label in PAIR), name)
            ends = f"{100 * apart.difference:.1f} ({100 * apart.low:.1f} to {100 * apart.high:.1f})"
            print(f"| {len(groups)} of {members} | {name} |", " | ".join([*means, ends]), "|", flush=True)
    for label, own in models.items():
        shares = by_name([[own[seed] for seed in group] for group in groups], dataset, args.data.parent / "cache")
        print(f"\n{label}: " + ", ".join(f"{name} {100 * share:.1f}" for name, share in shares.items()), flush=True)


if __name__ == "__main__":
    main()
