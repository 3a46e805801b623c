"""The modality gap and the health of an embedding, on rows of unit norm.

`recentred` and `whitened` use no labels: whatever retrieval gains by them was hidden by the gap.
"""

import numpy as np

from slapkit.errors import MetricError
from slapkit.metrics.checks import joint_rows, unit_rows

_SMALLEST = 1e-9  # norm below which a row has no direction
_SHRINKAGE = 0.1  # share of the mean variance in the covariance that is whitened


def centroid_distance(*, audio: np.ndarray, text: np.ndarray) -> float:
    """Distance between the means of `audio [N, D]` and `text [M, D]` (arXiv 2203.02053): 0 (no gap) to 2.

    Examples:
        >>> centroid_distance(audio=[[1.0, 0.0]], text=[[-1.0, 0.0]])
        2.0
    """
    audio, text = joint_rows(audio=audio, text=text)
    return float(np.linalg.norm(audio.mean(0) - text.mean(0)))


def along_gap(*, audio: np.ndarray, text: np.ndarray) -> np.ndarray:
    """Return each pair's difference along the direction of the gap, `[N]`; their mean is the centroids' distance."""
    audio, text = joint_rows(audio=audio, text=text, pairs=True)
    difference = audio - text
    mean = difference.mean(axis=0)
    distance = np.linalg.norm(mean)
    return difference @ (mean / distance) if distance >= _SMALLEST else np.zeros(len(audio))


def linear_separability(*, audio: np.ndarray, text: np.ndarray, folds: int = 5, seed: int = 0) -> float:
    """Held-out accuracy of a logistic regression of `audio [N, D]` against `text [N, D]`: 0.5 (no gap) to 1.

    Both halves of a pair lie in the same of the `folds`, which are shuffled by `seed`.

    Raises:
        MetricError: shapes differ, or there are fewer than two folds, or fewer pairs than folds.

    Examples:
        >>> import numpy as np
        >>> audio = np.random.default_rng(0).uniform(size=(50, 8))
        >>> linear_separability(audio=audio, text=audio), linear_separability(audio=audio, text=-audio)
        (0.5, 1.0)
    """
    return float(pair_separability(audio=audio, text=text, folds=folds, seed=seed).mean())


def pair_separability(*, audio: np.ndarray, text: np.ndarray, folds: int = 5, seed: int = 0) -> np.ndarray:
    """Return the share of each pair `[N]` that the classifier of `linear_separability` gets right: 0, 0.5 or 1."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import KFold

    audio, text = joint_rows(audio=audio, text=text, pairs=True)
    if not 2 <= folds <= len(audio):
        raise MetricError(f"{len(audio)} pairs cannot be split into {folds} folds: take from 2 folds to one a pair")
    right = np.empty(len(audio))
    for train, held_out in KFold(folds, shuffle=True, random_state=seed).split(audio):
        labels = np.repeat([0, 1], len(train))
        classifier = LogisticRegression(max_iter=1000).fit(np.concatenate([audio[train], text[train]]), labels)
        named = [classifier.predict(audio[held_out]) == 0, classifier.predict(text[held_out]) == 1]
        right[held_out] = np.mean(named, axis=0)
    return right


def spectrum(embeddings: np.ndarray) -> np.ndarray:
    """Singular values of `embeddings [N, D]`, not centred, as shares of their sum: `[min(N, D)]`."""
    singular = np.linalg.svd(unit_rows("embeddings", embeddings), compute_uv=False)
    return singular / singular.sum()


def effective_rank(embeddings: np.ndarray) -> float:
    """Exp of the entropy of the spectrum of `embeddings [N, D]`: 1 (collapsed) to min(N, D).

    Roy and Vetterli 2007; RankMe, arXiv 2210.02885.

    Examples:
        >>> import numpy as np
        >>> round(effective_rank(np.eye(8)), 6), round(effective_rank(np.ones((8, 8))), 6)
        (8.0, 1.0)
    """
    return entropy_rank(spectrum(embeddings))


def entropy_rank(spectrum: np.ndarray) -> float:
    """Effective rank by a spectrum of shares."""
    p = spectrum[spectrum > 0]
    return float(np.exp(-(p * np.log(p)).sum()))


def embedding_std(embeddings: np.ndarray) -> float:
    """Standard deviation over rows, averaged over dimensions and scaled by sqrt(D): 0 (collapsed) to 1."""
    x = unit_rows("embeddings", embeddings)
    return float(x.std(axis=0).mean() * np.sqrt(x.shape[1]))


def recentred(*, audio: np.ndarray, text: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return `audio [N, D]` and `text [M, D]`, each less its own mean, rows again of unit norm (float64).

    Raises:
        MetricError: a modality has one row, or a row equals the mean of its modality and has no direction left.

    Examples:
        >>> import numpy as np
        >>> audio = np.array([[1.0, 0.2], [1.0, -0.2]])
        >>> text = audio * [-1, 1]  # the same music, mirrored to the other side
        >>> round(centroid_distance(audio=audio, text=text), 3)
        1.961
        >>> moved = recentred(audio=audio, text=text)
        >>> round(centroid_distance(audio=moved[0], text=moved[1]), 6)
        0.0
    """
    return _recentred("audio", audio), _recentred("text", text)


def _recentred(name: str, embeddings: np.ndarray) -> np.ndarray:
    x = centred(name, embeddings)
    norms = np.linalg.norm(x, axis=1)
    if (norms < _SMALLEST).any():
        raise MetricError(f"{name}: row {int(np.argmin(norms))} of {len(x)} is the mean and has no direction left")
    return x / norms[:, None]


def whitened(*, audio: np.ndarray, text: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each modality less its mean, its directions brought to equal variance, rows of unit norm (float64); raise
    `MetricError` where one has fewer than two rows or no variance."""
    return _whitened("audio", audio), _whitened("text", text)


def _whitened(name: str, embeddings: np.ndarray) -> np.ndarray:
    x = centred(name, embeddings)
    covariance = x.T @ x / len(x)
    # Some of the mean variance keeps directions that hardly vary, which are noise, from being blown up.
    floor = _SHRINKAGE * np.trace(covariance) / len(covariance)
    values, vectors = np.linalg.eigh((1 - _SHRINKAGE) * covariance + floor * np.eye(len(covariance)))
    return unit_rows(name, x @ (vectors / np.sqrt(values)) @ vectors.T)


def centred(name: str, embeddings: np.ndarray) -> np.ndarray:
    """Return unit rows `[N, D]` less their mean; raises `MetricError` where there is one row, or all are equal."""
    x = unit_rows(name, embeddings)
    x = x - x.mean(axis=0)
    if len(x) < 2 or np.abs(x).max() < _SMALLEST:
        raise MetricError(f"{name}: its {len(x)} row(s) equal their mean; take more rows, or a model not collapsed")
    return x


def matched_and_unmatched(
    *, queries: np.ndarray, candidates: np.ndarray, query_of: np.ndarray, candidate_of: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the cosines of pairs of one clip, and of pairs of two clips, as two flat arrays.

    Args:
        queries: `[N, D]`.
        candidates: `[M, D]`. The same array object as `queries`: each pair counts once, and no row with itself.
        query_of, candidate_of: integers `[N]` and `[M]`, the clip of each.
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
