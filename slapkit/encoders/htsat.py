"""HTS-AT, the audio encoder of LAION-CLAP and of the paper, through transformers' `ClapAudioModel`."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from slapkit.config import nearest
from slapkit.encoders.config import AudioEncoderConfig
from slapkit.errors import ConfigError


class HTSAT(nn.Module):
    """Log-mel `[B, frames, n_mels]` (dB) to a representation `[B, dim]`: the pooled output, before CLAP's projection.

    Raises:
        ConfigError: `htsat` has a key that `ClapAudioConfig` lacks, or a window longer than `spec_size` allows.
    """

    def __init__(self, config: AudioEncoderConfig) -> None:
        super().__init__()
        from transformers import ClapAudioConfig, ClapAudioModel

        known = ClapAudioConfig().to_dict()
        for key in config.htsat:
            if key not in known:
                raise ConfigError(f"htsat has no key {key!r}: {nearest(key, known)}")
        clap = ClapAudioConfig(**{"num_mel_bins": config.frontend.n_mels, **config.htsat})
        longest = clap.spec_size * clap.spec_size // clap.num_mel_bins
        if config.window_frames > longest:
            raise ConfigError(
                f"window_s={config.window_s} gives {config.window_frames} frames, and spec_size={clap.spec_size} "
                f"takes at most {longest}: "
                "shorten the window or enlarge spec_size"
            )
        self.model = ClapAudioModel(clap)
        self.dim = clap.hidden_size

    def set_gradient_checkpointing(self) -> None:
        """Recompute every Swin stage in the backward pass."""
        # transformers marks CLAP as not supporting this, though its stages are checkpointable layers.
        for module in self.model.modules():
            if hasattr(module, "gradient_checkpointing"):
                module.gradient_checkpointing = True
                module._gradient_checkpointing_func = partial(torch.utils.checkpoint.checkpoint, use_reentrant=False)

    def forward(self, mel: Tensor) -> Tensor:
        """Encode `mel [B, frames, n_mels]` (dB) to `[B, dim]`."""
        return self.model(input_features=mel.unsqueeze(1)).pooler_output
