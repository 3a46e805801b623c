"""Classification and tagging metrics.

`scores [N, C]` of N clips for C labels, higher is better; only their order matters. `labels [N]` are label indices, one
a clip; `tags [N, C]` are bool, any number a clip. Ties count at their expected value over random orders: a constant
score has accuracy 1 / C and ROC-AUC 0.5. Averages over tags weigh every tag alike ("macro"). All raise `MetricError`
where shapes do not fit or values are not finite.

ROC-AUC and average precision agree with scikit-learn's, but take all tags at once, which makes resampling fast.
"""

import numpy as np
from scipy.stats import rankdata

from slapkit.errors import MetricError


def accuracy(*, scores: np.ndarray, labels: np.ndarray) -> float:
    """Share of clips whose best label is the right one; m labels tied for the best count 1 / m."""
    return float(hits(scores=scores, labels=labels).mean())


def hits(*, scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return for each clip `[N]` the probability that its best label is the right one, ties in random order."""
    scores = _scores(scores)
    labels = np.asarray(labels)
    if labels.shape != (len(scores),) or not np.issubdtype(labels.dtype, np.integer):
        raise MetricError(f"labels must be integers [{len(scores)}], one a clip; found {labels.dtype} {labels.shape}")
    if labels.min() < 0 or labels.max() >= scores.shape[1]:
        raise MetricError(f"labels name {labels.min()}..{labels.max()}, but there are {scores.shape[1]} classes")
    best = scores == scores.max(axis=1, keepdims=True)
    return best[np.arange(len(scores)), labels] / best.sum(axis=1)


def roc_auc(*, scores: np.ndarray, tags: np.ndarray) -> float:
    """Area under the ROC curve, averaged over tags, none of which may be in no clip or in all."""
    scores, tags = _tagged(scores, tags)
    _require(tags.any(axis=0), "tag {} is in no clip")
    _require(~tags.all(axis=0), "tag {} is in every clip")
    having = tags.sum(axis=0)
    # Mann and Whitney: the ranks of clips with the tag give the pairs in which they lie above one without.
    above = (rankdata(scores, axis=0) * tags).sum(axis=0) - having * (having + 1) / 2
    return float((above / (having * (len(tags) - having))).mean())


def mean_average_precision(*, scores: np.ndarray, tags: np.ndarray) -> float:
    """Average precision of the clips ranked for each tag, averaged over tags (mAP), none of which may be in no clip.

    Clips tied with each other all have the precision at the end of their tie, as one threshold takes them all.
    """
    scores, tags = _tagged(scores, tags)
    _require(tags.any(axis=0), "tag {} is in no clip")
    taken = rankdata(-scores, method="max", axis=0)  # clips at or above the score of each
    right = rankdata(np.where(tags, -scores, np.inf), method="max", axis=0)  # those of them with the tag
    return float(((right / taken * tags).sum(axis=0) / tags.sum(axis=0)).mean())


def mean_average_recall(*, scores: np.ndarray, tags: np.ndarray) -> float:
    """Recall of a clip's own tags among the first k, averaged over k = 1..C and over clips (mAR, arXiv 2506.17815)."""
    return float(average_recalls(scores=scores, tags=tags).mean())


def average_recalls(*, scores: np.ndarray, tags: np.ndarray) -> np.ndarray:
    """Return each clip's recall averaged over k, `[N]`; a clip must have a tag."""
    scores, tags = _tagged(scores, tags)
    _require(tags.any(axis=1), "clip {} has no tag")
    count = scores.shape[1]
    # A tag at rank r is found by k = r..C, that is by C - r + 1 of the C values of k.
    found = (count + 1 - rankdata(-scores, axis=1)) / count
    return (found * tags).sum(axis=1) / tags.sum(axis=1)


def _scores(scores: np.ndarray) -> np.ndarray:
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 2 or not len(scores) or scores.shape[1] < 2:
        raise MetricError(f"scores must be [N, C] with N >= 1 and C >= 2; found {scores.shape}")
    if not np.isfinite(scores).all():
        raise MetricError("scores hold values that are not finite: check the model's weights")
    return scores


def _tagged(scores: np.ndarray, tags: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, tags = _scores(scores), np.asarray(tags)
    if scores.shape != tags.shape or not np.isin(tags, (0, 1)).all():
        raise MetricError(f"tags {tags.shape} must be bool or 0 and 1, for scores {scores.shape}; found {tags.dtype}")
    return scores, tags.astype(bool)


def _require(usable: np.ndarray, fault: str) -> None:
    if not usable.all():
        raise MetricError(f"{fault.format(int(np.argmin(usable)))}: leave it out, or take more data")
