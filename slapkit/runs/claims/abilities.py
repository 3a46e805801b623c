"""What a trained model can do beyond retrieval: classify and tag from prompts, and serve small classifiers.

The labels are facts of the score corpus: the style of a clip, its instruments, and tags such as tempo and mode.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from slapkit.data import AudioTextDataset, Clip
from slapkit.hub.load import load_model
from slapkit.metrics import tagging
from slapkit.metrics.embedded import Embedded
from slapkit.metrics.intervals import bootstrap_error
from slapkit.metrics.probing import Examples, ProbeConfig, class_numbers, probe, represent_clips, tag_matrix
from slapkit.metrics.zero_shot import ENSEMBLE, PROMPTS, prompt_scores
from slapkit.runs.claims.estimate import Quantity

DRAWS = 100  # bootstrap samples behind the standard error of a figure that is no mean
PROBES = {"mlp": 512, "linear": 0}  # width of the hidden layer
SINGLE = "style"  # the one task of which a clip has exactly one label
TASKS = (SINGLE, "instruments", "tags")
_METRICS = {"ROC-AUC": tagging.roc_auc, "mAP": tagging.mean_average_precision}


def labels_of(facts: dict[str, Any], task: str) -> list[str]:
    """Return the labels of a clip for a task; tags are words that captions use."""
    if task == "style":
        return [facts["style"]] if facts.get("style") else []
    if task == "instruments":
        return list(facts.get("instruments") or ())
    tags = list(facts.get("families") or ())
    if facts.get("tempo_class"):
        tags.append(f"{facts['tempo_class']} tempo")
    if facts.get("mode") in ("major", "minor"):
        tags.append(f"{facts['mode']} key")
    if facts.get("texture"):
        tags.append(str(facts["texture"]))
    return tags + [name for name in ("drums", "bass") if facts.get(name) is True]


def common_labels(dataset: AudioTextDataset, *, least: int) -> dict[str, list[str]]:
    """Return by task the sorted labels that at least `least` clips of "train" and of "test" have, if there are two."""
    found = {}
    for task in TASKS:
        train, test = (
            Counter(label for clip in dataset if clip.split == split for label in labels_of(clip.facts, task))
            for split in ("train", "test")
        )
        found[task] = sorted(label for label in train if min(train[label], test[label]) >= least)
    return {task: labels for task, labels in found.items() if len(labels) >= 2}


@dataclass(frozen=True)
class Truth:
    """The true labels of the clips `rows [N']` that have any of `labels [C]`.

    `y` are label indices `[N']` for the task of one label a clip, else bool `[N', C]`. `works [N']` are the clips'.
    """

    task: str
    labels: list[str]
    rows: np.ndarray
    y: np.ndarray
    works: np.ndarray


def truth_of(clips: Sequence[Clip], task: str, labels: list[str]) -> Truth:
    """Return the truth of `clips`; clips without any of the labels do not count."""
    found = [labels_of(clip.facts, task) for clip in clips]
    if task == SINGLE:
        y = class_numbers([names[0] if names else None for names in found], labels)
        rows = np.flatnonzero(y >= 0)
    else:
        y = tag_matrix(found, labels)
        rows = np.flatnonzero(y.any(axis=1))
    works = np.unique([clip.group for clip in clips], return_inverse=True)[1]
    return Truth(task, labels, rows, y[rows], works[rows])


def score(scores: np.ndarray, truth: Truth, *, seed: int, **about: str) -> dict[str, Quantity]:
    """Return the figures of one scoring `[N', C]`, higher being better."""
    about = about | {"captions": "none", "candidates": len(truth.labels), "queries": len(scores)}
    works, y = truth.works, truth.y
    if truth.task == SINGLE:
        return {"accuracy": Quantity.mean(tagging.hits(scores=scores, labels=y), works, **about)}
    figures = {"mAR": Quantity.mean(tagging.average_recalls(scores=scores, tags=y), works, **about)}
    for name, metric in _METRICS.items():
        value = metric(scores=scores, tags=y)
        figures[name] = Quantity.other(value, _error(metric, scores, truth, seed), works, **about)
    return figures


def _error(metric: Callable[..., float], scores: np.ndarray, truth: Truth, seed: int) -> float:
    """Bootstrap standard error over works. A draw counts the tags that some of its clips have, and not all."""

    def on(rows: np.ndarray) -> float:
        y = truth.y[rows]
        usable = y.any(axis=0) & ~y.all(axis=0)
        return metric(scores=scores[rows][:, usable], tags=y[:, usable]) if usable.sum() >= 2 else float("nan")

    return bootstrap_error(on, group_of=truth.works, seed=seed, draws=DRAWS)


def zero_shot(
    folder: Path, embedded: Embedded, dataset: AudioTextDataset, *, least: int, seed: int
) -> dict[str, Quantity]:
    """Classify and tag the test clips by prompts: each prompt, their mean, the best and the ensemble.

    The best prompt is the best on average over a task's figures, and known only afterwards.
    """
    model, figures = load_model(folder, device="cpu"), {}
    clips = _clips(dataset, embedded.frame["id"])
    for task, labels in common_labels(dataset, least=least).items():
        truth = truth_of(clips, task, labels)
        scores = prompt_scores(model, embedded.audio("q")[truth.rows], labels, embedding="q")
        found = {p: score(s, truth, seed=seed, embedding="q", prompts=p) for p, s in scores.items()}
        best = max(PROMPTS, key=lambda p: np.mean([figure.value for figure in found[p].values()]))
        for name, chosen in found[best].items():
            stem = f"zero.{task}.{name}"
            figures |= {f"{stem}.{p}": found[p][name] for p in (*PROMPTS, ENSEMBLE)}
            figures[f"{stem}.best"] = replace(chosen, about=chosen.about | {"prompts": f"best of {len(PROMPTS)}"})
            figures[f"{stem}.mean"] = _mean([found[p][name] for p in PROMPTS])
    return figures


def _mean(figures: list[Quantity]) -> Quantity:
    """Return the mean of one figure over prompts."""
    about = figures[0].about | {"prompts": f"mean of {len(figures)}"}
    if figures[0].units is not None:
        return Quantity.mean(np.mean([figure.units for figure in figures], axis=0), figures[0].groups, **about)
    value, error = np.mean([(figure.value, figure.error) for figure in figures], axis=0)
    return Quantity.other(value, error, figures[0].groups, **about)


def probed(
    folder: Path, dataset: AudioTextDataset, *, cache_dir: str | Path, least: int, epochs: int, seed: int,
    probe_seed: int,
) -> dict[str, Quantity]:  # fmt: skip
    """Train small classifiers on the representation `h` of the frozen audio encoder, and test them."""
    x, ids = represent_clips(load_model(folder, device="cpu"), dataset, cache_dir=cache_dir, progress=False)
    clips = _clips(dataset, ids)
    rows = {split: np.flatnonzero([clip.split == split for clip in clips]) for split in ("train", "validation", "test")}
    figures: dict[str, Quantity] = {}
    for task, labels in common_labels(dataset, least=least).items():
        truth = {split: truth_of([clips[i] for i in rows[split]], task, labels) for split in rows}
        if not all(len(found.rows) for found in truth.values()):
            continue
        parts = {split: Examples(x[rows[split][found.rows]], found.y) for split, found in truth.items()}
        given = {"train": parts["train"], "validation": parts["validation"], "test": parts["test"].x}
        for name, hidden in PROBES.items():
            config = ProbeConfig(hidden=hidden, epochs=epochs)
            scores = probe(**given, classes=len(labels), seed=probe_seed, config=config).scores
            found = score(scores, truth["test"], seed=seed, embedding="h")
            figures |= {f"probe.{name}.{task}.{metric}": figure for metric, figure in found.items()}
    return figures


def _clips(dataset: AudioTextDataset, ids: Sequence[str]) -> list[Clip]:
    by_id = {clip.id: clip for clip in dataset}
    return [by_id[id] for id in ids]
