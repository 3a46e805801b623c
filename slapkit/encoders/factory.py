"""From a configuration to an encoder."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from slapkit.encoders.cnn import CNN
from slapkit.encoders.config import AudioEncoderConfig, TextEncoderConfig
from slapkit.encoders.htsat import HTSAT
from slapkit.encoders.text import TextEncoder, pretrained, scratch_roberta
from slapkit.errors import ConfigError


def build_audio_encoder(config: AudioEncoderConfig) -> nn.Module:
    """Return the audio encoder `[B, frames, n_mels] -> [B, dim]` with random weights."""
    return CNN(config) if config.kind == "cnn" else HTSAT(config)


def build_text_encoder(config: TextEncoderConfig, *, captions: Sequence[str] = ()) -> TextEncoder:
    """Return the text encoder; `captions` train the tokenizer of a scratch encoder.

    Raises:
        ConfigError: the source is unknown, or a scratch encoder gets no captions.
    """
    if config.source != "roberta-scratch":
        return pretrained(config)
    if not captions:
        raise ConfigError("source='roberta-scratch' trains its tokenizer on captions, and there are none")
    return scratch_roberta(config, captions)
