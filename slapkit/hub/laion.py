"""LAION-CLAP's own files: HTS-AT and RoBERTa under the names of its training code.

Such a file holds weights alone, whose shapes give the model's. All published ones share the rest: 48 kHz, a hop of 480
samples, bands from 50 to 14,000 Hz, 64 dimensions a head, at most 77 tokens. The original also rounds audio to 16 bits
before its front end, and slapkit does not.
"""

import re
from collections.abc import Mapping
from math import isqrt
from pathlib import Path
from typing import Any

from torch import Tensor

from slapkit.audio.frontend import FRONTENDS, FrontendConfig, LogMel
from slapkit.errors import CheckpointError, ConfigError
from slapkit.hub.archive import read_weights
from slapkit.hub.published import Published
from slapkit.hub.transformers_clap import SCALES
from slapkit.models.encoders import AudioEncoderConfig

_MAX_TOKENS = 77
_HEAD = 64  # dimensions of one of RoBERTa's attention heads, whatever its size
_SPEC_SIZE = 256  # of all published ones; the masks of shifted windows say so where they are kept
_AUDIO = "audio_model.audio_encoder."
_MEL = "audio_branch.logmel_extractor.melW"
_BLOCK = r"audio_branch\.(layers\.\d+\.blocks\.\d+)\."
_QKV = re.compile(_BLOCK + r"attn\.qkv\.(\w+)")
# Names of the training code, and those of transformers' `ClapModel`.
_NAMES = {
    r"logit_scale_[at]": r"\g<0>",
    r"(audio|text)_projection\.0\.(\w+)": r"\1_projection.linear1.\2",
    r"(audio|text)_projection\.2\.(\w+)": r"\1_projection.linear2.\2",
    r"text_branch\.(.+)": r"text_model.\1",
    r"audio_branch\.bn0\.(.+)": _AUDIO + r"batch_norm.\1",
    r"audio_branch\.((patch_embed|norm|layers\.\d+\.downsample)\..+)": _AUDIO + r"\1",
    _BLOCK + r"norm1\.(\w+)": _AUDIO + r"\1.layernorm_before.\2",
    _BLOCK + r"norm2\.(\w+)": _AUDIO + r"\1.layernorm_after.\2",
    _BLOCK + r"attn\.proj\.(\w+)": _AUDIO + r"\1.attention.output.dense.\2",
    _BLOCK + r"attn\.(relative_position_bias_table|relative_position_index)": _AUDIO + r"\1.attention.self.\2",
    _BLOCK + r"mlp\.fc1\.(\w+)": _AUDIO + r"\1.intermediate.dense.\2",
    _BLOCK + r"mlp\.fc2\.(\w+)": _AUDIO + r"\1.output.dense.\2",
}
# Not on the way to an embedding: AudioSet's classes, the wave's transform, a second projection of the training's loss,
# masks that follow from the shape, and numbers counted from 0.
_UNUSED = re.compile(
    r"audio_branch\.(tscam_conv|head|spectrogram_extractor|logmel_extractor)\..*|(audio|text)_transform\..*"
    r"|audio_branch\.layers\.\d+\.blocks\.\d+\.attn_mask|text_branch\.embeddings\.(position_ids|token_type_ids)"
)


def read_file(path: Path, source: str, *, tokenizer: str | Path) -> Published:
    """Read a LAION-CLAP file; nothing in it is run. Raise `CheckpointError` where it cannot be read safely, or is
    another model, whose unknown tensors are named."""
    weights = read_weights(path)
    renamed = {name: _rename(name, tensor) for name, tensor in weights.items() if not _UNUSED.fullmatch(name)}
    if unknown := sorted(name for name, found in renamed.items() if not found):
        raise CheckpointError(
            f"{path} is no LAION-CLAP of HTS-AT and RoBERTa: {len(unknown)} tensors have no place in it, e.g. "
            f"{', '.join(unknown[:3])}"
        )
    tensors = {name: tensor for found in renamed.values() for name, tensor in found.items()}
    try:
        htsat, roberta = _htsat(tensors, weights), _roberta(tensors)
        dim = len(tensors["text_projection.linear2.bias"])
        frontend = _frontend(weights, htsat["enable_fusion"], n_mels=len(tensors[f"{_AUDIO}batch_norm.weight"]))
        audio = AudioEncoderConfig(kind="htsat", frontend=frontend, window_s=frontend.min_s, htsat=htsat)
    except (CheckpointError, ConfigError) as error:
        raise CheckpointError(f"{path}: {error}") from error
    except (KeyError, IndexError, TypeError, ValueError, ZeroDivisionError) as error:
        raise CheckpointError(
            f"{path} is no LAION-CLAP of HTS-AT and RoBERTa: a tensor is missing or of another shape ({error})"
        ) from error
    max_tokens = min(_MAX_TOKENS, roberta["max_position_embeddings"] - 2)
    return Published(path, source, audio, roberta, dim, max_tokens, tokenizer, tensors)


