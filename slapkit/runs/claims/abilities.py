"""What a trained model can do beyond retrieval: classify and tag from words alone, and feed small classifiers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from slapkit.data import AudioTextDataset, Clip
from slapkit.errors import MetricError
from slapkit.metrics import tagging
from slapkit.metrics.embedded import Embedded
from slapkit.metrics.intervals import bootstrap
from slapkit.metrics.probing import Examples, ProbeConfig, probe, represent_clips
from slapkit.metrics.zero_shot import ENSEMBLE, PROMPTS, prompt_scores
from slapkit.runs.claims.labels import TASKS, Labelled, common_labels, label
from slapkit.runs.claims.quantity import Quantity

DRAWS = 100  # bootstrap samples behind the standard error of a figure that is no mean
PROBES = {"mlp": 512, "linear": 0}  # width of the hidden layer
Metric = Callable[[np.ndarray, Labelled], float]


def metrics_of(found: Labelled) -> dict[str, Metric]:
    """Return what is measured for a task, higher being better."""
    if found.task.kind == "single":
        return {"accuracy": lambda scores, truth: tagging.accuracy(scores=scores, labels=truth.y)}
    return {
        "ROC-AUC": lambda scores, truth: tagging.roc_auc(scores=scores, tags=truth.y),
        "mAP": lambda scores, truth: tagging.mean_average_precision(scores=scores, tags=truth.y),
        "mAR": lambda scores, truth: tagging.mean_average_recall(scores=scores, tags=truth.y),
    }


def score(scores: np.ndarray, found: Labelled, works: np.ndarray, *, seed: int, **about: str) -> dict[str, Quantity]:
    """Return the figures of one scoring `[N', C]` of the clips that count; `works [N']` are theirs."""
    about = about | {"captions": "none", "candidates": len(found.labels), "queries": len(scores)}
    if found.task.kind == "single":
        return {"accuracy": Quantity.mean(tagging.hits(scores=scores, labels=found.y), works, **about)}
    figures = {"mAR": Quantity.mean(tagging.average_recalls(scores=scores, tags=found.y), works, **about)}
    for name, metric in metrics_of(found).items():
        if name not in figures:
            value = metric(scores, found)
            figures[name] = Quantity.other(value, _error(metric, scores, found, works, seed), works, **about)
    return figures


def _error(metric: Metric, scores: np.ndarray, found: Labelled, works: np.ndarray, seed: int) -> float:
    """Bootstrap standard error over works; in each draw the tags count that some of its clips have, and not all."""

    def on(rows: np.ndarray) -> float:
        y = found.y[rows]
        told = y.any(axis=0) & ~y.all(axis=0)
        if told.sum() < 2:
            return float("nan")
        return metric(scores[rows][:, told], Labelled(found.task, found.labels, rows, y[:, told]))

    try:
        interval = bootstrap(on, group_of=works, seed=seed, draws=DRAWS, level=0.6827)
    except MetricError:  # too few clips for these draws
        return float("nan")
    return (interval.high - interval.low) / 2


def zero_shot(
    folder: Path, embedded: Embedded, dataset: AudioTextDataset, *, least: int, seed: int
) -> dict[str, Quantity]:
    """Classify and tag the test clips by prompts: each prompt, the mean over prompts, the best and the ensemble.

    The best prompt is the one that is best on average over a task's figures, and known only afterwards.
    """
    from slapkit.hub.load import load_model

    model = load_model(folder, device="cpu")
    clips = _in_order(dataset, embedded.frame["id"].tolist())
    works = np.unique([clip.group for clip in clips], return_inverse=True)[1]
    figures: dict[str, Quantity] = {}
    for task in TASKS:
        labels = common_labels(dataset, task, least=least)
        if len(labels) < 2:
            continue
        found = label(clips, task, labels)
        by_prompt = prompt_scores(model, embedded.audio("q")[found.rows], labels, embedding="q")
        all_prompts = {
            prompt: score(scores, found, works[found.rows], seed=seed, embedding="q", prompts=prompt)
            for prompt, scores in by_prompt.items()
        }
        best = max(PROMPTS, key=lambda p: np.mean([figure.value for figure in all_prompts[p].values()]))
        for name in all_prompts[best]:
            stem = f"zero.{task.name}.{name}"
            figures |= {f"{stem}.{prompt}": all_prompts[prompt][name] for prompt in (*PROMPTS, ENSEMBLE)}
            chosen = all_prompts[best][name]
            figures[f"{stem}.best"] = replace(chosen, about=chosen.about | {"prompts": f"best of {len(PROMPTS)}"})
            figures[f"{stem}.mean"] = _mean([all_prompts[prompt][name] for prompt in PROMPTS])
    return figures


def _mean(figures: list[Quantity]) -> Quantity:
    """Return the mean of one figure over prompts."""
    about = figures[0].about | {"prompts": f"mean of {len(figures)}"}
    if figures[0].units is not None:
        return Quantity.mean(np.mean([figure.units for figure in figures], axis=0), figures[0].groups, **about)
    value, error = np.mean([(figure.value, figure.error) for figure in figures], axis=0)
    return Quantity.other(value, error, figures[0].groups, **about)


def probed(
    folder: Path,
    dataset: AudioTextDataset,
    *,
    cache_dir: str | Path,
    least: int,
    epochs: int,
    seed: int,
    probe_seed: int,
) -> dict[str, Quantity]:
    """Train small classifiers on the audio encoder's representation, before the projector, and test them."""
    from slapkit.hub.load import load_model

    model = load_model(folder, device="cpu")
    x, ids = represent_clips(model, dataset, cache_dir=cache_dir, progress=False)
    clips = _in_order(dataset, ids)
    rows = {
        split: np.array([i for i, clip in enumerate(clips) if clip.split == split], dtype=np.int64)
        for split in ("train", "validation", "test")
    }
    figures: dict[str, Quantity] = {}
    for task in TASKS:
        labels = common_labels(dataset, task, least=least)
        if len(labels) < 2:
            continue
        truth = {split: label([clips[i] for i in rows[split]], task, labels) for split in rows}
        if not all(len(found.rows) for found in truth.values()):
            continue
        parts = {split: Examples(x[rows[split][found.rows]], found.y) for split, found in truth.items()}
        works = np.unique([clips[i].group for i in rows["test"][truth["test"].rows]], return_inverse=True)[1]
        for name, hidden in PROBES.items():
            scores = probe(
                train=parts["train"],
                validation=parts["validation"],
                test=parts["test"].x,
                classes=len(labels),
                seed=probe_seed,
                config=ProbeConfig(hidden=hidden, epochs=epochs),
            ).scores
            found = score(scores, truth["test"], works, seed=seed, embedding="h")
            figures |= {f"probe.{name}.{task.name}.{metric}": figure for metric, figure in found.items()}
    return figures


def _in_order(dataset: AudioTextDataset, ids: list[str]) -> list[Clip]:
    clip_of = {clip.id: clip for clip in dataset}
    return [clip_of[name] for name in ids]
