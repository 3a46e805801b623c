"""What do bands and descriptors add to musicnn? A linear probe for every fact of the score corpus.

    python benchmarks/descriptors.py [--data data/scores-quick]

Ridge regression from the raw representation of the training split, standardised and weighted as the encoder does it, to
all facts at once; mean average precision on the validation split, by kind of fact. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import average_precision_score

from slapkit import presets
from slapkit.audio.features import build
from slapkit.data import read
from slapkit.data.scores.captions import statements
from slapkit.models.encoders import build_audio_encoder
from slapkit.models.encoders.descriptors import DESCRIPTORS
from slapkit.models.encoders.vgg import WIDTH
from slapkit.models.representations import Representations

KINDS = ("instruments", "drums", "tempo_class", "mode", "style", "texture", "ensemble", "metre", "register")
RIDGE = 0.1  # times the mean of the kernel's diagonal


def representations(dataset, split: str, encoder, config, cache: Path) -> torch.Tensor:
    """Return raw representations `[clips, H]` of a split, mean over the windows of a clip."""
    part = dataset.split(split)
    store = build(part.audio_files(), config.frontend, cache)
    found = Representations(store, [clip.id for clip in part.clips], encoder, config, cache, device=torch.device("cpu"))
    windows = found.sample(most=int(found.counts.sum()))
    return torch.stack([h.mean(0) for h in windows.split(found.counts.tolist())])


def probe(train: np.ndarray, test: np.ndarray, said: np.ndarray) -> np.ndarray:
    """Return scores `[clips, facts]` of kernel ridge regression."""
    kernel = train @ train.T
    scale = np.trace(kernel) / len(kernel)
    weights = np.linalg.solve(kernel / scale + RIDGE * np.eye(len(kernel)), said - said.mean(0))
    return (test @ train.T / scale) @ weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="data/scores-quick", type=Path)
    args = parser.parse_args()
    dataset, cache = read(args.data), args.data.parent / "cache"
    config = presets.preset("pretrained").model.audio
    encoder = build_audio_encoder(config)
    raw = {s: representations(dataset, s, encoder, config, cache) for s in ("train", "validation")}
    encoder.standardise_by(raw["train"])
    h = {split: encoder.standardised(values).numpy().astype(np.float64) for split, values in raw.items()}
    said = {s: [statements(clip.facts) for clip in dataset.split(s).clips] for s in raw}
    names = sorted(n for n in set().union(*said["validation"]) if sum(n in own for own in said["validation"]) >= 5)
    known = {s: np.array([[n in own for n in names] for own in said[s]]) for s in said}
    added = {"bands": WIDTH} | {name: width for name, (width, _) in DESCRIPTORS.items()}
    widths = {"musicnn": encoder.dim - sum(added.values())} | added
    columns = dict(zip(widths, np.split(np.arange(encoder.dim), np.cumsum([*widths.values()])[:-1])))
    rows = {"musicnn": ["musicnn"]} | {f"with {name}": ["musicnn", name] for name in added}
    rows["without bands"] = [name for name in columns if name != "bands"]
    print("| representation |", " | ".join(KINDS), "|\n|---|" + "---:|" * len(KINDS))
    for title, parts in (rows | {"with all": list(columns)}).items():
        chosen = np.concatenate([columns[part] for part in parts])
        scores = probe(h["train"][:, chosen], h["validation"][:, chosen], known["train"].astype(float))
        found = [average_precision_score(known["validation"][:, i], scores[:, i]) for i in range(len(names))]
        kinds = [np.mean([v for n, v in zip(names, found) if n.split("=")[0] == kind]) for kind in KINDS]
        print(f"| {title} |", " | ".join(f"{value:.2f}" for value in kinds), "|", flush=True)


if __name__ == "__main__":
    main()
