"""Feature extractors of encoders of waves, as transformers has them, and the mean over the hidden states of audio.

Every class takes `wave [B, T]`, without padding, and returns the model's input. `pool` returns the mean over time
`[B, dim]` of the hidden states `[B, L, dim]` that belong to the wave and not to padding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from slapkit.audio.frontend import FrontendConfig, LogMel, import_torchaudio
from slapkit.errors import ConfigError
from slapkit.models.encoders.config import WaveformConfig

# The feature extractors that are known, and their settings that matter.
KINDS = {
    "Wav2Vec2FeatureExtractor": ("sampling_rate", "do_normalize"),
    "ASTFeatureExtractor": ("sampling_rate", "do_normalize", "num_mel_bins", "max_length", "mean", "std"),
    "WhisperFeatureExtractor": ("sampling_rate", "feature_size", "hop_length", "chunk_length", "n_fft"),
}


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
        """Return the mean over all steps."""
        return hidden.float().mean(1)


def _require_window(fits: bool, waveform: WaveformConfig, samples: int, most: int) -> None:
    if not fits:
        rate = waveform.features["sampling_rate"]
        raise ConfigError(
            f"window_s={samples / rate:g}: {waveform.source!r} takes {most / rate:.3g} s at most, and a frame at least"
        )


def _require_same(name: str, value: int, expected: int, waveform: WaveformConfig) -> None:
    if value != expected:
        raise ConfigError(f"{waveform.source!r}: {name} of its feature extractor is not that of its model")


class ASTFeatures(nn.Module):
    """Kaldi's log-mel filter bank, padded with zeros to the model's length, then normalised."""

    def __init__(self, waveform: WaveformConfig, model_config, samples: int) -> None:
        super().__init__()
        self.settings = settings = waveform.features
        # Kaldi's frames: 25 ms every 10 ms, none beyond the ends.
        window, hop = int(settings["sampling_rate"] * 0.025), int(settings["sampling_rate"] * 0.010)
        for name in ("max_length", "num_mel_bins"):
            _require_same(name, settings[name], getattr(model_config, name), waveform)
        longest = window + settings["max_length"] * hop - 1
        _require_window(window <= samples <= longest, waveform, samples, longest)
        frames = 1 + (samples - window) // hop
        stride, patch = model_config.time_stride, model_config.patch_size
        self.times = (settings["max_length"] - patch) // stride + 1
        self.audible = min(self.times, -(-frames // stride))  # patches that begin before the padding

    @torch.no_grad()
    def forward(self, wave: Tensor) -> Tensor:
        """Return the spectrogram `[B, max_length, num_mel_bins]`."""
        kaldi = import_torchaudio().compliance.kaldi
        rate, bands = self.settings["sampling_rate"], self.settings["num_mel_bins"]
        with torch.autocast(wave.device.type, enabled=False):
            rows = [
                kaldi.fbank(row[None], sample_frequency=rate, window_type="hanning", num_mel_bins=bands)
                for row in wave.float()
            ]
            mel = torch.stack(rows)
            mel = nn.functional.pad(mel, (0, 0, 0, self.settings["max_length"] - mel.shape[1]))
            if not self.settings.get("do_normalize", True):
                return mel
            return (mel - self.settings["mean"]) / (2 * self.settings["std"])

    def pool(self, hidden: Tensor) -> Tensor:
        """Return the mean over patches of all bands; the first two tokens are no patches."""
        patches = hidden[:, 2:].float().unflatten(1, (-1, self.times))  # [B, bands, times, dim]
        return patches[:, :, : self.audible].mean((1, 2))


class WhisperFeatures(nn.Module):
    """Whisper's log-mel of the wave, padded with silence to the model's length."""

    def __init__(self, waveform: WaveformConfig, model_config, samples: int) -> None:
        super().__init__()
        settings = waveform.features
        hop, rate = settings["hop_length"], settings["sampling_rate"]
        self.longest = settings["chunk_length"] * rate
        _require_window(hop <= samples <= self.longest, waveform, samples, self.longest)
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
            mel = torch.maximum(mel, mel.amax((1, 2), keepdim=True) - 8)
            return (mel + 4) / 4

    def pool(self, hidden: Tensor) -> Tensor:
        """Return the mean over the steps before the padding."""
        return hidden[:, : self.audible].float().mean(1)


def build_feature_extractor(waveform: WaveformConfig, model_config, samples: int) -> nn.Module:
    """Return the feature extractor of a model for windows of `samples` samples.

    Raises:
        ConfigError: the feature extractor does not go with the model, or the window is too short or too long.
    """
    kind, model = waveform.features.get("feature_extractor_type"), model_config.model_type
    if kind == "ASTFeatureExtractor" and model == "audio-spectrogram-transformer":
        return ASTFeatures(waveform, model_config, samples)
    if kind == "WhisperFeatureExtractor" and model == "whisper":
        return WhisperFeatures(waveform, model_config, samples)
    if kind == "Wav2Vec2FeatureExtractor" and hasattr(model_config, "conv_kernel"):
        return WaveFeatures(waveform, model_config, samples)
    raise ConfigError(f"{waveform.source!r} is a {model} with a {kind}: the two do not go together")
