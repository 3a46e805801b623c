"""Effects of the modality gap on a joint space, beyond its size, on rows of unit norm."""

from collections.abc import Sequence

import numpy as np

from slapkit.errors import MetricError
from slapkit.metrics.checks import joint_rows, unit_rows
from slapkit.metrics.gap import centred
from slapkit.metrics.retrieval import share_of_first


def distribution_gap(*, audio: np.ndarray, text: np.ndarray) -> dict[str, float]:
    """Difference between `audio [N, D]` and `text [M, D]` once each has lost its mean.

    Returns:
        "covariance": distance between the two normal distributions of these covariances and no mean (2-Wasserstein,
            Dowson and Landau 1982), over the square root of their mean total variance: 0 to sqrt(2).
        "spectrum": total variation between the two spectra of variance, 0 to 1; directions do not matter.

    Raises:
        MetricError: a modality has no spread, or the widths differ.
    """
    audio, text = joint_rows(audio=audio, text=text)
    audio, text = centred("audio", audio), centred("text", text)
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
    *, audio: np.ndarray, text: np.ndarray, audio_labels: Sequence[str], text_labels: Sequence[str], seed: int
) -> dict[str, float]:
    """Cluster `audio [N, D]` and `text [M, D]` together by k-means, with as many clusters as there are labels.

    V-measure (Rosenberg and Hirschberg 2007) is 1 where clusters and groups agree, and near 0 where they are unrelated.

    Returns:
        "label": V-measure of the clusters against the label of each row (its style, say); "modality": against audio or
        text.

    Raises:
        MetricError: labels do not fit, or there is a single group.
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import v_measure_score

    audio, text = joint_rows(audio=audio, text=text)
    counts = [len(audio), len(text)]
    if [len(audio_labels), len(text_labels)] != counts:
        raise MetricError(f"{len(audio_labels)} and {len(text_labels)} labels for {counts[0]} clips, {counts[1]} texts")
    labels = [str(label) for label in (*audio_labels, *text_labels)]
    if len(set(labels)) < 2:
        raise MetricError(f"1 group of {len(labels)} rows: at least two are needed to compare")
    found = KMeans(len(set(labels)), n_init=10, random_state=seed).fit_predict(np.concatenate([audio, text]))
    modality = np.repeat([0, 1], counts)
    return {"label": float(v_measure_score(labels, found)), "modality": float(v_measure_score(modality, found))}


def modality_preference(*, queries: np.ndarray, own: np.ndarray, other: np.ndarray, k: int = 10) -> float:
    """Preference of a search over both modalities together for the query's own.

    Candidates are `own` of the queries' modality `[N, D]`, none of them a query itself, and `other [M, D]`.

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
    mine = share_of_first(similar, np.arange(count)[None] < len(own), np.full(len(queries), k))
    return float(mine.mean() - len(own) / count)
