"""Does a model hear in recordings what its words say? Plain questions about labelled tracks, each by two queries.

    python benchmarks/recordings.py FOLDER --labels labels.csv --model runs/02_train/<run>

`labels.csv` has a row for each track: `file_name`, `group` (such as the album, whose tracks are alike) and a column for
each question: 1, 0, or nothing where nobody can tell. A question's score is the cosine of a track with the first query
less that with the second. Prints the area under the ROC curve, the mean over the seeds of the run and that of all seeds
together, with its 95 % interval over groups and, in brackets, over single tracks.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

import slapkit
from slapkit.metrics.tagging import roc_auc
from slapkit.models.embed import embed_windows, mean_by_clip, read_features
from slapkit.models.inference import Model

# column -> what a track that has it, and one that has it not, is asked for by
QUESTIONS = {
    "acoustic": ("acoustic music", "electronic music"),
    "lively": ("lively music", "calm music"),
    "drums": ("music with drums", "music without drums"),
}
DRAWS = 2000


def models(run: Path) -> dict[str, list[Model]]:
    """Return the models of all seeds of a run, and what it is used by; a single model is one."""
    first = run / "checkpoint" if (run / "checkpoint").is_dir() else run
    found = {"single seeds": [first, *sorted((run / "seeds").glob("*"))], "together": [*run.glob("together")]}
    return {name: [slapkit.load(folder) for folder in folders] for name, folders in found.items() if folders}


def heard(models: list[Model], paths: list[Path]) -> list[np.ndarray]:
    """Return each model's embeddings of the tracks; a frozen encoder, which all seeds share, hears them once."""
    first = models[0]
    audio = first.config.audio
    if not audio.frozen or any(one.config.audio != audio for one in models):
        return [one.embed_audio(paths, progress=True) for one in models]
    found = embed_windows(read_features(paths, audio.frontend), first.represent, window=audio.window_frames)
    windows = [one.outputs[0] for one in tqdm(found, "encoding", len(paths), unit="file")]
    track_of = np.repeat(np.arange(len(paths)), [len(own) for own in windows])
    h = torch.from_numpy(np.concatenate(windows))
    return [mean_by_clip(one.encode(h, "audio")[1].numpy(), track_of, len(paths)) for one in models]


def area(scores: list[np.ndarray], truth: np.ndarray) -> float:
    """Return the mean area over the seeds."""
    both = np.stack([truth, ~truth], axis=1)
    return float(np.mean([roc_auc(scores=np.stack([own, -own], axis=1), tags=both) for own in scores]))


def interval(scores: list[np.ndarray], truth: np.ndarray, group_of: np.ndarray) -> str:
    """Return the percentile interval of the area when groups are drawn with repetition."""
    rng, rows_of = np.random.default_rng(0), [np.flatnonzero(group_of == group) for group in np.unique(group_of)]
    found = []
    for _ in range(DRAWS):
        rows = np.concatenate([rows_of[one] for one in rng.integers(len(rows_of), size=len(rows_of))])
        if 0 < truth[rows].sum() < len(rows):
            found.append(area([own[rows] for own in scores], truth[rows]))
    return "{:.2f} to {:.2f}".format(*np.quantile(found, (0.025, 0.975)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    args = parser.parse_args()
    table = pd.read_csv(args.labels)
    loaded = models(args.model)
    paths, every = [args.folder / name for name in table["file_name"]], [one for own in loaded.values() for one in own]
    audio = iter(heard(every, paths))
    embedded = {name: [(one, next(audio)) for one in own] for name, own in loaded.items()}
    print("| question | tracks | models | AUC | interval |\n|---|---|---|---|---|")
    for name, queries in QUESTIONS.items():
        known = table[name].notna().to_numpy()
        truth, groups = table[name][known].to_numpy(dtype=bool), table["group"][known].to_numpy()
        for which, pairs in embedded.items():
            words = [one.embed_text(queries) for one, _ in pairs]
            scores = [tracks[known] @ (asked[0] - asked[1]) for (_, tracks), asked in zip(pairs, words)]
            shown = interval(scores, truth, groups), interval(scores, truth, np.arange(len(truth)))
            count = f"{truth.sum()} to {(~truth).sum()}"
            print(f"| {name} | {count} | {which} | {area(scores, truth):.2f} | {shown[0]} ({shown[1]}) |", flush=True)


if __name__ == "__main__":
    main()
