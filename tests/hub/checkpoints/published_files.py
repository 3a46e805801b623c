"""Small CLAPs as they are published: folders saved by transformers' own classes, and files with LAION's names."""

from pathlib import Path

import numpy as np
import torch

RATE = 8000
CAPTIONS = ["a slow flute", "drums and a deep bass, fast", "piano", "a choir of many voices sings without any hurry"]
AUDIO = {
    "spec_size": 64, "num_mel_bins": 16, "window_size": 2, "patch_embeds_hidden_size": 16, "depths": [2, 2, 1],
    "num_attention_heads": [1, 2, 4], "hidden_size": 64,
}  # fmt: skip
TEXT = {
    "vocab_size": 400, "hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 96,
    "max_position_embeddings": 60, "layer_norm_eps": 1e-5,
}  # fmt: skip
EXTRACTOR = {
    "feature_size": 16, "sampling_rate": RATE, "hop_length": 80, "fft_window_size": 256, "max_length_s": 2,
    "frequency_min": 20, "frequency_max": 3500,
}  # fmt: skip


def make_clap(*, fused: bool = False, audio: dict | None = None, seed: int = 0):
    """A random ClapModel in which everything matters: no weight is zero, no statistic trivial, embeddings differ."""
    from transformers import ClapConfig, ClapModel

    torch.manual_seed(seed)
    fusion = {"enable_fusion": True, "fusion_type": "aff_2d"} if fused else {}
    config = ClapConfig(audio_config=AUDIO | fusion | (audio or {}), text_config=TEXT, projection_dim=24)
    model = ClapModel(config).eval()
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if not tensor.is_floating_point():
                continue
            if name.endswith("running_var"):
                tensor.uniform_(50, 200)
            elif name.endswith("running_mean"):
                tensor.uniform_(-40, -20)
            elif "norm" in name.lower() and name.endswith("weight") and tensor.dim() == 1:
                tensor.uniform_(0.5, 1.5)
            elif name.startswith("logit_scale"):
                tensor.fill_(2.5 if name.endswith("_a") else 1.5)
            else:
                tensor.normal_(std=0.15 if tensor.dim() > 1 else 0.05)
    return model


def save_tokenizer(folder: Path, *, words: int | None = None) -> Path:
    """A byte-level BPE in RoBERTa's layout, trained on a few captions, which give it 322 words, or `words` of them."""
    from tokenizers import ByteLevelBPETokenizer

    folder.mkdir(parents=True, exist_ok=True)
    bpe = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    more = [f"{i * i:x}" for i in range(1000)] if words and words >= 400 else []
    bpe.train_from_iterator(CAPTIONS * 3 + more, vocab_size=words or 400, special_tokens=special, show_progress=False)
    bpe.save_model(str(folder))
    return folder


def save_folder(folder: Path, *, truncation: str, padding: str = "repeatpad", whole_processor: bool = False, **clap):
    """Write a CLAP folder with transformers' own `save_pretrained`; return the model that went into it."""
    from transformers import ClapFeatureExtractor, ClapProcessor, RobertaTokenizer

    model = make_clap(**clap)
    model.save_pretrained(folder)
    extractor = ClapFeatureExtractor(**EXTRACTOR, truncation=truncation, padding=padding)
    if whole_processor:  # as transformers 5 writes it: the extractor inside the processor's file
        tokenizer = RobertaTokenizer.from_pretrained(save_tokenizer(folder.parent / f"{folder.name}-words"))
        ClapProcessor(extractor, tokenizer).save_pretrained(folder)
    else:
        extractor.save_pretrained(folder)
        save_tokenizer(folder)
    return model


def sounds(count: int = 4, *, longest: float = 2.0, seed: int = 0) -> list[np.ndarray]:
    """Mono float32 sounds of differing lengths up to `longest` s: tones in noise."""
    rng = np.random.default_rng(seed)
    out = []
    for i in range(count):
        time = np.arange(round(RATE * longest * (i + 1) / count)) / RATE
        tone = 0.4 * np.sin(2 * np.pi * rng.uniform(80, 2000) * time)
        out.append((tone + 0.1 * rng.standard_normal(len(time))).astype(np.float32))
    return out


def laion_names(model, *, mel: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
    """The weights of a ClapModel under the names of LAION's training code, written from the modules themselves."""
    out: dict[str, torch.Tensor] = {"logit_scale_a": model.logit_scale_a, "logit_scale_t": model.logit_scale_t}

    def put(name: str, module) -> None:
        for key, value in module.state_dict().items():
            out[f"{name}.{key}"] = value

    encoder = model.audio_model.audio_encoder
    put("audio_branch.bn0", encoder.batch_norm)
    put("audio_branch.patch_embed", encoder.patch_embed)
    put("audio_branch.norm", encoder.norm)
    for i, stage in enumerate(encoder.layers):
        for j, block in enumerate(stage.blocks):
            at, attention = f"audio_branch.layers.{i}.blocks.{j}", block.attention.self
            put(f"{at}.norm1", block.layernorm_before)
            put(f"{at}.norm2", block.layernorm_after)
            put(f"{at}.attn.proj", block.attention.output.dense)
            put(f"{at}.mlp.fc1", block.intermediate.dense)
            put(f"{at}.mlp.fc2", block.output.dense)
            for kind in ("weight", "bias"):
                three = [getattr(getattr(attention, which), kind) for which in ("query", "key", "value")]
                out[f"{at}.attn.qkv.{kind}"] = torch.cat(three)
            out[f"{at}.attn.relative_position_bias_table"] = attention.relative_position_bias_table
            out[f"{at}.attn.relative_position_index"] = attention.relative_position_index
            side = block.input_resolution[0]
            if j % 2 and side > encoder.config.window_size:  # shifted: one mask for each window
                windows, steps = (side // encoder.config.window_size) ** 2, encoder.config.window_size**2
                out[f"{at}.attn_mask"] = torch.zeros(windows, steps, steps)
        if stage.downsample is not None:
            put(f"audio_branch.layers.{i}.downsample", stage.downsample)
    put("text_branch", model.text_model)
    for side in ("audio", "text"):
        projection = getattr(model, f"{side}_projection")
        put(f"{side}_projection.0", projection.linear1)
        put(f"{side}_projection.2", projection.linear2)
        for layer in (0, 3):  # a second projection, of the training's loss
            out[f"{side}_transform.sequential.{layer}.weight"] = torch.randn(24, 24)
            out[f"{side}_transform.sequential.{layer}.bias"] = torch.randn(24)
    out["audio_branch.tscam_conv.weight"] = torch.randn(5, 64, 1, 3)
    out["audio_branch.tscam_conv.bias"] = torch.randn(5)
    out["audio_branch.head.weight"], out["audio_branch.head.bias"] = torch.randn(5, 5), torch.randn(5)
    out["audio_branch.spectrogram_extractor.stft.conv_real.weight"] = torch.randn(513, 1, 1024)
    out["audio_branch.spectrogram_extractor.stft.conv_imag.weight"] = torch.randn(513, 1, 1024)
    if mel is not None:
        out["audio_branch.logmel_extractor.melW"] = mel
    return {name: tensor.detach().clone() for name, tensor in out.items()}
