"""Tiny encoders with random weights in the published layout, written by transformers' own classes."""

from pathlib import Path

import torch

NARROW = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 48}
SPEECH = NARROW | {"conv_dim": (16, 16, 16), "conv_kernel": (10, 4, 4), "conv_stride": (5, 4, 4)}
SPEECH |= {"num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2}
# As the large models have it: a norm before every part of a layer, and one after the last.
STABLE = SPEECH | {"do_stable_layer_norm": True, "feat_extract_norm": "layer"}
AST = NARROW | {"max_length": 100, "num_mel_bins": 32, "patch_size": 8, "time_stride": 5, "frequency_stride": 5}
WHISPER = {"d_model": 32, "encoder_layers": 3, "decoder_layers": 1, "num_mel_bins": 40, "vocab_size": 16}
WHISPER |= dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads", "eos_token_id"), 2)
WHISPER |= {"encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_source_positions": 100, "max_target_positions": 8}
WHISPER |= {"pad_token_id": 0, "bos_token_id": 1, "decoder_start_token_id": 1}
# Kind: names in transformers, shape, feature extractor and its settings.
PARTS = {
    "wav2vec2": ("Wav2Vec2", SPEECH, "Wav2Vec2", {}),
    "hubert": ("Hubert", STABLE, "Wav2Vec2", {"sampling_rate": 24000}),
    "wavlm": ("WavLM", SPEECH, "Wav2Vec2", {"do_normalize": False}),
    "ast": ("AST", AST, "AST", {"num_mel_bins": 32, "max_length": 100}),
    "whisper": ("Whisper", WHISPER, "Whisper", {"feature_size": 40, "chunk_length": 2}),
}


def write(folder: Path, kind: str, **changes) -> Path:
    """Write a model and its feature extractor as published; `changes` go into the model's configuration."""
    import transformers

    name, shape, extractor, settings = PARTS[kind]
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**shape | changes)
    model = getattr(transformers, f"{name}Model")(config)
    with torch.no_grad():  # published models are trained: their norms and positions are not those of the start
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    getattr(transformers, f"{extractor}FeatureExtractor")(**settings).save_pretrained(folder)
    return folder


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    """Samples that no two windows share, quieter in the second half of a window."""
    generator = torch.Generator().manual_seed(seed)
    wave = 0.3 * torch.randn(*shape, generator=generator)
    wave[..., shape[-1] // 2 :] *= 0.2
    return wave
