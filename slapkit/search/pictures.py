"""Small spectrograms of tracks, to show."""

from typing import NamedTuple

import numpy as np
import torch

from slapkit.audio import decode
from slapkit.audio.frontend import FrontendConfig, LogMel
from slapkit.audio.windows import fill
from slapkit.search.listen import AudioFiles

_COLUMNS = 160
_RANGE_DB = 70.0  # below the loudest point of the picture


class Picture(NamedTuple):
    """A log-mel spectrogram of `duration_s` s from `start_s` on, to show.

    `pixels`: uint8 `[n_mels, columns]`, lowest band first, 0 the quietest.
    """

    pixels: np.ndarray
    start_s: float
    duration_s: float


def log_mel(files: AudioFiles, frontend: FrontendConfig, id: str, start_s: float | None = None) -> Picture:
    """Return a picture of what `files.sound` gives for the same track and start; raises as that."""
    path = files.path(id)
    start, length = files.span(id, start_s)
    transform = LogMel(frontend.picture()).eval()
    wave = decode.read(path, sample_rate=frontend.sample_rate, start_s=start, duration_s=length or None)
    mel = transform(torch.from_numpy(fill(wave, transform.config.n_fft))[None])[0].numpy()
    edges = np.linspace(0, len(mel), min(_COLUMNS, len(mel)) + 1).astype(np.int64)[:-1]
    columns = np.maximum.reduceat(mel, edges, axis=0)
    relative = (columns - columns.max()) / _RANGE_DB + 1
    pixels = np.ascontiguousarray((255 * np.clip(relative, 0, 1)).round().astype(np.uint8).T)
    return Picture(pixels, start, length)
