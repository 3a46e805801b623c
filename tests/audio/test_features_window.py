"""A window decoded alone is the window of the whole file, in every format, at every place."""

import numpy as np
import pytest

from slapkit.audio import decode
from slapkit.audio.features import PLACES, SilentWindow, extract, window
from slapkit.audio.frontend import FRONTENDS
from slapkit.audio.windows import take
from slapkit.errors import AudioError
from tests.audio.encoding import write

LIGHT = FRONTENDS["light"].replace(min_s=1.0)
LENGTH = LIGHT.frames(1.0)


def music(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """Noise through a slowly moving resonance: no two windows are alike."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    wave = 0.2 * np.sin(2 * np.pi * (300 + 40 * time) * time) + 0.05 * rng.standard_normal(len(time))
    return wave.astype(np.float32)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("seconds", [0.3, 0.99, 1.0, 1.01, 1.6, 7.3])
def test_windows_are_those_of_the_whole_file(tmp_path, suffix, seconds):
    path = write(tmp_path / f"a.{suffix}", music(seconds, 24000), 24000)
    whole = extract(path, LIGHT).astype(np.float32)
    places = max(len(whole) - LENGTH, 0) + 1
    for start in {0, 1, places // 3, places // 2, max(0, places - 2), places - 1} & set(range(places)):
        place = -(-start * PLACES // places)  # the first place that means this start
        found = window(path, LIGHT, LENGTH, place, name="a")
        assert found.dtype == np.float16 and found.shape == (LENGTH, 64)
        expected = take(whole.T, start, LENGTH).T
        assert np.abs(found - expected).max() < 0.1, f"dB, at frame {start} of {places}"
        if start + 1 < places:
            assert np.abs(found - take(whole.T, start + 1, LENGTH).T).max() > 0.5, "a neighbouring window differs"


@pytest.mark.parametrize("rate", [44100, 48000, 16000])
def test_resampled_windows_too(tmp_path, rate):
    path = write(tmp_path / "a.wav", music(6.0, rate), rate)
    whole = extract(path, LIGHT).astype(np.float32)[:, :40]  # below what half the lowest rate leaves
    for start in (0, 37, 100, len(whole) - LENGTH):
        place = -(-start * PLACES // (len(whole) - LENGTH + 1))
        found = window(path, LIGHT, LENGTH, place, name="a").astype(np.float32)[:, :40]
        error = np.abs(found - whole[start : start + LENGTH])
        assert error.mean() < 0.1 and error.max() < 6, (
            "quiet bands of noise move most when samples shift by half a step"
        )


def test_every_place_is_drawn_and_the_last_one_reaches_the_end(tmp_path):
    path = write(tmp_path / "a.wav", music(1.1, 24000), 24000)
    whole = extract(path, LIGHT)
    found = [window(path, LIGHT, LENGTH, PLACES * i // 60, name="a") for i in range(60)] + [
        window(path, LIGHT, LENGTH, PLACES - 1, name="a")
    ]
    assert len({window.tobytes() for window in found}) == len(whole) - LENGTH + 1 == 6
    assert np.abs(found[-1][-1].astype(np.float32) - whole[-1]).max() < 0.1


MP3 = [{"compression_level": 0.99}, {"bitrate_mode": "VARIABLE", "compression_level": 0.3}]  # 32 kbit/s, variable


@pytest.mark.parametrize("options", MP3)
def test_windows_of_mp3_are_exact(tmp_path, options):
    rate = 44100
    path = write(tmp_path / "a.mp3", music(20.0, rate), rate, **options)
    whole = decode.read(path, sample_rate=rate)
    for start in np.random.default_rng(0).integers(0, 19 * rate, 40).tolist():
        part = decode.read(path, sample_rate=rate, start_s=start / rate, duration_s=0.2)
        np.testing.assert_allclose(part, whole[start : start + len(part)], atol=1e-5)


def test_silence_and_damage_are_told(tmp_path):
    wave = music(4.0, 24000)
    wave[: 2 * 24000] = 0
    path = write(tmp_path / "a.wav", wave, 24000)
    with pytest.raises(SilentWindow, match="my song is silent from 0.0 s on"):
        window(path, LIGHT, LENGTH, 0, name="my song")
    assert window(path, LIGHT, LENGTH, PLACES - 1, name="my song").shape == (LENGTH, 64)
    path = write(tmp_path / "a.flac", wave, 24000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AudioError, match="my song"):
        window(path, LIGHT, LENGTH, PLACES - 1, name="my song")
    path.write_bytes(b"nothing")
    with pytest.raises(AudioError, match="my song cannot be decoded"):
        window(path, LIGHT, LENGTH, 0, name="my song")
