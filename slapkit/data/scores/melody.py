"""Near-duplicate works: the same melody under another name, in another key, with other words or ornaments.

The fingerprint of a part is the set of its runs of eight melodic steps (semitones between successive different pitches
of its highest notes). It does not change under transposition, repetition of notes, rhythm or repeats of a section. Two
works are near-duplicates when a part of one and a part of the other share at least `SHARED` runs (all runs, where the
smaller set has fewer) that make up at least `SIMILAR` of the smaller set. Groups are what this relation connects,
directly or by way of others.
"""

from collections.abc import Mapping

import numpy as np

from slapkit.data.scores.score import Score
from slapkit.data.splits import connected

STEPS = 8  # steps in a run, that is nine notes
SIMILAR = 0.4
SHARED = 8
SHORTEST = 3  # a part with fewer runs is not compared
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
    """Return all pairs of near-duplicate works (ids), each once, in the order of `scores`."""
    from scipy import sparse

    ids = list(scores)
    prints = [(i, fingerprint(scores[name], part)) for i, name in enumerate(ids) for part in scores[name].parts]
    prints = [(work, runs) for work, runs in prints if len(runs) >= SHORTEST]
    if not prints:
        return []
    works = np.array([work for work, _ in prints])
    sizes = np.array([len(runs) for _, runs in prints])
    _, columns = np.unique(np.concatenate([runs for _, runs in prints]), return_inverse=True)
    rows = np.repeat(np.arange(len(prints)), sizes)
    holds = sparse.csr_matrix((np.ones(len(rows), dtype=np.int32), (rows, columns)))  # [parts, runs]
    pairs = sparse.triu(holds @ holds.T, k=1).tocoo()
    first, second, shared = pairs.row, pairs.col, pairs.data
    smaller = np.minimum(sizes[first], sizes[second])
    near = (shared >= np.minimum(SHARED, smaller)) & (shared >= SIMILAR * smaller) & (works[first] != works[second])
    found = np.unique(np.sort(np.stack([works[first[near]], works[second[near]]], axis=1), axis=1), axis=0)
    return [(ids[a], ids[b]) for a, b in found]


def group_works(scores: Mapping[str, Score], families: Mapping[str, str]) -> dict[str, str]:
    """Return the group of each work, called by the first of its ids: works of one family (movements of one mass or
    quartet) or melody share it."""
    head_of = connected([*((name, f"family {families[name]}") for name in scores), *near_duplicates(scores)])
    names: dict[str, str] = {}
    return {name: names.setdefault(head_of[name], name) for name in sorted(scores)}
