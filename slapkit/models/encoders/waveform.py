"""Published encoders of waves: wav2vec 2.0, HuBERT, WavLM, MERT and their kin, AST, and Whisper's encoder.

Any audio model of transformers will do whose feature extractor is one of `KINDS`. Code that comes with a model is never
run. MERT's is HuBERT's in the settings of its 95 M model, so its weights are loaded into HuBERT; others are refused.
"""

import json
from typing import Any

import torch
from torch import Tensor, nn

from slapkit.audio.frontend import FrontendConfig, LogMel, import_torchaudio
from slapkit.config import require
from slapkit.errors import ConfigError
from slapkit.models.encoders.config import AudioEncoderConfig, WaveformConfig
from slapkit.models.encoders.text import reading

# The feature extractors that are known, and their settings that matter.
KINDS = {
    "Wav2Vec2FeatureExtractor": ("sampling_rate", "do_normalize"),
    "ASTFeatureExtractor": ("sampling_rate", "do_normalize", "num_mel_bins", "max_length", "mean", "std"),
    "WhisperFeatureExtractor": ("sampling_rate", "feature_size", "hop_length", "chunk_length", "n_fft"),
}
_FRAME_S = 0.02  # s, of the wave as it is kept: about the step of what these encoders give
_NOT_ARCHITECTURE = ("auto_map", "transformers_version", "_name_or_path", "dtype", "torch_dtype", "architectures")
# MERT's own switches, with the values under which its code does what HuBERT's does.
_MERT_AS_HUBERT = {"feature_extractor_cqt": False, "deepnorm": False, "attention_relax": -1.0}
_MAY_BE_MISSING = {"masked_spec_embed"}  # belongs to masked frames, which are never made here
_REMEDY = "Name a folder with config.json, preprocessor_config.json and weights, or a model that can be reached"


def waveform_encoder(
    source: str, *, layer: int | None = -1, window_s: float = 5.0, frozen: bool = True
) -> AudioEncoderConfig:
    """Return the configuration of a published encoder, with the sampling rate of its `preprocessor_config.json`.

    Args:
        source: name or folder that transformers' `AutoModel` takes; a name may reach the network.
        layer: whose hidden states, averaged over time, are the representation: 0 is what goes into the first layer, -1
            the model's last output, None the mean of all.

    Raises:
        ConfigError: nothing usable is there, or such a model is not known.
    """
    architecture, features = _read_architecture(source), _read_features(source)
    rate = features["sampling_rate"]
    require(window_s >= _FRAME_S, "window_s", window_s, f"at least {_FRAME_S} s")
    frontend = FrontendConfig(kind="wave", sample_rate=rate, hop=round(_FRAME_S * rate), min_s=window_s)
    waveform = WaveformConfig(source=source, layer=layer, architecture=architecture, features=features)
    return AudioEncoderConfig(kind="waveform", frontend=frontend, window_s=window_s, frozen=frozen, waveform=waveform)


class WaveformEncoder(nn.Module):
    """Frames of a wave `[B, frames, hop]` to a representation `[B, dim]`; `weights` takes those of the source.
    `ConfigError` where source, layer, rate or window do not fit the model."""

    def __init__(self, config: AudioEncoderConfig, *, weights: bool = True) -> None:
        super().__init__()
        waveform, samples = config.waveform, config.window_frames * config.frontend.hop
        model_config = _model_config(waveform)
        rate, own = config.frontend.sample_rate, waveform.features["sampling_rate"]
        require(rate == own, "frontend.sample_rate", rate, f"the {own} Hz of {waveform.source!r}, see waveform_encoder")
        self.extract = _feature_extractor(waveform, model_config, samples)
        self.model = _load(waveform, model_config, weights)
        self.dim, self.layer = model_config.hidden_size, waveform.layer
        self._choose_layer((self.model if hasattr(self.model, "layers") else self.model.encoder).layers, waveform)
        if weights and not config.frozen:
            self._freeze_unreached(samples)

    def _choose_layer(self, layers: nn.ModuleList, waveform: WaveformConfig) -> None:
        """Check the layer, and drop the layers behind it but one, whose input is the chosen layer's output."""
        count = len(layers)
        if self.layer is None:
            return
        if not -count - 1 <= self.layer <= count:
            raise ConfigError(
                f"layer={self.layer}: {waveform.source!r} has {count} layers: take {-count - 1} to {count}, or None"
            )
        self.layer %= count + 1
        if self.layer == count:
            self.layer = -1
        else:
            del layers[self.layer + 1 :]

    def _freeze_unreached(self, samples: int) -> None:
        """Freeze what lies behind the chosen layer: DistributedDataParallel would wait for its gradient."""
        was_training = self.training
        self.eval()
        with torch.enable_grad():
            wave = torch.sin(torch.arange(samples, dtype=torch.float32).square() / 1e4)
            self(wave[None, None]).sum().backward()
        for parameter in self.parameters():
            if parameter.grad is None:
                parameter.requires_grad_(False)
            parameter.grad = None
        self.train(was_training)

    def forward(self, frames: Tensor) -> Tensor:
        """Encode `frames [B, frames, hop]` of samples to `[B, dim]`."""
        return self.encode(self.extract(frames.flatten(1)))

    def encode(self, features: Tensor) -> Tensor:
        """Encode the feature extractor's output to `[B, dim]`."""
        if self.layer == -1:
            return self.extract.pool(self.model(features).last_hidden_state)
        out = self.model(features, output_hidden_states=True)
        if self.layer is not None:
            return self.extract.pool(out.hidden_states[self.layer])
        # Some models give the last state before its norm, some after: after, as for layer=-1.
        states = [*out.hidden_states[:-1], out.last_hidden_state]
        return torch.stack([self.extract.pool(state) for state in states]).mean(0)