def _rename(name: str, tensor: Tensor) -> dict[str, Tensor]:
    """Return a tensor by the names of transformers' `ClapModel`, or nothing where it has no place there."""
    if (found := _QKV.fullmatch(name)) and tensor.dim() and len(tensor) % 3 == 0:  # one matrix there, three here
        names = (f"{_AUDIO}{found[1]}.attention.self.{which}.{found[2]}" for which in ("query", "key", "value"))
        return dict(zip(names, tensor.chunk(3)))
    found = ((re.fullmatch(theirs, name), ours) for theirs, ours in _NAMES.items())
    return next(({match.expand(ours): tensor} for match, ours in found if match), {})


def _htsat(tensors: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the shape of HTS-AT, by the fields of transformers' `ClapAudioConfig`."""
    places = {
        tuple(map(int, found.groups())) for n in tensors if (found := re.search(r"layers\.(\d+)\.blocks\.(\d+)", n))
    }
    depths = [sum(stage == i for stage, _ in places) for i in range(len({stage for stage, _ in places}))]
    tables = [
        tensors[f"{_AUDIO}layers.{i}.blocks.0.attention.self.relative_position_bias_table"] for i in range(len(depths))
    ]
    window = (isqrt(len(tables[0])) + 1) // 2
    width, channels, patch = tensors[f"{_AUDIO}patch_embed.proj.weight"].shape[:3]
    mask = weights.get("audio_branch.layers.0.blocks.1.attn_mask")  # one row for each window of the picture
    fused = f"{_AUDIO}patch_embed.mel_conv2d.weight" in tensors
    htsat = {
        "patch_embeds_hidden_size": width,
        "patch_embed_input_channels": channels,
        "patch_size": patch,
        "patch_stride": [patch, patch],
        "depths": depths,
        "num_attention_heads": [table.shape[1] for table in tables],
        "hidden_size": width * 2 ** (len(depths) - 1),
        "window_size": window,
        "spec_size": _SPEC_SIZE if mask is None else isqrt(len(mask)) * window * patch,
        "mlp_ratio": len(tensors[f"{_AUDIO}layers.0.blocks.0.intermediate.dense.bias"]) / width,
        "enable_fusion": fused,
    }
    if fused:
        htsat["fusion_type"] = "aff_2d"
        htsat["aff_block_r"] = width // len(tensors[f"{_AUDIO}patch_embed.fusion_model.local_att.0.bias"])
    return htsat


def _roberta(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the shape of RoBERTa, by the fields of transformers' `RobertaConfig`."""
    words, width = tensors["text_model.embeddings.word_embeddings.weight"].shape
    if width % _HEAD:
        raise CheckpointError(f"a text encoder {width} wide is not RoBERTa's, whose heads have {_HEAD} dimensions")
    layers = {int(found[1]) for n in tensors if (found := re.match(r"text_model\.encoder\.layer\.(\d+)\.", n))}
    return {
        "vocab_size": words,
        "hidden_size": width,
        "num_hidden_layers": 1 + max(layers),
        "num_attention_heads": width // _HEAD,
        "intermediate_size": len(tensors["text_model.encoder.layer.0.intermediate.dense.bias"]),
        "max_position_embeddings": len(tensors["text_model.embeddings.position_embeddings.weight"]),
        "type_vocab_size": len(tensors["text_model.embeddings.token_type_embeddings.weight"]),
        "layer_norm_eps": 1e-5,
        "pad_token_id": 1,
    }


def _frontend(weights: Mapping[str, Tensor], fused: bool, *, n_mels: int) -> FrontendConfig:
    """Return the front end of the published files, compared with the mel filters in this one."""
    unfused = FRONTENDS["clap"].replace(f_min=50.0, n_mels=n_mels, padding="repeatpad")
    filters = LogMel(unfused).filters
    kept = weights.get(_MEL)  # of the wave's own transform, which is never the one that fuses
    if kept is not None and (kept.shape != filters.shape or (kept - filters).abs().max() > 1e-3 * filters.max()):
        raise CheckpointError(
            f"its mel filters {list(kept.shape)} are not those of 48 kHz, a window of 1,024 samples and {n_mels} bands "
            "from 50 to 14,000 Hz: it was trained with another front end, which is not known here"
        )
    return unfused.replace(**SCALES["fusion" if fused else "rand_trunc"])
