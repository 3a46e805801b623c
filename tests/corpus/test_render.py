from __future__ import annotations

import io
import struct

import numpy as np
import pytest

from slapkit.corpus import render
from slapkit.corpus.arrange import arrange
from slapkit.corpus.excerpt import Unfit
from slapkit.corpus.ogg import set_serial
from slapkit.errors import DataError
from tests.corpus.conftest import make_score, random_tune


def slow_crc(page: bytes) -> int:
    """The checksum of RFC 3533, a bit at a time."""
    register = 0
    for byte in page:
        register ^= byte << 24
        for _ in range(8):
            register = ((register << 1) ^ 0x04C11DB7 if register & 0x80000000 else register << 1) & 0xFFFFFFFF
    return register


def tone(seconds: float = 1.0, level: float = 0.3) -> np.ndarray:
    return (level * np.sin(2 * np.pi * 440 * np.arange(round(seconds * 48_000)) / 48_000)).astype(np.float32)


def test_encoding_repeats_to_the_byte_and_pages_have_right_checksums():
    data = render.encode(tone(), 48_000, "a")
    assert data == render.encode(tone(), 48_000, "a") != render.encode(tone(), 48_000, "b")
    start = pages = 0
    while start < len(data):
        segments = data[start + 26]
        size = 27 + segments + sum(data[start + 27 : start + 27 + segments])
        page = bytearray(data[start : start + size])
        (stored,) = struct.unpack_from("<I", page, 22)
        page[22:26] = b"\0\0\0\0"
        assert slow_crc(bytes(page)) == stored
        start, pages = start + size, pages + 1
    assert pages >= 3


def test_another_serial_number_leaves_the_sound_alone():
    import soundfile

    data = render.encode(tone(), 48_000, "a")
    one, rate = soundfile.read(io.BytesIO(data))
    other, _ = soundfile.read(io.BytesIO(set_serial(data, 7)))
    assert rate == 48_000 and np.array_equal(one, other) and len(one) == 48_000
    assert abs(np.sqrt(np.mean(one**2)) - 0.3 / np.sqrt(2)) < 0.01
    with pytest.raises(ValueError, match="no Ogg page"):
        set_serial(b"RIFF" + data, 7)


def test_another_sample_rate_is_resampled():
    import soundfile

    wave, rate = soundfile.read(io.BytesIO(render.encode(tone(), 24_000, "a")))
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
