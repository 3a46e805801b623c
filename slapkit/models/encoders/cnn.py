"""A small convolutional encoder, made for two CPU cores.

The stem divides time and frequency by four, so that most of the work runs on small maps. The last block's output is
summarised over time by mean, standard deviation and maximum: for timbre, rhythm and single events.
"""

import torch
from torch import Tensor, nn

from slapkit.models.encoders.config import AudioEncoderConfig


def _block(
    channels_in: int, channels_out: int, *, kernel: int | tuple[int, int], stride: int | tuple[int, int]
) -> nn.Sequential:
    padding = kernel // 2 if isinstance(kernel, int) else tuple(k // 2 for k in kernel)
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, stride=stride, padding=padding, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


class CNN(nn.Module):
    """Log-mel `[B, frames, n_mels]` (dB) to a representation `[B, dim]`."""

    def __init__(self, config: AudioEncoderConfig) -> None:
        super().__init__()
        self.mel_mean, self.mel_std = config.mel_mean, config.mel_std
        first, *rest = config.channels
        blocks = [_block(1, first, kernel=7, stride=4)]
        for i, (before, after) in enumerate(zip(config.channels, rest)):
            # Frequency halves in every block, time only in the first: rhythm needs it.
            blocks.append(_block(before, after, kernel=3, stride=(2, 2 if i == 0 else 1)))
        self.blocks = nn.Sequential(*blocks)
        bands = (config.frontend.n_mels + 3) // 4  # strides round up, whatever the number of bands
        for _ in rest:
            bands = (bands + 1) // 2
        self.to(memory_format=torch.channels_last)  # of weights and input alike: convolutions on a CPU run best in it
        self.dim = 3 * config.channels[-1] * bands

    def forward(self, mel: Tensor) -> Tensor:
        """Encode `mel [B, frames, n_mels]` (dB) to `[B, dim]`."""
        # Time comes last: convolutions on a CPU are vectorised along the last axis, and bands become few.
        x = ((mel - self.mel_mean) / self.mel_std).transpose(1, 2).unsqueeze(1)
        x = self.blocks(x.contiguous(memory_format=torch.channels_last))  # [B, channels, bands, frames]
        # As the layout has it, without a copy; in float32: bf16 leaves a steady sound's deviation no digits.
        x = x.permute(0, 2, 3, 1).float()  # [B, bands, frames, channels]
        mean = x.mean(2)
        # The epsilon: the gradient of a bare root is infinite at silence.
        std = ((x.square().mean(2) - mean.square()).clamp(min=0) + 1e-5).sqrt()
        return torch.cat([mean, std, x.amax(2)], dim=1).flatten(1)
