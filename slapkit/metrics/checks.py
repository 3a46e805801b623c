"""Input checks that all metrics share."""

import numpy as np

from slapkit.errors import MetricError


def unit_rows(name: str, embeddings: np.ndarray) -> np.ndarray:
    """Return `embeddings` `[N, D]` as float64 with rows of norm 1; raise `MetricError` unless they are a matrix of
    numbers with N, D >= 1 whose rows are finite and not zero."""
    try:
        x = np.asarray(embeddings, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise MetricError(f"{name} must be a matrix [N, D] of numbers: {error}") from error
    if x.ndim != 2 or 0 in x.shape:
        raise MetricError(f"{name} must be a matrix [N, D] with N, D >= 1; found shape {np.shape(embeddings)}")
    largest = np.abs(x).max(axis=1, keepdims=True)
    usable = np.isfinite(largest) & (largest > 0)
    if not usable.all():
        raise MetricError(f"{name}: row {int(np.argmin(usable))} is zero or not finite: check the model's weights")
    x = x / largest  # first, for the squares of very large or small values leave the range of float64
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def joint_rows(*, audio: np.ndarray, text: np.ndarray, pairs: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return `audio [N, D]` and `text [M, D]` as `unit_rows`; with `pairs` M is N, row i of both being one pair. Raise
    `MetricError` as that, or where the shapes do not fit."""
    audio, text = unit_rows("audio", audio), unit_rows("text", text)
    if audio.shape[1] != text.shape[1]:
        raise MetricError(f"audio has {audio.shape[1]} dimensions and text {text.shape[1]}: they do not share a space")
    if pairs and len(audio) != len(text):
        raise MetricError(f"row i of audio {audio.shape} and text {text.shape} must be one pair")
    return audio, text


def scored(scores: np.ndarray, relevant: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return `scores [Q, N]` as float64 and `relevant [Q, N]` as bool; raise `MetricError` where shapes differ, scores
    are not finite, or a query has no relevant candidate."""
    scores, relevant = np.asarray(scores, dtype=np.float64), np.asarray(relevant, dtype=bool)
    if scores.ndim != 2 or scores.shape != relevant.shape or 0 in scores.shape:
        shapes = f"scores {scores.shape} and right answers {relevant.shape}"
        raise MetricError(f"{shapes} must both be [Q, N] with Q, N >= 1")
    if not np.isfinite(scores).all():
        raise MetricError("scores hold values that are not finite: check the model's weights")
    if not relevant.any(axis=1).all():
        raise MetricError(f"query {int(np.argmin(relevant.any(axis=1)))} has no right answer among the candidates")
    return scores, relevant
