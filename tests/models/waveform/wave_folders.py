"""Tiny encoders with random weights in the published layout, written by transformers' own classes."""

from __future__ import annotations

from pathlib import Path

import torch

NARROW = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 48}
SPEECH = NARROW | {
    "conv_dim": (16, 16, 16),
    "conv_kernel": (10, 4, 4),
    "conv_stride": (5, 4, 4),
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}
AST = NARROW | {"max_length": 100, "num_mel_bins": 32, "patch_size": 8, "time_stride": 5, "frequency_stride": 5}
WHISPER = {
    "d_model": 32,
    "encoder_layers": 3,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "num_mel_bins": 40,
    "max_source_positions": 100,
    "max_target_positions": 8,
    "vocab_size": 16,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}


def write(folder: Path, kind: str, *, seed: int = 0, extractor: dict | None = None, **changes) -> Path:
    """Write a model and its feature extractor as published; `changes` go into the model's configuration."""
    import transformers as t

    parts = {
        "wav2vec2": (t.Wav2Vec2Config, t.Wav2Vec2Model, SPEECH, t.Wav2Vec2FeatureExtractor, {}),
        # As the large models have it: a norm before every part of a layer, and one after the last.
        "hubert": (
            t.HubertConfig,
            t.HubertModel,
            SPEECH | {"do_stable_layer_norm": True, "feat_extract_norm": "layer"},
            t.Wav2Vec2FeatureExtractor,
            {"sampling_rate": 24000},
        ),
        "wavlm": (t.WavLMConfig, t.WavLMModel, SPEECH, t.Wav2Vec2FeatureExtractor, {"do_normalize": False}),
        "ast": (t.ASTConfig, t.ASTModel, AST, t.ASTFeatureExtractor, {"num_mel_bins": 32, "max_length": 100}),
        "whisper": (
            t.WhisperConfig,
            t.WhisperModel,
            WHISPER,
            t.WhisperFeatureExtractor,
            {"feature_size": 40, "chunk_length": 2},
        ),
    }
    config_class, model_class, shape, extractor_class, settings = parts[kind]
    torch.manual_seed(seed)
    model = model_class(config_class(**shape | changes))
    with torch.no_grad():  # published models are trained: their norms and positions are not those of the start
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    extractor_class(**settings | (extractor or {})).save_pretrained(folder)
    return folder


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    """Samples that no two windows share, quieter in the second half of a window."""
    generator = torch.Generator().manual_seed(seed)
    wave = 0.3 * torch.randn(*shape, generator=generator)
    wave[..., shape[-1] // 2 :] *= 0.2
    return wave
