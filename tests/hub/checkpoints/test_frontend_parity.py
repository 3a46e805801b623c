"""Both front ends side by side: slapkit's, and transformers' ClapFeatureExtractor with its own random cuts repeated."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import ClapFeatureExtractor
from transformers.audio_utils import mel_filter_bank

from slapkit.audio.frontend import FRONTENDS, FrontendConfig, LogMel, mel_filters
from slapkit.audio.windows import fill

RATE = 48000
MODES = [(p, t) for t in ("rand_trunc", "fusion") for p in ("repeat", "repeatpad", "pad")]
SCALES = {"rand_trunc": ("slaney", "slaney"), "fusion": ("htk", "none")}


def random_wave(rng, seconds):
    """Noise, a tone, clicks or silence with a burst, from very quiet to clipping."""
    n = max(1, round(seconds * RATE))
    wave = [
        rng.standard_normal(n),
        np.sin(2 * np.pi * rng.uniform(30, 20000) * np.arange(n) / RATE),
        (rng.random(n) < 0.001).astype(float),
        np.where(np.arange(n) < n // 2, 0, rng.standard_normal(n)),
    ][rng.integers(4)]
    wave = np.clip(10 ** rng.uniform(-4, 0.3) * wave, -1, 1)
    return (np.round(wave * 32767) / 32768 if rng.random() < 0.5 else wave).astype(np.float32)  # or of 16 bits


def worst_difference(padding, truncation, count, seed):
    """Largest difference in dB between both front ends over `count` random sounds of up to two and a half windows."""
    rng = np.random.default_rng(seed)
    extractor = ClapFeatureExtractor(max_length_s=1, frequency_min=50, truncation=truncation, padding=padding)
    scale, norm = SCALES[truncation]
    config = FRONTENDS["clap"].replace(f_min=50.0, mel_scale=scale, norm=norm, min_s=1.0, padding=padding)
    ours, worst = LogMel(config), 0.0
    for number in range(count):
        wave = random_wave(rng, rng.uniform(0.002, 1.0) if number % 3 else rng.uniform(1.0, 2.5))
        np.random.seed(number)
        theirs = extractor(wave, sampling_rate=RATE, return_tensors="pt")["input_features"][0]
        whole = fill(wave, RATE, padding)
        np.random.seed(number)  # the extractor cuts at random, so its own draws are repeated
        if len(wave) > RATE and truncation == "rand_trunc":
            start = np.random.randint(0, len(wave) - RATE + 1)
            whole = whole[start : start + RATE]
        mel = ours(torch.from_numpy(whole)[None])[0]
        channels = [mel] * len(theirs)
        if len(mel) > 101:  # fused: the whole squeezed, and a piece of each third
            squeezed = torch.nn.functional.interpolate(mel[None, None], size=(101, 64), mode="bilinear")
            thirds = np.array_split(np.arange(len(mel) - 100), 3)
            starts = [np.random.choice(third if len(third) else [0]) for third in thirds]
            channels = [squeezed[0, 0], *(mel[start : start + 101] for start in starts)]
        assert theirs.shape == (len(channels), 101, 64)
        worst = max(worst, *((a - b).abs().max().item() for a, b in zip(channels, theirs)))
    return worst


@pytest.mark.parametrize(("padding", "truncation"), MODES)
def test_features_agree(padding, truncation):
    assert worst_difference(padding, truncation, 40, seed=0) <= 1e-3


@pytest.mark.parametrize(("scale", "norm"), list(SCALES.values()))
@pytest.mark.parametrize(
    ("rate", "n_fft", "bands", "ends"), [(48000, 1024, 64, (50, 14000)), (8000, 256, 20, (0, 4000))]
)
def test_filters_are_those_of_transformers_to_the_last_digits(scale, norm, rate, n_fft, bands, ends):
    wanted = mel_filter_bank(n_fft // 2 + 1, bands, *ends, rate, norm=None if norm == "none" else norm, mel_scale=scale)
    config = FrontendConfig(
        sample_rate=rate, n_fft=n_fft, hop=64, n_mels=bands, f_min=ends[0], f_max=ends[1], mel_scale=scale, norm=norm
    )
    found = mel_filters(config)
    assert found.dtype == torch.float64 and (found > 0).sum() > bands and torch.get_default_dtype() == torch.float32
    np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=1e-14)
