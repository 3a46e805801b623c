"""The score corpus as a set of labelled clips: style (one a clip), instruments and tags (any number a clip)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from slapkit.data import AudioTextDataset, Clip
from slapkit.metrics.probing import class_numbers, tag_matrix

Facts = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """What clips are asked for: `name`, one label a clip or several, and where a clip's facts hold them."""

    name: str
    kind: Literal["single", "multi"]
    of: Callable[[Facts], Any]


def _style(facts: Facts) -> str | None:
    return facts.get("style") or None


def _instruments(facts: Facts) -> list[str]:
    return list(facts.get("instruments") or ())


def _tags(facts: Facts) -> list[str]:
    """Families of instruments, tempo, mode, texture and drums, in words as captions use them."""
    tags = list(facts.get("families") or ())
    if facts.get("tempo_class"):
        tags.append(f"{facts['tempo_class']} tempo")
    if facts.get("mode") in ("major", "minor"):
        tags.append(f"{facts['mode']} key")
    if facts.get("texture"):
        tags.append(str(facts["texture"]))
    return tags + [name for name in ("drums", "bass") if facts.get(name) is True]


TASKS = (Task("style", "single", _style), Task("instruments", "multi", _instruments), Task("tags", "multi", _tags))


@dataclass(frozen=True)
class Labelled:
    """The truth of one task: `labels [C]`, and for the clips `rows [N']` that count, `y`: numbers `[N']` or bool
    `[N', C]`."""

    task: Task
    labels: list[str]
    rows: np.ndarray
    y: np.ndarray


def common_labels(dataset: AudioTextDataset, task: Task, *, least: int) -> list[str]:
    """Return the labels that at least `least` clips of the splits "train" and "test" have each, in alphabetical
    order."""
    counts = [
        Counter(label for clip in dataset if clip.split == split for label in _labels(clip, task))
        for split in ("train", "test")
    ]
    return sorted(label for label in counts[0] if all(count[label] >= least for count in counts))


def label(clips: list[Clip], task: Task, labels: list[str]) -> Labelled:
    """Return the truth of `clips` for `task`; clips with none of the labels do not count."""
    if task.kind == "single":
        y = class_numbers([task.of(clip.facts) for clip in clips], labels)
        rows = np.flatnonzero(y >= 0)
    else:
        y = tag_matrix([task.of(clip.facts) for clip in clips], labels)
        rows = np.flatnonzero(y.any(axis=1))
    return Labelled(task, labels, rows, y[rows])


def _labels(clip: Clip, task: Task) -> list[str]:
    found = task.of(clip.facts)
    return [found] if isinstance(found, str) else list(found or ())
