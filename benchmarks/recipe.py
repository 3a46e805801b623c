"""Which settings suit each objective? One change at a time from a preset, judged on the validation split alone.

    python benchmarks/recipe.py [--data data/scores-quick] [--preset pretrained] [--seeds 1] [--out recipe.jsonl]

Every objective gets the same changes and as many of its own. Prints a Markdown table: R@1 and R@10 in percent of full
captions, text to audio and audio to text, and their mean, by which settings are chosen. A run that `--out` holds
already is not trained again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

from slapkit import presets
from slapkit.data import read
from slapkit.metrics.embedded import embed_split
from slapkit.models.inference import Model
from slapkit.training import train

SHARED = {
    "as it is": {},
    "lr 1.5e-3": {"train": {"lr": 1.5e-3}},
    "lr 6e-3": {"train": {"lr": 6e-3}},
    "weight decay 0.1": {"train": {"weight_decay": 0.1}},
    "batch 256": {"train": {"batch_size": 256}},
    "dropout 0.3": {"model": {"text_projector": {"dropout": 0.3}}},
    "audio hidden 1024": {"model": {"audio_projector": {"hidden": 1024, "dropout": 0.1}}},
    "half the steps": {"train": {"steps": 0.5}},
}
OWN = {
    "slap": {
        "tau 0.90": {"train": {"tau": 0.90}},
        "tau 0.98": {"train": {"tau": 0.98}},
        "predictor 512": {"model": {"predictor": {"hidden": 512}}},
        "text views": {"train": {"text_views": True}},
    },
    "clap": {
        "dim 512": {"model": {"dim": 512}},
        "batch 512": {"train": {"batch_size": 512}},
        "dropout 0.5": {"model": {"text_projector": {"dropout": 0.5}}},
        "no BatchNorm": {"model": {head: {"batch_norm": False} for head in ("audio_projector", "text_projector")}},
    },
}
OWN["siglip"] = OWN["clap"]
COLUMNS = {
    (way, k): f"{arrow} R@{k}" for way, arrow in (("text_to_audio", "T→A"), ("audio_to_text", "A→T")) for k in (1, 10)
}


def settings_of(name: str, objective: str, changes: dict, seed: int) -> presets.Preset:
    """Return a preset with one change; steps below 1 are a share of the preset's."""
    trained = dict(changes.get("train", {}))
    if "steps" in trained:
        trained["steps"] = round(trained["steps"] * presets.preset(name).train.steps)
    return presets.preset(name, model=changes.get("model"), train=trained | {"objective": objective, "seed": seed})


def measured(chosen: presets.Preset, dataset, cache: Path) -> dict[str, float]:
    """Return recalls in percent on the validation split."""
    with tempfile.TemporaryDirectory() as out:
        given = {"out_dir": out, "cache_dir": cache, "progress": False}
        joint = train(model=chosen.model, config=chosen.train, dataset=dataset, **given).model
    found = embed_split(Model(joint), dataset, split="validation", cache_dir=cache, progress=False).space().retrieval()
    return {name: round(100 * found[way][f"R@{k}"], 2) for (way, k), name in COLUMNS.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="data/scores-quick", type=Path)
    parser.add_argument("--preset", default="pretrained")
    parser.add_argument("--seeds", default=1, type=int)
    parser.add_argument("--objectives", default="slap,clap,siglip")
    parser.add_argument("--out", default="recipe.jsonl", type=Path)
    args = parser.parse_args()
    dataset, cache = read(args.data), args.data.parent / "cache"
    lines = args.out.read_text(encoding="utf-8").splitlines() if args.out.is_file() else []
    done = {tuple(row["key"]): row["found"] for row in map(json.loads, lines)}
    print("| objective | setting |", " | ".join([*COLUMNS.values(), "mean"]), "|")
    print("|---|---|" + "---:|" * (len(COLUMNS) + 1))
    for objective in args.objectives.split(","):
        for name, changes in (SHARED | OWN[objective]).items():
            rows = []
            for seed in range(args.seeds):
                key = (args.preset, objective, name, seed)
                if key not in done:
                    done[key] = measured(settings_of(args.preset, objective, changes, seed), dataset, cache)
                    with open(args.out, "a", encoding="utf-8") as file:
                        file.write(json.dumps({"key": key, "found": done[key]}) + "\n")
                rows.append([done[key][column] for column in COLUMNS.values()])
            means = np.mean(rows, axis=0)
            print(f"| {objective} | {name} |", " | ".join(f"{v:.1f}" for v in [*means, means.mean()]), "|", flush=True)


if __name__ == "__main__":
    main()
