"""Retrieval between text and audio by cosine.

Text to audio, every caption is a query, the clips are candidates, and its own clip is the one right answer. Audio to
text, every clip is a query, all captions are candidates, and the best placed of its own captions counts. Where the
captions' texts are given, equal ones are one: clips that share a caption are right answers alike. Ranks are 1-based; a
normalised rank is rank / candidates. Ties count as if in random order, so that a constant embedding scores exactly
chance: recall, in [0, 1], is the probability of a right answer among the first k, rank its expectation.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from slapkit.errors import MetricError
from slapkit.metrics.checks import joint_rows, scored

TIE_TOLERANCE = 1e-6  # cosines that differ by less are tied: about what float32 embeddings resolve
_BLOCK = 1024  # queries ranked at a time: bounds the memory for similarities, changes no result


class Ranks(NamedTuple):
    """Place of the best right answer for each of Q queries."""

    better: np.ndarray  # [Q], candidates strictly above it
    tied: np.ndarray  # [Q], candidates in its group of ties, itself included
    right: np.ndarray  # [Q], right answers in that group
    candidates: int  # how many were ranked

    @property
    def expected(self) -> np.ndarray:
        """Expected 1-based rank `[Q]` of the first right answer when ties are in random order."""
        return self.better + (self.tied + 1) / (self.right + 1)

    def hit_probability(self, k: int) -> np.ndarray:
        """Probability `[Q]` that a right answer is among the first `k` when ties are in random order."""
        places = np.clip(k - self.better, 0, self.tied)
        miss = np.ones(len(places))
        # All `right` answers miss the first `places` of `tied`: prod_i (tied - places - i) / (tied - i).
        for i in range(int(self.right.max(initial=0))):
            active = i < self.right
            miss[active] *= np.maximum(self.tied - places - i, 0)[active] / (self.tied - i)[active]
        return 1 - miss


def ranks_of_positives(similarities: np.ndarray, positives: np.ndarray) -> Ranks:
    """Place the best right answer of each query, by `similarities [Q, C]` and bool `positives [Q, C]`; raise
    `MetricError` where shapes differ, values are not finite, or a query has no right answer."""
    similarities, positives = scored(similarities, positives)
    best = np.where(positives, similarities, -np.inf).max(axis=1, keepdims=True)
    above = similarities > best + TIE_TOLERANCE
    tied = ~above & (similarities >= best - TIE_TOLERANCE)
    return Ranks(above.sum(1), tied.sum(1), (tied & positives).sum(1), similarities.shape[1])


def share_of_first(scores: np.ndarray, relevant: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Return the expected share `[Q]` of `relevant` candidates, bool `[Q, C]`, among the first `taken [Q]`, at least 1,
    by `scores [Q, C]`."""
    last = np.take_along_axis(-np.sort(-scores, axis=1), taken[:, None] - 1, axis=1)
    above = scores > last + TIE_TOLERANCE
    tied = ~above & (scores >= last - TIE_TOLERANCE)
    share = (tied & relevant).sum(axis=1) / tied.sum(axis=1)
    return ((above & relevant).sum(axis=1) + (taken - above.sum(axis=1)) * share) / taken


def text_to_audio_ranks(
    *, audio: np.ndarray, text: np.ndarray, clip_of_caption: np.ndarray, captions: Sequence[str] | None = None,
    also_right: Mapping[int, Sequence[int]] | None = None,
) -> Ranks:  # fmt: skip
    """Rank the clips for every caption.

    Args:
        audio: clips `[N, D]`.
        text: captions `[M, D]`.
        clip_of_caption: integers `[M]`, the clip of each caption.
        captions: their texts, of which equal ones share their clips; by default all differ.
        also_right: by caption, clips that are right answers beside its own.

    Raises:
        MetricError: shapes do not fit, or values are not finite.

    Examples:
        >>> audio = [[1.0, 0.0], [0.0, 1.0]]
        >>> text = [[1.0, 0.1], [1.0, 1.0], [1.0, 0.2]]  # near its clip, between both, near the wrong one
        >>> ranks = text_to_audio_ranks(audio=audio, text=text, clip_of_caption=[0, 1, 1])
        >>> ranks.expected  # places from 1; a tie counts by its mean place
        array([1. , 1.5, 2. ])
        >>> retrieval_scores(ranks, at=[1])["R@1"]
        0.5
    """
    audio, text, clip_of_caption = _checked(audio, text, clip_of_caption)
    return _blocked(text, audio, right_answers(clip_of_caption, len(audio), captions), also_right or {})


