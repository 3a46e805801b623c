from __future__ import annotations

import io

import numpy as np
import pytest

from slapkit.data.scores import render
from slapkit.data.scores.arrange import arrange
from slapkit.data.scores.excerpt import Unfit
from slapkit.errors import DataError
from tests.data.scores.conftest import make_score, random_tune


def tone(seconds: float = 1.0, level: float = 0.3) -> np.ndarray:
    return (level * np.sin(2 * np.pi * 440 * np.arange(round(seconds * 48_000)) / 48_000)).astype(np.float32)


def test_encoding_repeats_to_the_byte_and_keeps_the_wave():
    import soundfile

    data = render.encode(tone(), 48_000)
    assert data == render.encode(tone(), 48_000)
    wave, rate = soundfile.read(io.BytesIO(data))
    assert rate == 48_000 and len(wave) == 48_000 and np.abs(wave - tone()).max() <= 2**-15
    assert len(data) < tone().nbytes / 2 / 2, "less than half of 16-bit samples"


def test_another_sample_rate_is_resampled():
    import soundfile

    wave, rate = soundfile.read(io.BytesIO(render.encode(tone(), 24_000)))
    assert rate == 24_000 and abs(len(wave) - 24_000) <= 1


def test_what_cannot_be_heard_is_refused():
    render.check(tone(10))
    bad = {"not finite": np.full(480_000, np.nan, np.float32), "silent": np.zeros(480_000, np.float32)}
    bad["silent in part"] = np.concatenate([tone(6), np.zeros(4 * 48_000, np.float32)])
    for reason, wave in bad.items():
        with pytest.raises(Unfit, match=reason):
            render.check(wave)


def test_a_rendered_clip_is_as_long_and_loud_as_it_should_be():
    score = make_score(random_tune(np.random.default_rng(0), 100))
    font = render.find_soundfont(None).read_bytes()
    arrangement = arrange(score, np.random.default_rng(3), clip_s=6.0, style="reel")
    wave = render.render(arrangement, font, clip_s=6.0)
    assert wave.shape == (6 * 48_000,) and wave.dtype == np.float32
    level, peak = 10 * np.log10(np.mean(wave**2)), 20 * np.log10(np.abs(wave).max())
    assert peak <= -0.99 and (abs(level + 20) < 0.1 or (abs(peak + 1) < 0.1 and level < -20))
    assert np.array_equal(wave, render.render(arrangement, font, clip_s=6.0))


def test_a_missing_or_wrong_soundfont_is_told(tmp_path):
    assert render.find_soundfont(None).suffix == ".sf2"
    with pytest.raises(DataError, match="not a file.*sf2"):
        render.find_soundfont(str(tmp_path / "none.sf2"))
    (tmp_path / "text.sf2").write_text("hello, this is text")
    with pytest.raises(DataError, match="not a SoundFont"):
        render.find_soundfont(str(tmp_path / "text.sf2"))