def _read_architecture(source: str) -> dict[str, Any]:
    """Return the model's configuration as plain values, MERT's as HuBERT's."""
    from transformers import AutoConfig, PreTrainedConfig

    with reading(source, "audio model", remedy=_REMEDY):
        raw, _ = PreTrainedConfig.get_config_dict(source)
        if raw.get("model_type") == "mert_model":
            unlike = {k: raw[k] for k, v in _MERT_AS_HUBERT.items() if raw.get(k, v) != v}
            if unlike:
                raise ConfigError(f"{source!r} is a MERT with {unlike}, which needs its own code: it is not run")
            raw = {k: v for k, v in raw.items() if k not in _MERT_AS_HUBERT} | {"model_type": "hubert"}
            config = AutoConfig.for_model(**raw)
        else:
            config = AutoConfig.from_pretrained(source, trust_remote_code=False)
        values = json.loads(config.to_json_string(use_diff=True))
    return {k: v for k, v in values.items() if k not in _NOT_ARCHITECTURE} | {"model_type": config.model_type}


def _read_features(source: str) -> dict[str, Any]:
    """Return the settings of the feature extractor."""
    from transformers import AutoFeatureExtractor

    with reading(source, "feature extractor", remedy=_REMEDY):
        extractor = AutoFeatureExtractor.from_pretrained(source, trust_remote_code=False)
        features = json.loads(extractor.to_json_string())
    kind = features.get("feature_extractor_type")
    if kind not in KINDS:
        raise ConfigError(f"{source!r} has a {kind}: take a model with {', '.join(KINDS)}")
    return {key: value for key, value in features.items() if key in ("feature_extractor_type", *KINDS[kind])}


