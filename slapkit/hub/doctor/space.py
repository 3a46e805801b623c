"""How the embeddings use their space, and whether pairs of sound and caption find each other."""

from __future__ import annotations

import numpy as np

from slapkit.hub.doctor.check import Check, judged, unknown
from slapkit.hub.doctor.subject import Subject, finite
from slapkit.metrics import effective_rank, retrieval_scores, text_to_audio_ranks

_PAIRS = 8  # fewer pairs cannot tell knowledge from chance
_PERMUTATIONS = 1999
_COLLAPSED = 1.5  # effective rank, as in slapkit.training.health
_DEAD = 1e-3  # of the spread that a dimension has on average: below this it says nothing


def text_spread(subject: Subject) -> Check:
    """Do unlike captions have unlike embeddings?"""
    return _spread("text spread", subject.text, "unlike captions", "text")


def audio_spread(subject: Subject) -> Check:
    """Do unlike sounds have unlike embeddings?"""
    return _spread("audio spread", subject.audio, "unlike sounds", "audio")


def _spread(name: str, embeddings: np.ndarray, what: str, tower: str) -> Check:
    cosines = embeddings @ embeddings.T
    mean = float(cosines[~np.eye(len(embeddings), dtype=bool)].mean())
    return judged(
        name, mean, warn=0.95, fail=0.99,
        words=f"the mean cosine of {what} is {mean:.3f}",
        remedy=f"the {tower} tower hardly tells inputs apart: weights of its projector or predictor are missing, "
        "untrained or collapsed",
    )  # fmt: skip


def rank(subject: Subject) -> Check:
    """How many dimensions do the embeddings really use?"""
    ranks = {"sounds": effective_rank(subject.audio), "captions": effective_rank(subject.text)}
    least = min(ranks, key=lambda what: ranks[what])
    return judged(
        "effective rank", ranks[least], warn=2.5, fail=_COLLAPSED, less_is_worse=True,
        words=f"effective rank {ranks['sounds']:.1f} over {len(subject.audio)} sounds and {ranks['captions']:.1f} over "
        f"{len(subject.text)} captions",
        remedy="the embeddings collapsed: train with lam nearer 0.5, a higher tau, a lower lr, BatchNorm in the "
        "predictors, or larger batches",
    )  # fmt: skip


def dead_dimensions(subject: Subject) -> Check:
    """Are there dimensions that are the same for all inputs?"""
    width = subject.audio.shape[1]
    dead = {
        what: int((x.std(axis=0) < _DEAD / np.sqrt(width)).sum())
        for what, x in (("sounds", subject.audio), ("captions", subject.text))
    }
    most = max(dead, key=lambda what: dead[what])
    share = dead[most] / width
    return judged(
        "dead dimensions", share, warn=1e-9, fail=0.05,
        words=f"{dead[most]} of {width} dimensions stay the same for all {most}",
        remedy="part of the last layer is zero or was never loaded: compare it with the source of the checkpoint",
    )  # fmt: skip


def pairs(subject: Subject) -> Check:
    """Is a caption nearer to its own sound than to others'? The chance that it is, 50 % for weights that know nothing.

    The limit is what 5 % of random pairings reach: weights must beat it.
    """
    name, captions = "matched pairs", subject.given_captions
    if subject.given_sounds is None or captions is None:
        return unknown(name, "needs sounds with captions: give a data set")
    if len(captions) < _PAIRS:
        return unknown(name, f"{len(captions)} pairs cannot tell knowledge from chance: give {_PAIRS} or more")
    text = finite("caption embeddings", subject.read(captions))
    ranks = text_to_audio_ranks(audio=subject.audio, text=text, clip_of_caption=np.arange(len(text)))
    share = _beaten(ranks)
    rng, cosines = np.random.default_rng(subject.seed), text @ subject.audio.T
    matched = float(np.trace(cosines))
    rows = np.arange(len(text))
    reached = sum(cosines[rows, rng.permutation(len(text))].sum() >= matched for _ in range(_PERMUTATIONS))
    p = (reached + 1) / (_PERMUTATIONS + 1)
    recall = 100 * retrieval_scores(ranks, at=(10,))["R@10"]
    verdict_figure = share if p <= 0.01 else min(share, 0.5)  # not told from chance: counts as chance
    check = judged(
        name, verdict_figure, warn=0.6, fail=0.5 + 1e-9, less_is_worse=True,
        words=f"a caption is nearer to its own sound than to {100 * share:.1f} % of the others (chance 50 %; p = "
        f"{p:.4f} over random pairings); R@10 {recall:.1f} % of {len(text)}",
        remedy="sounds and captions do not know of each other: the towers may come from different runs, the weights "
        "be untrained or shuffled, or the captions belong to other sounds",
    )  # fmt: skip
    return check


def _beaten(ranks) -> float:
    """Mean share of the other candidates that the right one beats, ties counting half."""
    return float(1 - np.mean((ranks.expected - 1) / (ranks.candidates - 1)))
