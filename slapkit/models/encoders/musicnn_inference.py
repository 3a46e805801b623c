"""musicnn's first layer on a CPU: a quarter of the arithmetic, in blocks that stay in the cache.

Of a convolution's outputs at all bands only the greatest counts, and convolutions are products of discrete Fourier
transforms, of which those outputs are wanted that do not wrap round.

Timbral filters have 7 frames and 38 or 67 of 96 bands. Along frequency, of 96 points: in each of 49 bins a small matrix
product over the 7 frames. With the middle of the outputs as origin, the transform back is `y[f] = C[f] + S[f]` and
`y[-f] = C[f] - S[f]`, of a sum of cosines and one of sines; the greater is `C[f] + |S[f]|`, so that half of the outputs
are enough. Temporal filters have 32 to 128 frames of one band: along time, by the fast transform.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_BANDS, _FRAMES = 96, 7
_BINS = _BANDS // 2 + 1
_BLOCK = 32  # frames: their spectra under all filters of a kind take 2.5 MB
_FILTERS = 8  # whose outputs at all bands take 2 MB
_ROUND = 64  # a transform's length is a multiple of it


class Timbral:
    """Greatest output over all bands of a convolution with filters of 7 frames, `[C, frames]` of `[frames, 96]`."""

    def __init__(self, conv: nn.Conv2d) -> None:
        kernel, bins = conv.weight.detach()[:, 0], torch.arange(_BINS, dtype=torch.float64)  # [C, 7, bands]
        middle = (_BANDS - kernel.shape[2]) / 2
        cosines, sines = _waves(torch.arange(_BANDS), bins)
        self.forth = torch.stack([cosines, -sines], 2).flatten(1)  # [96, 2 * 49], real and imaginary part of each bin
        real, imaginary = (kernel @ part for part in _waves(middle + torch.arange(kernel.shape[2]), bins))
        rows = torch.cat([real, -imaginary], 1), torch.cat([imaginary, real], 1)
        self.weights = torch.cat(rows).permute(2, 0, 1).contiguous()  # [49, 2 * C, 2 * 7]
        once = torch.where(bins % (_BINS - 1) == 0, 1.0, 2.0) / _BANDS  # the others stand for two of the 96
        self.back = [part * once.float() for part in _waves(torch.arange(middle % 1, middle + 1), bins)]
        self.bias = conv.bias.detach()[:, None]

    def __call__(self, x: Tensor) -> Tensor:
        edge, frames = _FRAMES // 2, len(x)
        spectra = F.pad(x, (0, 0, edge, edge + -frames % _BLOCK)) @ self.forth
        spectra = spectra.T.unflatten(0, (_BINS, 2)).unfold(2, _FRAMES, 1).transpose(2, 3).flatten(1, 2)
        # The same memory for every block: new pages would take a third of the time.
        products = torch.empty(_BINS, self.weights.shape[1], _BLOCK)
        parts = products.unflatten(1, (2, -1)).flatten(2).unbind(1)  # of all bins, [49, C * frames]
        even, odd = (torch.empty(len(waves), parts[0].shape[1]) for waves in self.back)
        found = []
        for block in spectra.split(_BLOCK, 2):
            torch.bmm(self.weights, block, out=products)
            torch.mm(self.back[0], parts[0], out=even)
            torch.mm(self.back[1], parts[1], out=odd)
            found.append(even.add_(odd.abs_()).amax(0).view(-1, _BLOCK))
        return torch.cat(found, 1)[:, :frames] + self.bias


class Temporal:
    """The same of convolutions with filters of one band, each padded as TensorFlow pads to the same length."""

    def __init__(self, convs: Sequence[nn.Conv2d]) -> None:
        self.longest = max(conv.kernel_size[0] for conv in convs)
        # All as long as the longest, and with their centres in one place.
        spare = [self.longest - conv.kernel_size[0] for conv in convs]
        filters = [F.pad(conv.weight.detach()[:, 0, :, 0], (n // 2, n - n // 2)) for n, conv in zip(spare, convs)]
        self.filters = torch.cat(filters)  # [C of all, longest]
        self.bias = torch.cat([conv.bias.detach() for conv in convs])[:, None]

    def __call__(self, x: Tensor) -> Tensor:
        frames, before = len(x), (self.longest - 1) // 2
        n = -(-(frames + self.longest - 1) // _ROUND) * _ROUND
        spectrum = torch.fft.rfft(F.pad(x.T, (before, n - frames - before)))  # [96, bins]
        turned = torch.fft.rfft(self.filters, n).conj()[:, None].split(_FILTERS)
        found = [torch.fft.irfft(spectrum * part, n)[..., :frames].amax(1) for part in turned]
        return torch.cat(found) + self.bias


def _waves(places: Tensor, bins: Tensor) -> tuple[Tensor, Tensor]:
    """Return cosines and sines of 96 points at some places, `[places, bins]`."""
    angles = 2 * math.pi / _BANDS * places.double()[:, None] * bins
    return angles.cos().float(), angles.sin().float()
