"""One window of features out of a sound file, without decoding the rest of it."""

from __future__ import annotations

import os
from typing import BinaryIO

import numpy as np

from slapkit.audio import decode, windows
from slapkit.audio.frontend import FrontendConfig
from slapkit.audio.worker import _transform
from slapkit.errors import AudioError

PLACES = 2**53  # where a window starts is told as a whole number below this, over this: a fraction of all places
_RESAMPLE_S = 0.02  # s beside a window for the resampler's filter to be full


class SilentWindow(AudioError):
    """A window in which nothing is heard; the rest of its clip may be fine."""


def hear(
    source: str | os.PathLike[str] | BinaryIO, frontend: FrontendConfig, length: int, place: int, *, name: str
) -> np.ndarray:
    """Return a window of features, float16 `[length, width]`.

    It is the window that features of the whole file would have at the same start, but for what resampling makes of a
    start between two samples. A clip shorter than the window goes on at its start.

    Args:
        source: a path, or a binary file object.
        length: frames of the window.
        place: 0 to 2**53 - 1, where the window lies: the first of the places it can start at to the last.
        name: what messages call the sound.

    Raises:
        AudioError: the sound cannot be used.
        SilentWindow: its peak stays under -80 dB of full scale.
    """
    rate, hop = frontend.sample_rate, frontend.hop
    with decode.opened(source, name=name) as sound:
        shortest = round(frontend.min_s * rate)
        samples = round(sound.duration_s * rate)
        frames = frontend.frames(max(samples, shortest) / rate)
        start = int(place) * (max(frames - length, 0) + 1) // PLACES
        # So many frames beside the window have a share in what it holds: half an analysis window, and the resampler.
        margin = -(-(frontend.n_fft // 2 + round(_RESAMPLE_S * rate)) // hop)
        whole = samples <= shortest + hop or frames <= length + 2 * margin
        first = 0 if whole else max(0, start - margin)
        needed = None if whole else (start + length + margin - first) * hop / rate
        wave = sound.read(sample_rate=rate, start_s=first * hop / rate, duration_s=needed)
    if max(float(wave.max()), -float(wave.min())) < decode.SILENCE:
        raise SilentWindow(f"{name} is silent from {start * hop / rate:.1f} s on, for the length of a window")
    return _cut(wave, frontend, start - first, length, fill=shortest if whole else 0, name=name)


def _cut(wave: np.ndarray, frontend: FrontendConfig, start: int, length: int, *, fill: int, name: str) -> np.ndarray:
    """Return frames `start .. start + length - 1` of the features of `wave`."""
    import torch

    if fill:
        wave = windows.fill(wave, fill, frontend.padding)
    features = _transform(frontend)(torch.from_numpy(wave)[None])[0].numpy()
    # A header may promise a few samples more than there are.
    start = max(0, min(start, len(features) - length))
    if not fill and len(features) < length:
        raise AudioError(f"{name} is cut off: {len(features)} frames of a window of {length} can be decoded")
    cut = windows.take(features.T, start, length).T
    if not np.isfinite(cut).all():
        raise AudioError(f"{name} gives features that are not finite")
    return cut.astype(np.float16)