def audio_to_text_ranks(
    *, audio: np.ndarray, text: np.ndarray, clip_of_caption: np.ndarray, captions: Sequence[str] | None = None
) -> Ranks:
    """Rank all captions for every clip, which must have one. Arguments as in `text_to_audio_ranks`."""
    audio, text, clip_of_caption = _checked(audio, text, clip_of_caption)
    without = np.setdiff1d(np.arange(len(audio)), clip_of_caption)
    if len(without):
        raise MetricError(f"{len(without)} clips have no caption and cannot be queries, the first is clip {without[0]}")
    return _blocked(audio, text, right_answers(clip_of_caption, len(audio), captions).T.tocsr(), {})


def right_answers(clip_of_caption: np.ndarray, clips: int, captions: Sequence[str] | None = None) -> csr_array:
    """Return which of N clips are right for each of M captions, bool `[M, N]`, sparse; see `text_to_audio_ranks`."""
    if captions is None:
        names = np.arange(len(clip_of_caption))
    elif len(captions) == len(clip_of_caption):
        names = np.unique(np.asarray(captions, dtype=object), return_inverse=True)[1]
    else:
        raise MetricError(f"{len(captions)} captions have {len(clip_of_caption)} embeddings")
    pairs = np.unique(np.stack([names, clip_of_caption]), axis=1)
    having = csr_array((np.ones(pairs.shape[1], dtype=bool), tuple(pairs)), shape=(int(names.max()) + 1, clips))
    return having[names]


def _checked(
    audio: np.ndarray, text: np.ndarray, clip_of_caption: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    audio, text = joint_rows(audio=audio, text=text)
    clip_of_caption = np.asarray(clip_of_caption)
    if clip_of_caption.shape != (len(text),) or not np.issubdtype(clip_of_caption.dtype, np.integer):
        found = f"{clip_of_caption.dtype} {clip_of_caption.shape}"
        raise MetricError(f"clip_of_caption must be integers [{len(text)}], one a caption; found {found}")
    least, most = clip_of_caption.min(), clip_of_caption.max()
    if least < 0 or most >= len(audio):
        raise MetricError(f"clip_of_caption names clips {least}..{most} of {len(audio)}")
    return audio, text, clip_of_caption


def _blocked(
    queries: np.ndarray, candidates: np.ndarray, answers: csr_array, also_right: Mapping[int, Sequence[int]]
) -> Ranks:
    """Rank in blocks of queries; `answers` `[Q, C]` are the right ones."""
    parts = []
    for start in range(0, len(queries), _BLOCK):
        rows = slice(start, start + _BLOCK)
        right = answers[rows].toarray()
        for row in also_right.keys() & range(start, start + len(right)):
            right[row - start, list(also_right[row])] = True
        parts.append(ranks_of_positives(queries[rows] @ candidates.T, right))
    return Ranks(*(np.concatenate([p[i] for p in parts]) for i in range(3)), len(candidates))


def retrieval_scores(ranks: Ranks, *, at: Sequence[int] = (1, 5, 10)) -> dict[str, float]:
    """Summarise ranks: `R@k` in [0, 1] for every k, and `median_rank`, `mean_rank` as expected 1-based rank /
    candidates."""
    scores = {f"R@{k}": float(ranks.hit_probability(k).mean()) for k in at}
    normalised = ranks.expected / ranks.candidates
    return scores | {"median_rank": float(np.median(normalised)), "mean_rank": float(normalised.mean())}
