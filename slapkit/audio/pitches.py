"""Pitches: how strongly each semitone sounds.

A log-mel spectrogram resolves bands, not semitones. A window of half a second tells semitones apart from about 100 Hz
on; it is transformed every `STEP` hops, and the frames between repeat its value.
"""

import math

import torch
from torch import Tensor

STEP = 8  # hops from one transform to the next
MIDI = range(28, 96)  # numbers of the pitches: 41 to 1,976 Hz
_WINDOW_S = 0.5
_WIDTH = 0.35  # semitones: standard deviation of a pitch's weights over frequency
# A tone's partials 2 to 6 lie this many semitones above it; so much of it is taken to sound there too.
_PARTIALS = {12: 0.3, 19: 0.3, 24: 0.24, 28: 0.24, 31: 0.18}


class Pitches(torch.nn.Module):
    """Waves `[B, T]` at `sample_rate` (Hz) to pitches `[B, frames, 68]`, of norm 1, or 0 where nothing sounds.

    Frames are those of a log-mel spectrogram with the same `hop` (samples). The magnitude spectrum is summed by
    semitone, and what lower tones explain as their partials is subtracted.
    """

    def __init__(self, sample_rate: int, hop: int) -> None:
        super().__init__()
        self.n_fft, self.hop = window_length(sample_rate), hop
        hertz = torch.fft.rfftfreq(self.n_fft, 1 / sample_rate, dtype=torch.float64)
        semitone = 69 + 12 * (hertz.clamp(min=1e-3) / 440).log2()
        weights = torch.exp(-0.5 * ((semitone[:, None] - torch.tensor(MIDI)) / _WIDTH).square())
        self.register_buffer("window", torch.hann_window(self.n_fft), persistent=False)
        self.register_buffer("weights", weights.float(), persistent=False)  # [bins, pitches]

    @torch.no_grad()
    def forward(self, wave: Tensor) -> Tensor:
        """Return pitches `[B, T // hop + 1, 68]`."""
        half, frames = self.n_fft // 2, wave.shape[1] // self.hop + 1
        padded = torch.nn.functional.pad(wave, (half, half))  # with zeros: a short wave cannot be reflected so far
        cut = padded.unfold(1, self.n_fft, STEP * self.hop)
        found = torch.fft.rfft(cut * self.window).abs() @ self.weights
        explained = torch.zeros_like(found)
        for above, share in _PARTIALS.items():
            explained[..., above:] += share * found[..., :-above]
        pitches = torch.nn.functional.normalize((found - explained).relu(), dim=-1, eps=1e-6)
        return pitches.repeat_interleave(STEP, dim=1)[:, :frames]


def window_length(sample_rate: int) -> int:
    """Return the samples of the window, a power of two."""
    return 2 ** round(math.log2(_WINDOW_S * sample_rate))
