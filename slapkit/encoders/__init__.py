"""Encoders: what turns a log-mel spectrogram or a caption into a representation, before any projector."""

from slapkit.encoders.config import AudioEncoderConfig, TextEncoderConfig
from slapkit.encoders.factory import build_audio_encoder, build_text_encoder

__all__ = ["AudioEncoderConfig", "TextEncoderConfig", "build_audio_encoder", "build_text_encoder"]
