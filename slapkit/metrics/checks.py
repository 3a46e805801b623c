"""Input checks that all metrics share."""

from __future__ import annotations

import numpy as np

from slapkit.errors import MetricError


def unit_rows(name: str, embeddings: np.ndarray) -> np.ndarray:
    """Return `embeddings` `[N, D]` as float64 with rows of norm 1.

    Raises:
        MetricError: not a matrix, no rows, values that are not finite, or a row of norm 0, with the first such row.
    """
    try:
        x = np.asarray(embeddings, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise MetricError(f"{name} must be a matrix [N, D] of numbers: {error}") from error
    if x.ndim != 2 or 0 in x.shape:
        raise MetricError(f"{name} must be a matrix [N, D] with N, D >= 1; found shape {np.shape(embeddings)}")
    if not np.isfinite(x).all():
        row = int(np.argmin(np.isfinite(x).all(axis=1)))
        raise MetricError(
            f"{name} holds values that are not finite, first in row {row}: check the model's weights and that audio"
        )
    largest = np.abs(x).max(axis=1, keepdims=True)
    if (largest == 0).any():
        raise MetricError(f"{name}: row {int(np.argmin(largest[:, 0]))} is zero and has no direction")
    x = x / largest  # first, for the squares of very large or small values leave the range of float64
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def joint_rows(*, audio: np.ndarray, text: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return `audio [N, D]` and `text [M, D]` as `unit_rows`.

    Raises:
        MetricError: as `unit_rows`, or the widths differ.
    """
    audio, text = unit_rows("audio", audio), unit_rows("text", text)
    if audio.shape[1] != text.shape[1]:
        raise MetricError(f"audio has {audio.shape[1]} dimensions and text {text.shape[1]}: they do not share a space")
    return audio, text


def pair_rows(*, audio: np.ndarray, text: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return `audio [N, D]` and `text [N, D]`, row i of both being one pair, as `unit_rows`.

    Raises:
        MetricError: as `unit_rows`, or the shapes differ.
    """
    audio, text = unit_rows("audio", audio), unit_rows("text", text)
    if audio.shape != text.shape:
        raise MetricError(f"row i of audio {audio.shape} and text {text.shape} must be one pair")
    return audio, text
