"""The modality gap and the health of an embedding, on rows of unit norm.

- `centroid_distance`: distance of the two modalities' means (arXiv 2203.02053), 0 (no gap) to 2.
- `linear_separability`: how well a linear classifier tells audio from text, 0.5 (no gap) to 1. Cross-validated with
  both halves of a pair in one fold, so that it can't recognise a pair that it has seen.
- `effective_rank`: exp of the entropy of the normalised singular values (Roy and Vetterli 2007; RankMe, arXiv
  2210.02885), 1 (collapsed) to min(N, D).
"""

from __future__ import annotations

import numpy as np

from slapkit.errors import MetricError
from slapkit.metrics._validate import unit_rows


def centroid_distance(*, audio: np.ndarray, text: np.ndarray) -> float:
    """Euclidean distance between the means of `audio [N, D]` and `text [M, D]`, rows first brought to unit norm."""
    audio, text = unit_rows("audio", audio), unit_rows("text", text)
    if audio.shape[1] != text.shape[1]:
        raise MetricError(f"audio has {audio.shape[1]} dimensions and text {text.shape[1]}: they do not share a space")
    return float(np.linalg.norm(audio.mean(0) - text.mean(0)))


def linear_separability(*, audio: np.ndarray, text: np.ndarray, folds: int = 5, seed: int = 0) -> float:
    """Held-out accuracy of a logistic regression telling `audio [N, D]` from `text [N, D]`, row i of both being one
    pair.

    Folds are made of whole pairs, shuffled by `seed`. Chance is 0.5.

    Raises:
        MetricError: N differs, or there are fewer than two folds, or fewer pairs than folds.
    """
    return float(pair_separability(audio=audio, text=text, folds=folds, seed=seed).mean())


def pair_separability(*, audio: np.ndarray, text: np.ndarray, folds: int = 5, seed: int = 0) -> np.ndarray:
    """Return which share of each pair `[N]` the classifier of `linear_separability` names rightly: 0, 0.5 or 1.

    Raises:
        MetricError: as in `linear_separability`.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import KFold

    audio, text = unit_rows("audio", audio), unit_rows("text", text)
    if audio.shape != text.shape:
        raise MetricError(f"row i of audio {audio.shape} and text {text.shape} must be one pair")
    if not 2 <= folds <= len(audio):
        raise MetricError(f"{len(audio)} pairs cannot be split into {folds} folds: take from 2 folds to one a pair")
    right = np.empty(len(audio))
    for train, held_out in KFold(folds, shuffle=True, random_state=seed).split(audio):
        labels = np.repeat([0, 1], len(train))
        classifier = LogisticRegression(max_iter=1000).fit(np.concatenate([audio[train], text[train]]), labels)
        named = [classifier.predict(audio[held_out]) == 0, classifier.predict(text[held_out]) == 1]
        right[held_out] = np.mean(named, axis=0)
    return right


def effective_rank(embeddings: np.ndarray) -> float:
    """Effective rank of `embeddings [N, D]`, not centred: all rows equal gives 1."""
    singular = np.linalg.svd(unit_rows("embeddings", embeddings), compute_uv=False)
    p = singular / singular.sum()
    p = p[p > 0]
    return float(np.exp(-(p * np.log(p)).sum()))


def embedding_std(embeddings: np.ndarray) -> float:
    """Standard deviation over rows, averaged over dimensions and scaled by sqrt(D): 0 (collapsed) to 1 (spread over the
    sphere)."""
    x = unit_rows("embeddings", embeddings)
    return float(x.std(axis=0).mean() * np.sqrt(x.shape[1]))
