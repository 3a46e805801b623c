"""Published encoders of waves: wav2vec 2.0, HuBERT, WavLM, MERT and their kin, AST, and Whisper's encoder.

Any audio model of transformers will do whose feature extractor is one of `feature_extractors.KINDS`. The representation
is the mean over time of the hidden states of one layer, or of all.

Code that comes with a model is never run. MERT's published code is HuBERT's in the settings of its 95 M model, so its
weights are loaded into HuBERT; other settings are refused.
"""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import Tensor, nn

from slapkit.audio.frontend import FrontendConfig
from slapkit.config import require
from slapkit.errors import ConfigError
from slapkit.models.encoders.config import AudioEncoderConfig, WaveformConfig
from slapkit.models.encoders.feature_extractors import KINDS, build_feature_extractor
from slapkit.models.encoders.source import reading

_FRAME_S = 0.02  # s, of the wave as it is kept: about the step of what these encoders give
_NOT_ARCHITECTURE = ("auto_map", "transformers_version", "_name_or_path", "dtype", "torch_dtype", "architectures")
# MERT's own switches, with the values under which its code does what HuBERT's does.
_MERT_AS_HUBERT = {"feature_extractor_cqt": False, "deepnorm": False, "attention_relax": -1.0}
_MAY_BE_MISSING = {"masked_spec_embed"}  # for masked frames, which are never made here
_REMEDY = "Name a folder with config.json, preprocessor_config.json and weights, or a model that can be reached"


def waveform_encoder(
    source: str, *, layer: int | None = -1, window_s: float = 5.0, frozen: bool = True
) -> AudioEncoderConfig:
    """Return the configuration of a published encoder, with the sampling rate of its `preprocessor_config.json`.

    Args:
        source: name or folder that transformers' `AutoModel` takes; a name may reach the network.
        layer: whose hidden states are the representation: 0 is what goes into the first layer, -1 the model's last
            output, None the mean of all.
        window_s: length of a window in s.
        frozen: keep the published weights as they are.

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
    """Frames of a wave `[B, frames, hop]` to a representation `[B, dim]`.

    Args:
        config: of kind "waveform".
        weights: take the weights of the source; False leaves random ones, for others to be loaded.

    Raises:
        ConfigError: the source, a layer, the rate or the window does not fit the model.
    """

    def __init__(self, config: AudioEncoderConfig, *, weights: bool = True) -> None:
        super().__init__()
        waveform, samples = config.waveform, config.window_frames * config.frontend.hop
        model_config = _model_config(waveform)
        rate = waveform.features["sampling_rate"]
        if config.frontend.sample_rate != rate:
            raise ConfigError(
                f"frontend.sample_rate={config.frontend.sample_rate} is not the {rate} Hz that {waveform.source!r} "
                "takes: make the configuration with slapkit.models.encoders.waveform_encoder"
            )
        self.extract = build_feature_extractor(waveform, model_config, samples)
        self.model = _load(waveform, model_config) if weights else _random(model_config)
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
                f"layer={self.layer}: {waveform.source!r} has {count} layers: take {-count - 1} to {count}, 0 being "
                "what goes into the first, or None for the mean of all"
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


def _load(waveform: WaveformConfig, config) -> nn.Module:
    """Return the model with the weights of the source, all of them there."""
    from transformers import AutoModel

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
    return model.encoder if config.model_type == "whisper" else model


def _random(config) -> nn.Module:
    from transformers import AutoModel

    model = AutoModel.from_config(config)
    return model.encoder if config.model_type == "whisper" else model
