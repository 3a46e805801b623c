"""From a configuration to an encoder."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from slapkit.errors import ConfigError
from slapkit.models.encoders.cnn import CNN
from slapkit.models.encoders.config import AudioEncoderConfig, TextEncoderConfig
from slapkit.models.encoders.htsat import HTSAT
from slapkit.models.encoders.text import TextEncoder, pretrained, scratch_roberta
from slapkit.models.encoders.waveform import WaveformEncoder


def build_audio_encoder(config: AudioEncoderConfig, *, weights: bool = True) -> nn.Module:
    """Return the audio encoder `[B, frames, width] -> [B, dim]`.

    Args:
        weights: give an encoder of waves the weights of its source; False where others are loaded into it next. CNN and
            HTS-AT always start from random ones.

    Raises:
        ConfigError: an encoder of waves has no usable source.
    """
    if config.kind == "waveform":
        return WaveformEncoder(config, weights=weights)
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
