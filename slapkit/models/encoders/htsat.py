"""HTS-AT, the audio encoder of LAION-CLAP and of the paper, through transformers' `ClapAudioModel`."""

import torch
from torch import Tensor, nn

from slapkit.config import nearest, require
from slapkit.errors import ConfigError, short
from slapkit.models.encoders import htsat_inference
from slapkit.models.encoders.config import AudioEncoderConfig


class HTSAT(nn.Module):
    """Log-mel `[B, frames, n_mels]` (dB) to a representation `[B, dim]`: the pooled output, before CLAP's projection.

    With `enable_fusion`, the encoder of CLAP's fused checkpoints, where every window counts as a short clip: fusion
    serves clips longer than a window, and here windows cover these. The fusion layers are kept and never trained.

    Raises:
        ConfigError: `htsat` has a key that `ClapAudioConfig` lacks, or bands, window and widths do not fit each other.
    """

    def __init__(self, config: AudioEncoderConfig) -> None:
        super().__init__()
        from transformers import ClapAudioModel

        clap = _clap_config(config)
        self.model = ClapAudioModel(clap)
        self.dim, self.fused = clap.hidden_size, clap.enable_fusion
        if self.fused:  # unused, so DistributedDataParallel would wait for their gradient
            patches = self.model.audio_encoder.patch_embed
            patches.fusion_model.requires_grad_(False)
            patches.mel_conv2d.requires_grad_(False)

    def forward(self, mel: Tensor) -> Tensor:
        """Encode `mel [B, frames, n_mels]` (dB) to `[B, dim]`."""
        if htsat_inference.applies(self.model, mel):
            return htsat_inference.encode(self.model, mel)
        # For a short clip, a fused encoder uses the first of its four channels alone: the rest is left out.
        is_longer = torch.zeros(len(mel), 1, dtype=torch.bool, device=mel.device) if self.fused else None
        return self.model(input_features=mel.unsqueeze(1), is_longer=is_longer).pooler_output


def _clap_config(config: AudioEncoderConfig):
    """Return the `ClapAudioConfig`; refuse values with which the first forward pass would fail."""
    from transformers import ClapAudioConfig

    given, n_mels, frames = config.htsat, config.frontend.n_mels, config.window_frames
    known = ClapAudioConfig().to_dict()
    for key in given:
        if key not in known:
            raise ConfigError(f"htsat has no key {short(key)}: {nearest(key, known)}")
    try:
        clap = ClapAudioConfig(**{"num_mel_bins": n_mels, **given})
        size, halvings = clap.spec_size, len(clap.depths) - 1
        width = clap.patch_embeds_hidden_size * 2**halvings
        smallest = size // max(clap.patch_stride) // 2**halvings  # side of the last stage's map, in patches
    except Exception as error:  # its class differs between versions of transformers
        raise ConfigError(f"htsat={short(given)} is no configuration of HTS-AT: {error}") from error
    if given.get("enable_fusion") and given.get("fusion_type") == "channel_map":
        raise ConfigError("htsat fusion_type='channel_map' is not supported: its input cannot be a single window")
    longest, hidden = size * size // n_mels, given.get("hidden_size", width)
    require(clap.num_mel_bins == n_mels, "htsat num_mel_bins", clap.num_mel_bins, f"the frontend's n_mels={n_mels}")
    require(size % n_mels == 0, "htsat spec_size", size, f"a multiple of the frontend's n_mels={n_mels}")
    require(frames <= longest, "window_s", config.window_s, f"at most {longest} frames, as spec_size={size} takes")
    require(clap.window_size <= smallest, "htsat window_size", clap.window_size, f"at most {smallest}, the last map")
    require(hidden == width, "htsat hidden_size", hidden, f"{width}, the width of the last stage")
    clap.hidden_size = width
    return clap
