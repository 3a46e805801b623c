"""Near-duplicate works: the same melody under another name, in another key, with other words or ornaments.

The fingerprint of a part is the set of its runs of eight melodic steps (semitones between successive different pitches
of its highest notes). It does not change under transposition, repetition of notes, rhythm or repeats of a section. Two
works are near-duplicates when a part of one and a part of the other share at least `SHARED` runs (all runs, where the
smaller set has fewer) that make up at least `SIMILAR` of the smaller set. Groups are what this relation connects,
directly or by way of others.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from slapkit.data.scores.score import Score

STEPS = 8  # steps in a run, that is nine notes
SIMILAR = 0.4
SHARED = 8
SHORTEST = 3  # a part with fewer runs says too little to be compared
_BITS = 7  # a step, limited to +-63 semitones, takes seven bits: a run is one integer, without collisions


def steps(score: Score, part: int) -> np.ndarray:
    """Return the melodic steps of a part in semitones, int64 `[steps]`, repeated notes left out."""
    _, pitch = score.line(part)
    step = np.diff(pitch)
    return np.clip(step[step != 0], -63, 63).astype(np.int64)


def fingerprint(score: Score, part: int) -> np.ndarray:
    """Return the distinct runs of a part, sorted integers `[R]`; empty for a part of fewer than nine notes."""
    step = steps(score, part)
    if len(step) < STEPS:
        return np.empty(0, dtype=np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(step + 64, STEPS)
    return np.unique(windows @ (1 << (_BITS * np.arange(STEPS, dtype=np.int64))))


def near_duplicates(scores: Mapping[str, Score]) -> list[tuple[str, str]]:
    """Return all pairs of near-duplicate works (ids), each once, by an index from runs to the parts that hold them."""
    ids = list(scores)
    prints = [(i, fingerprint(scores[name], part)) for i, name in enumerate(ids) for part in scores[name].parts]
    prints = [(owner, runs) for owner, runs in prints if len(runs) >= SHORTEST]
    if not prints:
        return []
    sizes = np.array([len(runs) for _, runs in prints])
    owners = np.array([owner for owner, _ in prints])
    runs = np.concatenate([runs for _, runs in prints])
    rows = np.repeat(np.arange(len(prints)), sizes)
    order = np.argsort(runs, kind="stable")
    first, second, shared = _count_shared(runs[order], rows[order], len(prints))
    smaller = np.minimum(sizes[first], sizes[second])
    near = (shared >= np.minimum(SHARED, smaller)) & (shared >= SIMILAR * smaller) & (owners[first] != owners[second])
    pairs = np.unique(np.sort(np.stack([owners[first[near]], owners[second[near]]], axis=1), axis=1), axis=0)
    return [(ids[a], ids[b]) for a, b in pairs]


def _count_shared(runs: np.ndarray, rows: np.ndarray, n_rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (first row, second row, number of runs they share) for all pairs of rows that share any.

    `runs` is sorted; the places that hold one run are compared at growing distance, which keeps the loop in numpy.
    """
    codes = np.empty(0, dtype=np.int64)
    counts = np.empty(0, dtype=np.int64)
    pending: list[np.ndarray] = []
    distance = 1
    here = np.arange(len(runs) - 1)
    while len(here):
        here = here[here + distance < len(runs)]
        here = here[runs[here] == runs[here + distance]]
        low, high = np.minimum(rows[here], rows[here + distance]), np.maximum(rows[here], rows[here + distance])
        pending.append(low * n_rows + high)
        distance += 1
        if sum(map(len, pending)) > 5_000_000 or not len(here):
            codes, counts = _merge(codes, counts, np.concatenate(pending))
            pending = []
    return codes // n_rows, codes % n_rows, counts


def _merge(codes: np.ndarray, counts: np.ndarray, more: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    new, new_counts = np.unique(more, return_counts=True)
    codes, place = np.unique(np.concatenate([codes, new]), return_inverse=True)
    return codes, np.bincount(place, weights=np.concatenate([counts, new_counts])).astype(np.int64)


class Groups:
    """Disjoint sets of names (union-find with path halving)."""

    def __init__(self, names: Sequence[Hashable]) -> None:
        self._parent = {name: name for name in names}

    def find(self, name: Hashable) -> Hashable:
        """Return the representative of the set that holds `name`."""
        while self._parent[name] != name:
            self._parent[name] = self._parent[self._parent[name]]
            name = self._parent[name]
        return name

    def join(self, a: Hashable, b: Hashable) -> None:
        """Merge the sets of two names; the representative is the smaller one, so that order does not matter."""
        low, high = sorted((self.find(a), self.find(b)))
        self._parent[high] = low


def group_works(scores: Mapping[str, Score], families: Mapping[str, str]) -> dict[str, str]:
    """Return the group of each work: works of one family or with the same melody share it.

    Args:
        scores: notes by work id.
        families: family by work id (movements of one mass or quartet share it).
    """
    groups = Groups(list(scores))
    heads: dict[str, str] = {}
    for name in scores:
        groups.join(name, heads.setdefault(families[name], name))
    for a, b in near_duplicates(scores):
        groups.join(a, b)
    return {name: str(groups.find(name)) for name in scores}
