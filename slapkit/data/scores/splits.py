"""The works that a corpus of a given size uses, and the split of each.

Collections differ in size by a factor of a thousand: kinds of music are drawn in proportion to the cube root of their
number of works. Splits are dealt by group (see `slapkit.data.scores.melody`), kind by kind, so that each split holds
every kind that has works enough.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from slapkit.data.scores.works import Work

FRACTIONS = {"train": 0.76, "validation": 0.08, "test": 0.16}
_LARGE = 0.05  # a group with more than this share of the works would fill a small split alone: it goes to training
SHIFTED = 0.08  # of all clips: so many test clips are rendered once more
_CANDIDATES = 3  # works for a clip


def choose_works(works: Sequence[Work], count: int, seed: int) -> list[Work]:
    """Return about `count` works (all, where there are fewer), sorted by id, balanced over kinds."""
    works = sorted(works, key=lambda work: work.id)
    if count >= len(works):
        return works
    kinds: dict[str, list[Work]] = defaultdict(list)
    for work in works:
        kinds[work.kind].append(work)
    quotas = _quotas({kind: len(members) for kind, members in kinds.items()}, count)
    rng = np.random.default_rng([seed, 1])
    chosen: list[Work] = []
    for kind in sorted(kinds):
        order = rng.permutation(len(kinds[kind]))[: quotas[kind]]
        chosen += [kinds[kind][i] for i in order]
    return sorted(chosen, key=lambda work: work.id)


def _quotas(available: Mapping[str, int], count: int) -> dict[str, int]:
    """Return how many works of each kind to use: proportional to the cube root, at most as many as there are."""
    quotas = dict.fromkeys(available, 0)
    left = count
    while left > 0:
        unfilled = [kind for kind in sorted(available) if quotas[kind] < available[kind]]
        total = sum(available[kind] ** (1 / 3) for kind in unfilled)
        budget = left
        for kind in unfilled:
            share = max(1, int(budget * available[kind] ** (1 / 3) / total))
            take = min(share, available[kind] - quotas[kind], left)
            quotas[kind] += take
            left -= take
    return quotas


def deal_splits(groups: Mapping[str, str], kinds: Mapping[str, str], seed: int) -> dict[str, str]:
    """Return the split of each work, by its id as `groups` and `kinds` are; works of one group get one split."""
    members: dict[str, list[str]] = defaultdict(list)
    for name in sorted(groups):
        members[groups[name]].append(name)
    strata: dict[str, list[str]] = defaultdict(list)
    for group, names in sorted(members.items()):
        strata[Counter(kinds[name] for name in names).most_common(1)[0][0]].append(group)
    rng = np.random.default_rng([seed, 2])
    whole = dict.fromkeys(FRACTIONS, 0.0)  # works dealt to each split so far
    splits: dict[str, str] = {}
    for kind in sorted(strata):
        order = [strata[kind][i] for i in rng.permutation(len(strata[kind]))]
        order.sort(key=lambda group: -len(members[group]))  # large ones first, while there is room to even out
        own = dict.fromkeys(FRACTIONS, 0.0)
        for group in order:
            size = len(members[group])
            split = "train" if size > _LARGE * len(groups) else _neediest(own, whole, size)
            own[split] += size
            whole[split] += size
            splits.update(dict.fromkeys(members[group], split))
    return splits


def _neediest(own: Mapping[str, float], whole: Mapping[str, float], size: int) -> str:
    """Return the split that lacks most, in its own kind and overall, against its share."""
    own_total, whole_total = sum(own.values()) + size, sum(whole.values()) + size

    def lack(split: str) -> float:
        share = FRACTIONS[split]
        return (share * own_total - own[split]) + 0.3 * (share * whole_total - whole[split])

    return max(FRACTIONS, key=lack)


def deal_clips(splits: Mapping[str, str], clips: int, seed: int) -> list[tuple[str, tuple[str, ...], bool]]:
    """Return (split, candidate works, whether it is shifted) for each clip; the first candidate is meant.

    Each split gets its share of `clips` exactly (rounded); its works take turns, and the other candidates are used if
    the first fails. The first test clips are rendered once more for the split "shift".
    """
    counts = {split: round(share * clips) for split, share in FRACTIONS.items()}
    counts["train"] = clips - counts["validation"] - counts["test"]
    rng = np.random.default_rng([seed, 3])
    dealt: list[tuple[str, tuple[str, ...], bool]] = []
    for split, count in counts.items():
        names = sorted(name for name, place in splits.items() if place == split)
        order = [names[i] for i in rng.permutation(len(names))]
        turns = min(_CANDIDATES, len(order))
        for number in range(count if order else 0):
            candidates = tuple(order[(number + k) % len(order)] for k in range(turns))
            dealt.append((split, candidates, split == "test" and number < SHIFTED * clips))
    return dealt