def _model_config(waveform: WaveformConfig):
    """Return the model's configuration, without its own SpecAugment and skipped layers."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.for_model(**waveform.architecture)
    except Exception as error:  # its class differs between models and versions of transformers
        raise ConfigError(f"waveform.architecture of {waveform.source!r} is no model's: {error}") from error
    # Training has SpecAugment of its own; a skipped layer leaves its weights without a gradient.
    for name, value in {"apply_spec_augment": False, "layerdrop": 0.0, "encoder_layerdrop": 0.0}.items():
        if hasattr(config, name):
            setattr(config, name, value)
    return config


def _load(waveform: WaveformConfig, config, weights: bool) -> nn.Module:
    """Return the model with random weights, or with all those of the source."""
    from transformers import AutoModel

    if weights:
        with reading(waveform.source, "audio model", remedy=_REMEDY):
            model, info = AutoModel.from_pretrained(
                waveform.source, config=config, dtype=torch.float32, output_loading_info=True, trust_remote_code=False
            )
        # By the last name: the checkpoint of a larger model has a prefix before it.
        wanted = (name for name in info["missing_keys"] if not name.startswith("decoder."))
        missing = sorted(name for name in wanted if name.split(".")[-1] not in _MAY_BE_MISSING)
        unfit = missing + [str(key) for key in info["mismatched_keys"]]
        if unfit:
            raise ConfigError(f"{waveform.source!r} lacks {len(unfit)} of the model's weights, the first is {unfit[0]}")
    else:
        model = AutoModel.from_config(config)
    return model.encoder if config.model_type == "whisper" else model


class WaveFeatures(nn.Module):
    """The wave itself; each window has zero mean and unit variance where the model was trained so."""

    def __init__(self, waveform: WaveformConfig, model_config, samples: int) -> None:
        super().__init__()
        self.normalize = waveform.features.get("do_normalize", True)
        length = samples
        for kernel, stride in zip(model_config.conv_kernel, model_config.conv_stride, strict=True):
            length = (length - kernel) // stride + 1
        if length < 1:
            raise ConfigError(f"window_s: {samples} samples are too few for {waveform.source!r}: take longer windows")

    def forward(self, wave: Tensor) -> Tensor:
        """Return `[B, T]`."""
        if not self.normalize:
            return wave
        with torch.autocast(wave.device.type, enabled=False):
            wave = wave.float()
            variance, mean = torch.var_mean(wave, dim=1, keepdim=True, correction=0)
            return (wave - mean) / (variance + 1e-7).sqrt()

    def pool(self, hidden: Tensor) -> Tensor:
        """Return the mean `[B, dim]` over all steps of hidden states `[B, L, dim]`."""
        return hidden.float().mean(1)


class _ASTFeatures(nn.Module):
    """Kaldi's log-mel filter bank, padded with zeros to the model's length, then normalised."""

    def __init__(self, waveform: WaveformConfig, model_config, samples: int) -> None:
        super().__init__()
        self.settings = settings = waveform.features
        # Kaldi's frames: 25 ms every 10 ms, none beyond the ends.
        window, hop = int(settings["sampling_rate"] * 0.025), int(settings["sampling_rate"] * 0.010)
        for name in ("max_length", "num_mel_bins"):
            _require_same(name, settings[name], getattr(model_config, name), waveform)
        _require_window(window, samples, window + settings["max_length"] * hop - 1, waveform)
        frames = 1 + (samples - window) // hop
        stride, patch = model_config.time_stride, model_config.patch_size
        self.times = (settings["max_length"] - patch) // stride + 1
        self.audible = min(self.times, -(-frames // stride))  # patches that begin before the padding

    @torch.no_grad()
    def forward(self, wave: Tensor) -> Tensor:
        """Return the spectrogram `[B, max_length, num_mel_bins]`."""
        kaldi, settings = import_torchaudio().compliance.kaldi, self.settings
        rate, bands = settings["sampling_rate"], settings["num_mel_bins"]
        with torch.autocast(wave.device.type, enabled=False):
            given = {"sample_frequency": rate, "window_type": "hanning", "num_mel_bins": bands}
            mel = torch.stack([kaldi.fbank(row[None], **given) for row in wave.float()])
            mel = nn.functional.pad(mel, (0, 0, 0, settings["max_length"] - mel.shape[1]))
            return (mel - settings["mean"]) / (2 * settings["std"]) if settings.get("do_normalize", True) else mel

    def pool(self, hidden: Tensor) -> Tensor:
        """Return the mean over patches of all bands; the first two tokens are no patches."""
        patches = hidden[:, 2:].float().unflatten(1, (-1, self.times))  # [B, bands, times, dim]
        return patches[:, :, : self.audible].mean((1, 2))


class _WhisperFeatures(nn.Module):
    """Whisper's log-mel of the wave, padded with silence to the model's length."""

    def __init__(self, waveform: WaveformConfig, model_config, samples: int) -> None:
        super().__init__()
        settings = waveform.features
        hop, rate = settings["hop_length"], settings["sampling_rate"]
        self.longest = settings["chunk_length"] * rate
        _require_window(hop, samples, self.longest, waveform)
        _require_same("chunk_length", self.longest // hop, 2 * model_config.max_source_positions, waveform)
        _require_same("feature_size", settings["feature_size"], model_config.num_mel_bins, waveform)
        # The highest band ends at 8 kHz whatever the rate.
        bands = {"n_mels": settings["feature_size"], "f_max": 8000.0, "mel_scale": "slaney", "norm": "slaney"}
        self.log_mel = LogMel(FrontendConfig(sample_rate=rate, n_fft=settings["n_fft"], hop=hop, **bands))
        self.audible = -(-samples // (2 * hop))  # of the model's steps, two frames each

    @torch.no_grad()
    def forward(self, wave: Tensor) -> Tensor:
        """Return the spectrogram `[B, feature_size, frames]`."""
        with torch.autocast(wave.device.type, enabled=False):
            padded = nn.functional.pad(wave.float(), (0, self.longest - wave.shape[1]))
            mel = self.log_mel(padded)[:, :-1].transpose(1, 2) / 10  # dB to powers of ten
            return (torch.maximum(mel, mel.amax((1, 2), keepdim=True) - 8) + 4) / 4

    def pool(self, hidden: Tensor) -> Tensor:
        """Return the mean over the steps before the padding."""
        return hidden[:, : self.audible].float().mean(1)


def _require_window(least: int, samples: int, most: int, waveform: WaveformConfig) -> None:
    if not least <= samples <= most:
        window_s, most_s = (value / waveform.features["sampling_rate"] for value in (samples, most))
        raise ConfigError(
            f"window_s={window_s:g}: {waveform.source!r} takes {most_s:.3g} s at most, and a frame at least"
        )


def _require_same(name: str, value: int, expected: int, waveform: WaveformConfig) -> None:
    if value != expected:
        raise ConfigError(f"{waveform.source!r}: {name} of its feature extractor is not that of its model")


def _feature_extractor(waveform: WaveformConfig, model_config, samples: int) -> nn.Module:
    """Return the feature extractor of a model, which takes windows of `samples` samples."""
    kind, model = waveform.features.get("feature_extractor_type"), model_config.model_type
    if kind == "ASTFeatureExtractor" and model == "audio-spectrogram-transformer":
        return _ASTFeatures(waveform, model_config, samples)
    if kind == "WhisperFeatureExtractor" and model == "whisper":
        return _WhisperFeatures(waveform, model_config, samples)
    if kind == "Wav2Vec2FeatureExtractor" and hasattr(model_config, "conv_kernel"):
        return WaveFeatures(waveform, model_config, samples)
    raise ConfigError(f"{waveform.source!r} is a {model} with a {kind}: the two do not go together")
