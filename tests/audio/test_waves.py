"""Waves kept as features: cut, kept in float16, and found again as spectrograms are."""

import hashlib
import json

import numpy as np
import pytest
import soundfile
import torch

from slapkit.audio import features
from slapkit.audio.features import cache_path
from slapkit.audio.frontend import FRONTENDS, FrontendConfig, make_transform
from slapkit.data import read
from slapkit.models.encoders import AudioEncoderConfig
from tests.models.waveform.wave_folders import noise

WAVE = FrontendConfig(kind="wave", sample_rate=8000, hop=160, min_s=0.5)


@pytest.fixture
def dataset(tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "sounds"
    folder.mkdir()
    rows = ["file_name,caption,split"]
    for i, seconds in enumerate((1.0, 0.7, 0.31)):
        wave = 0.5 * rng.standard_normal(round(8000 * seconds)).clip(-2, 2) * 10.0**-i
        soundfile.write(folder / f"{i}.wav", wave, 8000, subtype="FLOAT")
        rows.append(f"{i}.wav,noise {i},train")
    (folder / "metadata.csv").write_text("\n".join(rows))
    return read(folder)


def samples(dataset, i: int) -> np.ndarray:
    return soundfile.read(dataset.clips[i].path, dtype="float32")[0]


def test_frames_joined_are_the_wave():
    wave = noise(2, 1000)
    frames = make_transform(WAVE)(wave)
    assert frames.shape == (2, 7, 160) and WAVE.width == 160
    assert torch.equal(frames.flatten(1)[:, :1000], wave) and not frames.flatten(1)[:, 1000:].any()
    assert WAVE.frames(1000 / 8000) == 7 and WAVE.frames(960 / 8000) == 6
    assert make_transform(WAVE)(wave[:, :960]).shape[1] == 6


def test_kept_waves_err_by_less_than_70_dB(dataset, tmp_path):
    store = features.build(dataset.audio_files(), WAVE, tmp_path / "cache", progress=False)
    assert store.width == 160 and len(store) == 3
    assert store.lengths.tolist() == [50, 35, 25]  # the last was repeated up to 0.5 s
    for i in range(3):
        wave, kept = samples(dataset, i), store.row(i).astype(np.float32).reshape(-1)
        whole = np.concatenate([wave] * 2)[: len(kept)]
        whole = np.where(np.arange(len(kept)) < max(len(wave), 4000), whole, 0)
        error = kept - whole
        assert 10 * np.log10((whole**2).mean() / (error**2).mean()) > 70


def test_log_mels_made_before_waves_were_known_are_found():
    """The names of caches follow from these values: what is kept under them is worth minutes to hours."""
    plain = {"sample_rate": 24000, "n_fft": 1024, "hop": 480, "n_mels": 64, "f_min": 0.0, "f_max": 12000.0}
    plain |= {"mel_scale": "slaney", "norm": "slaney", "min_s": 5.0}
    assert FRONTENDS["light"].to_dict() == plain
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
    assert cache_path("x", FRONTENDS["light"]).name.startswith(digest[:12])
    assert FrontendConfig.from_dict(plain) == FRONTENDS["light"]
    assert cache_path("x", WAVE) != cache_path("x", WAVE.replace(hop=80))
    values = AudioEncoderConfig().to_dict()
    assert "waveform" not in values and values["frontend"] == plain
    assert AudioEncoderConfig.from_dict(values) == AudioEncoderConfig()
    assert FrontendConfig.from_dict(json.loads(json.dumps(WAVE.to_dict()))) == WAVE
