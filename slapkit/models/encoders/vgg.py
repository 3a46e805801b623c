"""The first layers of a plain CNN that was trained on MagnaTagATune and published beside musicnn.

musicnn takes the maximum over all frequencies at once. This network keeps bands apart, which tells instruments better.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CHANNELS, LAYERS = 128, 3
BANDS = 6  # in which the last layer is pooled over time
WIDTH = 2 * CHANNELS * BANDS
LEAST_FRAMES = 10  # of which the last layer leaves one
_BLOCK = 32  # frames of the first layer's output: what they are made of stays in the cache


def log_energies(mel: Tensor) -> Tensor:
    """Return a log-mel (dB) as the published networks take it: `log10(10,000 x + 1)` of energies x."""
    return torch.log10(10.0 ** (mel / 10 + 4) + 1)


class Vgg(nn.Module):
    """Log-mel `[B, frames, 96]` (dB) to maximum and mean over time of 128 channels in 6 bands, `[B, 1536]`.

    Layers as published, in evaluation: 3 x 3 filters, ReLU, BatchNorm (a slope and an offset per channel), maximum of
    2 x 2 neighbours; in the first layer of 4 frames, in every other band.
    """

    def __init__(self) -> None:
        super().__init__()
        widths = (1, *[CHANNELS] * (LAYERS - 1))
        self.input = nn.ParameterList([torch.ones(1), torch.zeros(1)])  # slope and offset
        self.convs = nn.ModuleList(nn.Conv2d(width, CHANNELS, 3, padding=1) for width in widths)
        self.slopes, self.offsets = (
            nn.ParameterList(torch.full((CHANNELS, 1, 1), value) for _ in widths) for value in (1.0, 0.0)
        )

    def forward(self, mel: Tensor, *, blocks: bool = False) -> Tensor:
        """Return the channels pooled, `[B, 1536]`; with `blocks`, of a single clip."""
        x = log_energies(mel) * self.input[0] + self.input[1]
        x = self._first_in_blocks(x[0]) if blocks else self._first(x)
        for i in range(1, LAYERS):
            conv = self.convs[i]
            # In the layout of the first layer's output, in which products, and maxima after them, take half the time.
            weight = conv.weight.contiguous(memory_format=torch.channels_last) if blocks else conv.weight
            x = F.max_pool2d(self._normed(i, F.conv2d(x, weight, conv.bias, padding=1)), 2)
        x = x.unflatten(3, (BANDS, -1)).mean(4)  # [B, C, frames, 6]
        return torch.cat([x.amax(2), x.mean(2)], 1).flatten(1)

    def of_one(self) -> Callable[[Tensor], Tensor]:
        """Return the same for a single clip on a CPU, in half the time."""
        return partial(self, blocks=True)

    def _normed(self, layer: int, x: Tensor) -> Tensor:
        """ReLU and BatchNorm, in place: new memory would take longer than the arithmetic."""
        return x.relu_().mul_(self.slopes[layer]).add_(self.offsets[layer])

    def _first(self, x: Tensor) -> Tensor:
        """The first layer, `[B, C, frames, 48]`; its maximum never sees the bands between."""
        conv = self.convs[0]
        found = F.conv2d(x[:, None], conv.weight, conv.bias, stride=(1, 2), padding=1)
        return F.max_pool2d(self._normed(0, found), (4, 1), (2, 1))

    def _first_in_blocks(self, x: Tensor) -> Tensor:
        """The first layer of one clip `[frames, 96]`, as products of matrices."""
        conv, slope, offset = self.convs[0], self.slopes[0].view(-1), self.offsets[0].view(-1)
        kernel = conv.weight.view(CHANNELS, 9).T
        patches = F.pad(x, (1, 1, 1, 1)).unfold(1, 3, 2).unfold(0, 3, 1).transpose(2, 3)  # [frames, 48, 3, 3]
        result = x.new_empty(len(x) // 2 - 1, patches.shape[1], CHANNELS)
        for start, out in zip(range(0, len(x), 2 * _BLOCK), result.split(_BLOCK)):
            part = patches[start : start + 2 * len(out) + 2].reshape(-1, 9)
            found = torch.addmm(conv.bias, part, kernel).relu_().mul_(slope).add_(offset)
            found = found.view(-1, *out.shape[1:])
            pairs = torch.maximum(found[:-1], found[1:])
            torch.maximum(pairs[:-2:2], pairs[2::2], out=out)
        return result.permute(2, 0, 1)[None]
