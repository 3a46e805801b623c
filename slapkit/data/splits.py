"""Splits: their usual names, and dividing a data set without dividing what belongs together."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

import numpy as np

from slapkit.config import require
from slapkit.data.dataset import SPLITS, AudioTextDataset
from slapkit.errors import DataError

SPLIT_NAMES = {
    "train": "train", "training": "train", "validation": "validation", "valid": "validation", "val": "validation",
    "dev": "validation", "test": "test", "testing": "test", "shift": "shift",
}  # fmt: skip
HELD_OUT = {"eval", "evaluation", "holdout", "hold-out", "hold_out", "heldout", "held-out", "held_out"}
FRACTIONS = {"train": 0.8, "validation": 0.1, "test": 0.1}


def split_name(value: str) -> str:
    """Return the usual name of a split: "train", "validation" or "test" for "training", "dev" and the like."""
    return SPLIT_NAMES.get(value.strip().lower(), value.strip())


def split_of_folders(id: str) -> str | None:
    """Return the split that a folder on the way to the file is named for, if any."""
    names = [split_name(part) for part in PurePosixPath(id).parts[:-1]]
    return next((name for name in names if name in SPLITS or name.lower() in HELD_OUT), None)


def make_splits(
    dataset: AudioTextDataset, seed: int = 0, fractions: Mapping[str, float] | None = None
) -> AudioTextDataset:
    """Return the data set with new splits, in which no group and no audio file is in two.

    Groups are drawn in a random order and each goes to the split that lacks most; groups that share a sound (the same
    bytes under two names) count as one. The same content and seed give the same splits, wherever the folder is.

    Args:
        dataset: what to divide; its present splits are ignored.
        seed: of the order.
        fractions: share of the clips per split, adding up to 1; default 0.8 train, 0.1 validation, 0.1 test.

    Raises:
        ConfigError: fractions that are not positive or do not add up to 1, or a negative seed.
        DataError: fewer groups than splits.
    """
    fractions = dict(FRACTIONS if fractions is None else fractions)
    require(seed >= 0, "seed", seed, "0 or more")
    require(bool(fractions) and all(f > 0 for f in fractions.values()), "fractions", fractions, "positive shares")
    require(abs(sum(fractions.values()) - 1) < 1e-6, "fractions", fractions, "shares that add up to 1")
    groups = _groups(dataset)
    if len(groups) < len(fractions):
        raise DataError(
            f"{dataset.name} has {len(groups)} groups, too few for the {len(fractions)} splits {list(fractions)}: "
            "a group is never divided, so ask for fewer splits or give groups in a column 'group' or 'work'"
        )
    order = [groups[i] for i in np.random.default_rng(seed).permutation(len(groups))]
    # A group larger than a small split would overflow it when it comes late: such groups are placed first.
    smallest = min(fractions.values()) * len(dataset)
    order.sort(key=lambda members: len(members) if len(members) > smallest else 0, reverse=True)
    held: dict[str, list[list[str]]] = {name: [] for name in fractions}
    lack = {name: share * len(dataset) for name, share in fractions.items()}
    for members in order:
        name = max(lack, key=lambda name: lack[name])
        held[name].append(members)
        lack[name] -= len(members)
    for name in [name for name, parts in held.items() if not parts]:
        donor = max((other for other in held if len(held[other]) > 1), key=lambda other: len(held[other]))
        held[name].append(held[donor].pop(min(range(len(held[donor])), key=lambda i: len(held[donor][i]))))
    return dataset.relabel({id: name for name, parts in held.items() for members in parts for id in members})


def _groups(dataset: AudioTextDataset) -> list[list[str]]:
    """Return lists of ids that must stay together, in the order of their first id."""
    sounds = zip(dataset.audio_hashes(), dataset.clips, strict=True)
    head_of = connected((f"sound {sound}", f"group {clip.group}") for sound, clip in sounds)
    members = defaultdict(list)
    for clip in dataset.clips:
        members[head_of[f"group {clip.group}"]].append(clip.id)
    return list(members.values())


def connected(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return for each item one that stands for all that pairs connect with it, directly or by way of others."""
    parent: dict[str, str] = {}

    def top(key: str) -> str:
        while parent.setdefault(key, key) != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for one, other in pairs:
        parent[top(one)] = top(other)
    return {key: top(key) for key in list(parent)}
