"""The front end: the same numbers as CLAP's own feature extractor, and as its formula written out."""

import numpy as np
import pytest
import torch

from slapkit.audio.frontend import FRONTENDS, FrontendConfig, LogMel
from slapkit.errors import AudioError, ConfigError


def noise(seconds, rate, batch=1, seed=0):
    wave = 0.3 * np.random.default_rng(seed).standard_normal((batch, round(seconds * rate)))
    wave *= np.linspace(0, 1, wave.shape[1]) ** 4  # from silence to loud: the floor takes part
    return torch.from_numpy(wave.astype(np.float32))


@pytest.mark.parametrize(("name", "truncation"), [("clap", "rand_trunc"), ("clap-fusion", "fusion")])
@pytest.mark.parametrize("f_min", [0.0, 50.0])
def test_parity_with_transformers(name, truncation, f_min):
    from transformers import ClapFeatureExtractor

    config = FRONTENDS[name].replace(f_min=f_min)
    wave = noise(10, 48000)
    extractor = ClapFeatureExtractor(
        feature_size=config.n_mels,
        sampling_rate=config.sample_rate,
        hop_length=config.hop,
        fft_window_size=config.n_fft,
        frequency_min=config.f_min,
        frequency_max=config.f_max,
        truncation=truncation,
    )
    features = extractor(wave[0].numpy(), sampling_rate=48000, return_tensors="pt")["input_features"]
    ours = LogMel(config)(wave)[0]
    assert ours.shape == (1001, 64)
    for channel in features[0]:  # fusion gives the same clip four times
        assert (channel - ours).abs().max() <= 1e-3


def slaney_hz_to_mel(hz):
    return hz / (200 / 3) if hz < 1000 else 15 + np.log(hz / 1000) / (np.log(6.4) / 27)


def slaney_mel_to_hz(mel):
    return mel * 200 / 3 if mel < 15 else 1000 * np.exp((mel - 15) * np.log(6.4) / 27)


def oracle(wave, c, frames):
    """Log-mel frames of `wave` [T] by the formulas: one explicit Fourier sum per bin, triangles of unit area."""
    padded = np.pad(wave.astype(np.float64), c.n_fft // 2, mode="reflect")
    n = np.arange(c.n_fft)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * n / c.n_fft)
    bins = np.arange(c.n_fft // 2 + 1)
    fourier = np.exp(-2j * np.pi * np.outer(bins, n) / c.n_fft)
    mels = np.linspace(slaney_hz_to_mel(c.f_min), slaney_hz_to_mel(c.f_max), c.n_mels + 2)
    edges = [slaney_mel_to_hz(m) for m in mels]
    bank = np.zeros((c.n_mels, len(bins)))
    for m in range(c.n_mels):
        low, middle, high = edges[m : m + 3]
        for k in bins:
            hz = k * c.sample_rate / c.n_fft
            bank[m, k] = max(0.0, min((hz - low) / (middle - low), (high - hz) / (high - middle))) * 2 / (high - low)
    result = []
    for i in frames:
        power = np.abs(fourier @ (window * padded[i * c.hop : i * c.hop + c.n_fft])) ** 2
        result.append(10 * np.log10(np.maximum(bank @ power, 1e-10)))
    return np.array(result)


def test_the_light_setting_is_its_formula():
    config = FRONTENDS["light"]
    wave = noise(2, config.sample_rate)
    frames = [0, 1, 2, 37, 50, 98, 99, 100]
    ours = LogMel(config)(wave)[0].numpy()
    assert len(ours) == 101
    assert np.abs(ours[frames] - oracle(wave[0].numpy(), config, frames)).max() < 2e-3


@pytest.mark.parametrize("name", sorted(FRONTENDS))
def test_a_clip_is_the_same_alone_and_in_a_batch_to_the_bit(name):
    transform = LogMel(FRONTENDS[name])
    wave = noise(1.5, FRONTENDS[name].sample_rate, batch=5)
    together = transform(wave)
    assert torch.equal(together, torch.cat([transform(clip[None]) for clip in wave]))
    assert torch.equal(together.flip(0), transform(wave.flip(0)))


def test_silence_is_the_floor_and_finite():
    mel = LogMel(FRONTENDS["light"])(torch.zeros(1, 24000))
    assert (mel == -100).all()


@pytest.mark.parametrize(
    "wave", [torch.zeros(24000), torch.zeros(1, 1, 24000), torch.zeros(1, 24000).double(), torch.zeros(1, 24000).int()]
)
def test_other_shapes_and_types_are_refused(wave):
    with pytest.raises(AudioError, match=r"float32 wave \[B, T\] is needed"):
        LogMel(FRONTENDS["light"])(wave)


@pytest.mark.parametrize(
    "wrong",
    [
        {"sample_rate": 0}, {"n_fft": 1}, {"n_fft": 1023}, {"hop": 0}, {"hop": 2000}, {"n_mels": 0}, {"f_max": 12001.0},
        {"f_min": 12000.0}, {"f_min": -1.0}, {"mel_scale": "bark"}, {"norm": "area"}, {"min_s": 0.001}, {"n_mel": 3},
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        FrontendConfig.from_dict(wrong)
