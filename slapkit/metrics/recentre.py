"""What the gap between audio and text is made of, and what is left of it when each modality is recentred.

Conventions: rows are brought to unit norm first. *Matched* pairs describe one clip: a clip and its caption, two
captions of it, two windows of it; *unmatched* ones belong to two clips. Recentring subtracts each modality's own mean
and projects back onto the sphere; it needs no labels, so whatever retrieval gains by it was hidden by the gap alone
(arXiv 2203.02053).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from slapkit.errors import MetricError
from slapkit.metrics._validate import unit_rows

Z95 = 1.959964  # standard normal quantile of a two-sided interval of 95 %
_SMALLEST = 1e-9  # norm below which a recentred row has no direction left


class Estimate(NamedTuple):
    """A number and half the width of its 95 % interval, NaN where one pair leaves none."""

    value: float
    half_width: float


def recentred(*, audio: np.ndarray, text: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return `audio [N, D]` and `text [M, D]`, each less its own mean, rows again of unit norm (float64).

    Raises:
        MetricError: a modality has one row, or a row equals the mean of its modality, and has no direction left.
    """
    return _centred("audio", audio), _centred("text", text)


def _centred(name: str, embeddings: np.ndarray) -> np.ndarray:
    x = unit_rows(name, embeddings)
    x = x - x.mean(axis=0)
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    if (norms < _SMALLEST).any():
        raise MetricError(
            f"{name}: row {int(np.argmin(norms))} of {len(x)} is the mean of its modality: nothing is left of it when "
            "recentred; more rows, or a model that has not collapsed, are needed"
        )
    return x / norms


def gap_interval(*, audio: np.ndarray, text: np.ndarray) -> Estimate:
    """Distance of the centroids of `audio [N, D]` and `text [N, D]`, row i of both being one pair, with its interval.

    The interval is the delta method's: the pairs' differences along the direction of the gap, their standard error
    times 1.96. (Resampling would widen the distance itself, as a norm only ever grows by noise.)

    Raises:
        MetricError: N differs.
    """
    along = along_gap(audio=audio, text=text)
    half_width = Z95 * along.std(ddof=1) / np.sqrt(len(along)) if len(along) > 1 else float("nan")
    return Estimate(float(along.mean()), float(half_width))


def along_gap(*, audio: np.ndarray, text: np.ndarray) -> np.ndarray:
    """Return each pair's difference along the direction of the gap, `[N]`; their mean is the centroids' distance.

    Raises:
        MetricError: N differs between `audio [N, D]` and `text [N, D]`.
    """
    audio, text = unit_rows("audio", audio), unit_rows("text", text)
    if audio.shape != text.shape:
        raise MetricError(f"row i of audio {audio.shape} and text {text.shape} must be one pair")
    difference = audio - text
    mean = difference.mean(axis=0)
    distance = np.linalg.norm(mean)
    return difference @ (mean / distance) if distance >= _SMALLEST else np.zeros(len(audio))


def matched_and_unmatched(
    *, queries: np.ndarray, candidates: np.ndarray, query_of: np.ndarray, candidate_of: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the cosines of pairs of one clip, and of pairs of two, as two flat arrays.

    Args:
        queries: `[N, D]`.
        candidates: `[M, D]`. The same array object as `queries`: each pair counts once, and no row with itself.
        query_of: integers `[N]`, the clip of each query.
        candidate_of: integers `[M]`.
    """
    same = candidates is queries
    left = unit_rows("queries", queries)
    right = left if same else unit_rows("candidates", candidates)
    query_of, candidate_of = np.asarray(query_of), np.asarray(candidate_of)
    if query_of.shape != (len(left),) or candidate_of.shape != (len(right),):
        raise MetricError(f"clips {query_of.shape}, {candidate_of.shape} must name each of {len(left)}, {len(right)}")
    cosines, matched = left @ right.T, query_of[:, None] == candidate_of[None, :]
    counted = np.triu(np.ones(cosines.shape, dtype=bool), k=1) if same else np.ones(cosines.shape, dtype=bool)
    return cosines[matched & counted], cosines[~matched & counted]


def spectrum(embeddings: np.ndarray) -> np.ndarray:
    """Singular values of `embeddings [N, D]`, rows of unit norm, not centred, as shares of their sum: `[min(N, D)]`.

    They are what `effective_rank` takes the entropy of.
    """
    singular = np.linalg.svd(unit_rows("embeddings", embeddings), compute_uv=False)
    return singular / singular.sum()


def recall_interval(hits: np.ndarray, group_of: np.ndarray) -> Estimate:
    """Mean of `hits [Q]` in [0, 1] with the interval of a sample of groups: queries of one clip are not independent.

    The standard error is the cluster-robust one of a mean, over the groups that `group_of` `[Q]` names.
    """
    hits, group_of = np.asarray(hits, dtype=np.float64), np.asarray(group_of)
    if hits.ndim != 1 or hits.shape != group_of.shape or not len(hits):
        raise MetricError(f"hits {hits.shape} and groups {group_of.shape} must both be [Q] with Q >= 1")
    _, number = np.unique(group_of, return_inverse=True)
    groups = number.max() + 1
    if groups < 2:
        return Estimate(float(hits.mean()), float("nan"))
    sums = np.bincount(number, weights=hits - hits.mean())
    error = np.sqrt((sums**2).sum() * groups / (groups - 1)) / len(hits)
    return Estimate(float(hits.mean()), float(Z95 * error))
