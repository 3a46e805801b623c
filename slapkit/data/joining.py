"""Several data sets as one, to train on all at once."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from slapkit.config import require
from slapkit.data.dataset import DATA_SET, AudioTextDataset, Problem
from slapkit.errors import DataError


def join(datasets: Sequence[AudioTextDataset], shares: Sequence[float] | None = None) -> AudioTextDataset:
    """Return one data set of all clips, with their splits; ids and groups begin with the name of their data set, which
    is the fact `data_set` too.

    `shares` say how much of every training batch each data set gets, positive and relative to their sum; its clips then
    come as often as that takes. Without shares each clip comes once an epoch.

    Raises:
        DataError: fewer than two data sets, or two of one name.
        ConfigError: shares that are not positive, or not one for each data set.
    """
    names = [dataset.name for dataset in datasets]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise DataError(f"two data sets are called {twice[0]!r}: read one with another name, read(..., name=...)")
    if len(datasets) < 2:
        raise DataError(f"{len(datasets)} data set(s) to join: at least two")
    if shares is not None:
        fits = len(shares) == len(datasets) and all(0 < share < float("inf") for share in shares)
        require(fits, "shares", list(shares), f"{len(datasets)} positive numbers, one for each of {', '.join(names)}")
        shares = [round(share / sum(shares), 12) for share in shares]
    clips = [
        replace(clip, id=f"{name}/{clip.id}", group=f"{name}/{clip.group}", facts={**clip.facts, DATA_SET: name})
        for name, dataset in zip(names, datasets)
        for clip in dataset
    ]
    problems = [
        Problem(problem.row, f"{dataset.name}: {problem.value}", problem.reason)
        for dataset in datasets
        for problem in dataset.problems
    ]
    notes = [f"{dataset.name}: {note}" for dataset in datasets for note in dataset.notes]
    unnamed = [f"{dataset.name}/{id}" for dataset in datasets for id in dataset.unnamed]
    joined = dict(zip(names, shares or [None] * len(names)))
    root = os.path.commonpath([os.path.abspath(dataset.root) for dataset in datasets])
    given = {"name": " + ".join(names), "notes": notes, "joined": joined, "unnamed": unnamed}
    return AudioTextDataset(root, clips, problems, **given)
