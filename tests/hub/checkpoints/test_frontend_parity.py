"""Sound of any length, padded in any way: the features that transformers' ClapFeatureExtractor makes of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from slapkit.audio.frontend import FrontendConfig, mel_filters
from slapkit.audio.windows import fill
from slapkit.errors import AudioError
from tests.hub.checkpoints.frontends import MODES, SCALES, worst_difference


@pytest.mark.parametrize(("padding", "truncation"), MODES)
def test_features_agree(padding, truncation):
    assert worst_difference(padding, truncation, 40, seed=0) <= 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(("padding", "truncation"), MODES)
def test_features_agree_on_many(padding, truncation):
    assert worst_difference(padding, truncation, 170, seed=1) <= 1e-3


@pytest.mark.parametrize("padding", ["repeat", "repeatpad", "pad"])
def test_filling_is_what_its_name_says(padding):
    rng = np.random.default_rng(0)
    for n in (1, 2, 3, 7, 10, 11):
        x = rng.standard_normal((2, n)).astype(np.float32)
        found = fill(x, 10, padding)
        assert found.dtype == x.dtype and found.shape == (2, max(n, 10))
        whole = {"repeat": 10, "repeatpad": 10 // n * n, "pad": n}[padding]
        for i in range(found.shape[1]):
            expected = x[:, i % n] if i < whole or n > 10 else 0
            assert (found[:, i] == expected).all()
    with pytest.raises(AudioError):
        fill(np.zeros((2, 0), dtype=np.float32), 10, padding)


def test_a_setting_of_old_keeps_its_name():
    """Files in caches are named by hashes of these values: what was always so must not appear among them."""
    assert "padding" not in FrontendConfig().to_dict()
    padded = FrontendConfig(padding="pad")
    assert FrontendConfig.from_dict(padded.to_dict()) == padded != FrontendConfig()


@pytest.mark.parametrize(("scale", "norm"), list(SCALES.values()))
@pytest.mark.parametrize(
    ("rate", "n_fft", "bands", "ends"), [(48000, 1024, 64, (50, 14000)), (8000, 256, 20, (0, 4000))]
)
def test_filters_are_those_of_transformers_to_the_last_digits(scale, norm, rate, n_fft, bands, ends):
    from transformers.audio_utils import mel_filter_bank

    wanted = mel_filter_bank(n_fft // 2 + 1, bands, *ends, rate, norm=None if norm == "none" else norm, mel_scale=scale)
    config = FrontendConfig(
        sample_rate=rate, n_fft=n_fft, hop=64, n_mels=bands, f_min=ends[0], f_max=ends[1], mel_scale=scale, norm=norm
    )
    found = mel_filters(config)
    assert found.dtype == torch.float64 and (found > 0).sum() > bands and torch.get_default_dtype() == torch.float32
    np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=1e-14)
