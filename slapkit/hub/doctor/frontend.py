"""Does the front end compute what its configuration says, and what the weights were trained with?

The oracle is a log-mel spectrogram written down in float64 NumPy from the definitions: a periodic Hann window, frames
centred by reflection, triangular filters on Slaney's or the HTK mel scale.
"""

from __future__ import annotations

import numpy as np

from slapkit.audio.frontend import FLOOR, FRONTENDS, FrontendConfig
from slapkit.hub.doctor.check import Check, judged, unknown
from slapkit.hub.doctor.subject import Subject

_AUDIBLE = -70.0  # dB: below, rounding errors of float32 show, and nothing else
_SOUNDS = 4
_PARITY = "front-end parity"
_SETTINGS = ("sample_rate", "n_fft", "hop", "n_mels", "f_min", "f_max", "mel_scale", "norm")
_REMEDY = "the front end is not the one that config.json describes: build it from model.config.audio.frontend"


def parity(subject: Subject) -> Check:
    """Do the model's features agree with the definition, and with transformers' for CLAP's settings?"""
    import torch

    log_mel, config = getattr(subject.model, "log_mel", None), subject.frontend
    if log_mel is None or not is_log_mel(config):
        return unknown(_PARITY, "only a log-mel front end with a configuration can be compared with its definition")
    worst = {"the definition": 0.0}
    for wave in subject.waves[:_SOUNDS]:
        with torch.no_grad():
            given = log_mel(torch.from_numpy(wave)[None].to(subject.device))[0].cpu().numpy()
        worst["the definition"] = max(worst["the definition"], _apart(given, log_mel_of(wave, config)), key=_nan_last)
        theirs = _clap_features(wave, config)
        if theirs is not None:
            name = "ClapFeatureExtractor"
            worst[name] = max(worst.get(name, 0.0), _apart(given, theirs), key=_nan_last)
    words = " and ".join(f"{value:.1e} dB from {what}" for what, value in worst.items())
    figure = max(worst.values(), key=_nan_last)
    return judged(_PARITY, figure, warn=0.01, fail=0.1, words=f"features lie within {words}", remedy=_REMEDY)


def level(subject: Subject) -> Check:
    """Are the given sounds as loud and as varied as those that set the encoder's normalisation?"""
    import torch

    name, audio = "feature level", getattr(getattr(subject.model, "config", None), "audio", None)
    log_mel = getattr(subject.model, "log_mel", None)
    if getattr(audio, "kind", None) != "cnn" or log_mel is None:
        return unknown(name, "only our CNN keeps the mean and the spread of its training data's features")
    if subject.given_sounds is None:
        return unknown(name, "needs sounds like those of the training: give a data set")
    with torch.no_grad():
        parts = [log_mel(torch.from_numpy(w)[None].to(subject.device))[0].cpu() for w in subject.given_sounds]
    mel = torch.cat(parts).double()
    mean, std = float(mel.mean()), float(mel.std())
    off = abs(mean - audio.mel_mean) / audio.mel_std
    return judged(
        name, off, warn=0.5, fail=1.0,
        words=f"features have mean {mean:.1f} and spread {std:.1f} dB, and in training {audio.mel_mean:.1f} and "
        f"{audio.mel_std:.1f} dB: {off:.2f} spreads apart",
        remedy="sounds are much louder or softer than in training, or the front end is another one: compare "
        "config.audio.frontend with the run's parameters",
    )  # fmt: skip


def log_mel_of(wave: np.ndarray, config: FrontendConfig) -> np.ndarray:
    """Return the log-mel spectrogram `[frames, n_mels]` (dB) of a wave `[T]`, in float64 from the definitions."""
    n = config.n_fft
    padded = np.pad(wave.astype(np.float64), n // 2, mode="reflect")
    starts = np.arange(0, len(padded) - n + 1, config.hop)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n)
    power = np.abs(np.fft.rfft(padded[starts[:, None] + np.arange(n)] * window, axis=-1)) ** 2
    return 10 * np.log10(np.maximum(power @ _filters(config), FLOOR))


def _filters(config: FrontendConfig) -> np.ndarray:
    """Triangular filters `[n_fft / 2 + 1, n_mels]`, each rising from the centre below and falling to the one above."""
    to_mel, to_hz = _SCALES[config.mel_scale]
    corners = to_hz(np.linspace(to_mel(config.f_min), to_mel(config.f_max), config.n_mels + 2))
    bins = np.linspace(0, config.sample_rate / 2, config.n_fft // 2 + 1)[:, None]
    low, centre, high = corners[:-2], corners[1:-1], corners[2:]
    triangles = np.maximum(0, np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)))
    return triangles * (2 / (high - low)) if config.norm == "slaney" else triangles


# Slaney's scale: linear, 3 mel in 200 Hz, up to 1 kHz, then 27 mel to a factor of 6.4.
_LOG_STEP = np.log(6.4) / 27


def _slaney_mel(hz):
    hz = np.asarray(hz, dtype=np.float64)
    return np.where(hz < 1000, 3 * hz / 200, 15 + np.log(np.maximum(hz, 1000) / 1000) / _LOG_STEP)


def _slaney_hz(mel):
    return np.where(mel < 15, 200 * mel / 3, 1000 * np.exp(_LOG_STEP * (mel - 15)))


def _htk_mel(hz):
    return 2595 * np.log10(1 + np.asarray(hz, dtype=np.float64) / 700)


def _htk_hz(mel):
    return 700 * (10 ** (mel / 2595) - 1)


_SCALES = {"slaney": (_slaney_mel, _slaney_hz), "htk": (_htk_mel, _htk_hz)}


def is_log_mel(config) -> bool:
    """Whether the front end is a spectrogram, not the bare wave that some encoders take."""
    return isinstance(config, FrontendConfig) and config.kind == "log-mel"


def _clap_features(wave: np.ndarray, config: FrontendConfig) -> np.ndarray | None:
    """Return what transformers' extractor makes of a wave, None where the settings are not CLAP's."""
    truncation = {"clap": "rand_trunc", "clap-fusion": "fusion"}
    known = [name for name in truncation if all(getattr(FRONTENDS[name], k) == getattr(config, k) for k in _SETTINGS)]
    if not known:
        return None
    from transformers import ClapFeatureExtractor

    extractor = ClapFeatureExtractor(
        truncation=truncation[known[0]], padding="pad", max_length_s=max(1, len(wave) // config.sample_rate)
    )
    features = extractor(wave, sampling_rate=config.sample_rate, return_tensors="np")["input_features"]
    return features[0, 0]


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    """Largest difference in dB of two spectrograms, as far as they are audible; infinite for another shape."""
    if one.shape != other.shape:
        return float("inf")
    return float(np.abs(np.maximum(one, _AUDIBLE) - np.maximum(other, _AUDIBLE)).max())


def _nan_last(value: float) -> float:
    return np.inf if np.isnan(value) else value
