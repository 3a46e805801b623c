"""Encoders: what turns a log-mel spectrogram, a wave or a caption into a representation, before any projector."""

from slapkit.models.encoders.config import AudioEncoderConfig, TextEncoderConfig, WaveformConfig
from slapkit.models.encoders.factory import build_audio_encoder, build_text_encoder
from slapkit.models.encoders.waveform import waveform_encoder

__all__ = [
    "AudioEncoderConfig",
    "TextEncoderConfig",
    "WaveformConfig",
    "build_audio_encoder",
    "build_text_encoder",
    "waveform_encoder",
]
