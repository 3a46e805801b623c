"""A folder in the layout of transformers' `ClapModel`: `config.json`, weights, feature extractor and tokenizer."""

from pathlib import Path

from torch import Tensor

from slapkit.audio.frontend import FrontendConfig
from slapkit.config import nearest
from slapkit.errors import CheckpointError, ConfigError, short
from slapkit.hub.archive import read_weights
from slapkit.hub.published import Published
from slapkit.models.encoders import AudioEncoderConfig
from slapkit.models.weights import load_tensors, read_json

_HTSAT = (
    "window_size", "spec_size", "hidden_act", "patch_size", "patch_stride", "hidden_size", "depths",
    "num_attention_heads", "enable_fusion", "fusion_type", "patch_embed_input_channels", "flatten_patch_embeds",
    "patch_embeds_hidden_size", "enable_patch_layer_norm", "drop_path_rate", "hidden_dropout_prob",
    "attention_probs_dropout_prob", "qkv_bias", "mlp_ratio", "aff_block_r", "layer_norm_eps",
)  # fmt: skip
_ROBERTA = (
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act",
    "hidden_dropout_prob", "attention_probs_dropout_prob", "max_position_embeddings", "type_vocab_size",
    "layer_norm_eps", "pad_token_id", "bos_token_id", "eos_token_id",
)  # fmt: skip
# ClapFeatureExtractor's names, and the front end's.
FRONTEND = {
    "sampling_rate": "sample_rate", "fft_window_size": "n_fft", "hop_length": "hop", "feature_size": "n_mels",
    "frequency_min": "f_min", "frequency_max": "f_max", "max_length_s": "min_s", "padding": "padding",
}  # fmt: skip
# The extractor takes librosa's filters where it cuts, and torchaudio's where it fuses.
SCALES = {
    "rand_trunc": {"mel_scale": "slaney", "norm": "slaney"},
    "fusion": {"mel_scale": "htk", "norm": "none"},
}


def read_folder(folder: Path, source: str) -> Published:
    """Read the folder: JSON and numbers; nothing in it is run. Raise `CheckpointError` where a file is missing or
    damaged, or describes something else than CLAP with HTS-AT."""
    from transformers import ClapConfig

    content = read_json(folder / "config.json")
    try:
        config = ClapConfig.from_dict(content)
        audio, text = config.audio_config.to_dict(), config.text_config.to_dict()
    except Exception as error:  # a strict class of another library, with classes of its own
        raise CheckpointError(f"{folder / 'config.json'} describes no CLAP: {error}") from error
    if config.projection_hidden_act != "relu":
        raise CheckpointError(
            f"{folder / 'config.json'}: projection_hidden_act={config.projection_hidden_act!r}, only 'relu' is known"
        )
    htsat = {name: list(v) if isinstance(v := audio[name], tuple) else v for name in _HTSAT}
    frontend = _frontend(folder, audio["num_mel_bins"])
    tensors, file = _weights(folder)
    roberta = {name: text[name] for name in _ROBERTA}
    try:
        encoder = AudioEncoderConfig(kind="htsat", frontend=frontend, window_s=frontend.min_s, htsat=htsat)
    except ConfigError as error:
        raise CheckpointError(f"{folder}: {error}") from error
    if (pad := roberta["pad_token_id"]) is None:
        raise CheckpointError(f"{folder / 'config.json'}: pad_token_id=None, and RoBERTa counts positions from it")
    # transformers cuts no earlier; the first position follows the padding's.
    max_tokens = min(512, roberta["max_position_embeddings"] - pad - 1)
    return Published(file, source, encoder, roberta, config.projection_dim, max_tokens, folder, tensors)


def _frontend(folder: Path, n_mels: int) -> FrontendConfig:
    """Return the front end that the feature extractor's settings describe."""
    file = folder / "preprocessor_config.json"
    if file.is_file():
        settings = read_json(file)
    else:  # transformers 5 keeps it inside the processor's
        file = folder / "processor_config.json"
        settings = read_json(file).get("feature_extractor")
    if not isinstance(settings, dict):
        raise CheckpointError(f"{file} describes no feature extractor: the front end is not known without it")
    if missing := sorted({*FRONTEND, "truncation"} - settings.keys()):
        raise CheckpointError(f"{file} lacks {', '.join(missing)}: it is not of CLAP's feature extractor")
    truncation = settings["truncation"]
    if not isinstance(truncation, str) or truncation not in SCALES:
        raise CheckpointError(
            f"{file}: truncation={short(truncation)} is not known: {nearest(str(truncation), SCALES)}"
        )
    if settings.get("top_db") is not None:
        raise CheckpointError(f"{file}: top_db={settings['top_db']!r} would cut quiet frames, and only null is known")
    if settings["feature_size"] != n_mels:
        raise CheckpointError(f"{file}: feature_size={settings['feature_size']}, but the encoder's bands are {n_mels}")
    try:
        values = {ours: settings[theirs] for theirs, ours in FRONTEND.items()}
        return FrontendConfig(**values, **SCALES[truncation])
    except ConfigError as error:
        raise CheckpointError(f"{file} describes no front end: {error}") from error


def _weights(folder: Path) -> tuple[dict[str, Tensor], Path]:
    safe, pickled = folder / "model.safetensors", folder / "pytorch_model.bin"
    if safe.is_file():
        return load_tensors(safe), safe
    if pickled.is_file():
        return read_weights(pickled), pickled
    raise CheckpointError(f"{folder} has neither {safe.name} nor {pickled.name}: the weights are missing")
