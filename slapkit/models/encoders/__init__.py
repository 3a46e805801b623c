"""Encoders: features of audio, or tokens of a caption, to a representation `[B, H]`, before any projector."""

from torch import nn

from slapkit.models.encoders.cnn import CNN
from slapkit.models.encoders.config import AudioEncoderConfig, TextEncoderConfig, WaveformConfig
from slapkit.models.encoders.htsat import HTSAT
from slapkit.models.encoders.musicnn import MusicNN
from slapkit.models.encoders.text import build_text_encoder
from slapkit.models.encoders.waveform import WaveformEncoder, waveform_encoder


def build_audio_encoder(config: AudioEncoderConfig, *, weights: bool = True) -> nn.Module:
    """Return the audio encoder `[B, frames, width] -> [B, dim]`; `weights=False` leaves a published one without
    those of its source, where others are loaded next."""
    if config.kind == "musicnn":
        return MusicNN(config, weights=weights)
    if config.kind == "waveform":
        return WaveformEncoder(config, weights=weights)
    return CNN(config) if config.kind == "cnn" else HTSAT(config)
