"""What the gap does to a joint space, beyond its size.

Conventions: rows are brought to unit norm; `audio [N, D]` and `text [M, D]`. Each measure can be taken before and after
`recentred` or `whitened`, which use no labels.

- `distribution_gap`: what is left between the modalities once their centroids are taken off.
- `joint_v_measure`: do clusters of audio and text together follow what the music is, rather than the modality?
- `modality_preference`: does a search over audio and text together prefer one of them?
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from slapkit.errors import MetricError
from slapkit.metrics._validate import unit_rows


def whitened(*, audio: np.ndarray, text: np.ndarray, shrinkage: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Return each modality less its mean, its directions brought to equal spread, rows again of unit norm (float64).

    Args:
        shrinkage: share of the mean variance in the covariance, in (0, 1]: directions that hardly vary are noise, and
            would be blown up without it. 1 leaves the directions as they are.

    Raises:
        MetricError: a modality has fewer than two rows or no spread, or `shrinkage` is out of range.
    """
    if not 0 < shrinkage <= 1:
        raise MetricError(f"shrinkage={shrinkage!r} must lie in (0, 1]")
    return _whitened("audio", audio, shrinkage), _whitened("text", text, shrinkage)


def _whitened(name: str, embeddings: np.ndarray, shrinkage: float) -> np.ndarray:
    x = _centred(name, embeddings)
    covariance = x.T @ x / len(x)
    mean_variance = np.trace(covariance) / len(covariance)
    values, vectors = np.linalg.eigh((1 - shrinkage) * covariance + shrinkage * mean_variance * np.eye(len(covariance)))
    return unit_rows(name, x @ (vectors / np.sqrt(values)) @ vectors.T)


def _centred(name: str, embeddings: np.ndarray) -> np.ndarray:
    x = unit_rows(name, embeddings)
    x = x - x.mean(axis=0)
    if len(x) < 2 or np.abs(x).max() < 1e-9:
        raise MetricError(f"{name} of {len(x)} rows has no spread around its mean: nothing is left to compare")
    return x


def distribution_gap(*, audio: np.ndarray, text: np.ndarray) -> dict[str, float]:
    """What tells audio from text once each has lost its mean.

    Returns:
        "covariance": distance between the two normal distributions of these covariances and no mean (2-Wasserstein,
            Dowson and Landau 1982), over the square root of their mean total variance: 0 where they agree, and at most
            sqrt(2).
        "spectrum": total variation between the two spectra of variance, largest first, each a distribution: 0 to 1. It
            does not see in which directions the variance lies.

    Raises:
        MetricError: a modality has no spread, or the widths differ.
    """
    audio, text = _centred("audio", audio), _centred("text", text)
    if audio.shape[1] != text.shape[1]:
        raise MetricError(f"audio has {audio.shape[1]} dimensions and text {text.shape[1]}: they do not share a space")
    # R of a QR decomposition has the covariance of its rows, and no more rows than dimensions.
    audio, text = (np.linalg.qr(x, mode="r") / np.sqrt(len(x)) for x in (audio, text))
    variances = [np.linalg.svd(x, compute_uv=False) ** 2 for x in (audio, text)]
    total = [v.sum() for v in variances]
    # tr((Ca^1/2 Ct Ca^1/2)^1/2) is the sum of the singular values of A T', for Ca = A'A and Ct = T'T.
    common = np.linalg.svd(audio @ text.T, compute_uv=False).sum()
    squared = max(total[0] + total[1] - 2 * common, 0.0)
    padded = np.zeros((2, max(map(len, variances))))
    for row, (v, t) in enumerate(zip(variances, total)):
        padded[row, : len(v)] = v / t
    return {
        "covariance": float(np.sqrt(squared / (sum(total) / 2))),
        "spectrum": float(np.abs(padded[0] - padded[1]).sum() / 2),
    }


def joint_v_measure(
    *,
    audio: np.ndarray,
    text: np.ndarray,
    audio_labels: Sequence[str],
    text_labels: Sequence[str],
    seed: int,
    clusters: int | None = None,
) -> dict[str, float]:
    """Cluster audio and text together, and compare the clusters with what the music is, and with the modality.

    k-means on unit-norm rows; V-measure (Rosenberg and Hirschberg 2007) is 1 where clusters and groups are the same,
    and near 0 where they have nothing to do with each other.

    Args:
        audio_labels, text_labels: the group of each row (its style, say), `[N]` and `[M]`.
        seed: of k-means.
        clusters: how many; default: as many as there are groups.

    Returns:
        "label": V-measure against the groups; "modality": against audio or text.

    Raises:
        MetricError: labels do not fit, there is a single group, or there are fewer rows than clusters.
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import v_measure_score

    audio, text = unit_rows("audio", audio), unit_rows("text", text)
    if len(audio_labels) != len(audio) or len(text_labels) != len(text):
        raise MetricError(
            f"{len(audio_labels)} and {len(text_labels)} labels for {len(audio)} sounds and {len(text)} texts"
        )
    labels = [str(label) for label in (*audio_labels, *text_labels)]
    clusters = clusters or len(set(labels))
    if len(set(labels)) < 2 or clusters < 2:
        raise MetricError(f"{len(set(labels))} group(s) and {clusters} cluster(s): two of each are needed to compare")
    if clusters > len(labels):
        raise MetricError(f"{len(labels)} rows cannot be put into {clusters} clusters")
    found = KMeans(clusters, n_init=10, random_state=seed).fit_predict(np.concatenate([audio, text]))
    modality = np.repeat([0, 1], [len(audio), len(text)])
    return {"label": float(v_measure_score(labels, found)), "modality": float(v_measure_score(modality, found))}


def modality_preference(*, queries: np.ndarray, own: np.ndarray, other: np.ndarray, k: int = 10) -> float:
    """How much a search over both modalities together prefers the query's own.

    Args:
        queries: `[Q, D]`.
        own: candidates of the queries' modality `[N, D]`, none of them a query itself.
        other: candidates of the other modality `[M, D]`.
        k: results that are looked at.

    Returns:
        share of `own` among the first k, ties at their expected value, less its share among all candidates: 0 where
        neither is preferred, at most 1 - N / (N + M).

    Raises:
        MetricError: widths differ, or there are fewer than k candidates.
    """
    queries, own, other = unit_rows("queries", queries), unit_rows("own", own), unit_rows("other", other)
    if not queries.shape[1] == own.shape[1] == other.shape[1]:
        raise MetricError(f"widths {queries.shape[1]}, {own.shape[1]} and {other.shape[1]} do not share a space")
    count = len(own) + len(other)
    if not 1 <= k <= count:
        raise MetricError(f"k={k!r} of {count} candidates: from 1 to all of them can be looked at")
    similar = queries @ np.concatenate([own, other]).T
    bar = -np.sort(-similar, axis=1)[:, k - 1 : k]
    above, level = similar > bar + 1e-9, np.abs(similar - bar) <= 1e-9
    left = k - above.sum(axis=1)  # places for those level with the k-th
    mine = above[:, : len(own)].sum(axis=1) + left * level[:, : len(own)].sum(axis=1) / level.sum(axis=1)
    return float((mine / k).mean() - len(own) / count)
