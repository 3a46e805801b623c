"""Which part of a clip is looked at: random windows in training, fixed ones in evaluation; short clips are repeated.

Conventions: a clip has `n` steps (samples or frames), a window has `length` steps, and a window's start lies in
`0 .. n - length`, both ends included. A clip that is shorter than the window is repeated until it fills it.
"""

import numpy as np

from slapkit.errors import AudioError


def fill(x: np.ndarray, length: int, padding: str = "repeat") -> np.ndarray:
    """Return `x` `[..., T]` with at least `length` steps; only a shorter signal is changed, to exactly `length`.

    `padding`, as in transformers' `ClapFeatureExtractor`: "repeat" repeats it and cuts the last repetition off;
    "repeatpad" repeats it as often as it fits whole, and zeros follow; "pad" adds zeros only. An empty `x` is an
    `AudioError`.
    """
    n = x.shape[-1]
    if n == 0:
        raise AudioError(f"a signal of shape {x.shape} holds nothing to repeat up to {length} steps")
    if n >= length:
        return x
    if padding == "repeat":
        return take(x, 0, length)
    whole = length // n if padding == "repeatpad" else 1
    out = np.zeros((*x.shape[:-1], length), dtype=x.dtype)
    out[..., : whole * n] = np.concatenate([x] * whole, axis=-1)
    return out


def random_start(n: int | np.ndarray, length: int, rng: np.random.Generator) -> np.ndarray:
    """Draw starts, int64 of the shape of `n`, uniformly from `0 .. n - length`; 0 where the clip is too short."""
    last = np.maximum(np.asarray(n, dtype=np.int64) - length, 0)
    return rng.integers(0, last, endpoint=True, dtype=np.int64)


def tiled_starts(n: int, length: int, hop: int | None = None) -> np.ndarray:
    """Return the starts, int64 `[W]`, of windows that cover a clip of `n` steps from its first to its last.

    Windows follow each other by `hop` steps (default: `length`, no overlap); the last one is moved back to end with
    the clip, so that all windows are full. A short clip has the one window that starts at 0.
    """
    hop = length if hop is None else hop
    if length < 1 or hop < 1:
        raise AudioError(f"windows of {length} steps every {hop} cannot cover a clip: both must be at least 1")
    if n <= length:
        return np.zeros(1, dtype=np.int64)
    inner = np.arange(0, n - length, hop, dtype=np.int64)
    return np.append(inner, n - length)


def overlapping_starts(n: int, length: int) -> np.ndarray:
    """Return those of `tiled_starts`, and one half-way between two that are more than half a window apart."""
    tiles = tiled_starts(n, length)
    gaps = np.diff(tiles)
    return np.sort(np.concatenate([tiles, (tiles[:-1] + gaps // 2)[gaps > (length + 1) // 2]]))


def take(x: np.ndarray, start: int, length: int) -> np.ndarray:
    """Return the window `[..., length]` of `x` `[..., T]` from `start` on, wrapping round where the clip ends."""
    n = x.shape[-1]
    if n == 0:
        raise AudioError(f"a signal of shape {x.shape} has no window")
    if start + length <= n:
        return x[..., start : start + length]
    return x[..., (start + np.arange(length)) % n]
