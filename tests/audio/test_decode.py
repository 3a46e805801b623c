"""Decoding: what comes back is the sound, and what cannot be used says why."""

import sys

import numpy as np
import pytest

from slapkit.audio import decode
from slapkit.errors import AudioError, SlapkitError


def tone(seconds=1.0, rate=24000, frequency=440.0, level=0.5):
    return (level * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def loudest_hz(wave, rate):
    return np.abs(np.fft.rfft(wave * np.hanning(len(wave)))).argmax() * rate / len(wave)


def test_a_part_is_read_without_the_rest(sound, monkeypatch):
    import soundfile

    x = np.linspace(-0.5, 0.5, 24000 * 60, dtype=np.float32)
    path = sound("a.wav", x, subtype="FLOAT")
    decoded = []
    read = soundfile.SoundFile.read
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda self, n, **k: decoded.append(n) or read(self, n, **k))
    wave = decode.read(path, sample_rate=24000, start_s=12.5, duration_s=2.0)
    assert np.array_equal(wave, x[300000:348000])
    assert sum(decoded) == 48000
    assert len(decode.read(path, sample_rate=24000, start_s=59.5, duration_s=2.0)) == 12000, "what is there"
    with pytest.raises(AudioError, match="lasts 60.00 s: nothing is left from 60.0 s"):
        decode.read(path, sample_rate=24000, start_s=60.0)
    for bad in ({"start_s": -1.0}, {"duration_s": 0.0}, {"start_s": float("nan")}):
        with pytest.raises(AudioError, match="start >= 0 and length > 0"):
            decode.read(path, sample_rate=24000, **bad)


def test_missing_empty_folder_and_not_audio(tmp_path):
    with pytest.raises(AudioError, match="nothing.wav does not exist"):
        decode.read(tmp_path / "nothing.wav", sample_rate=24000)
    (tmp_path / "empty.wav").touch()
    with pytest.raises(AudioError, match=r"empty.wav is empty \(0 bytes\)"):
        decode.read(tmp_path / "empty.wav", sample_rate=24000)
    with pytest.raises(AudioError, match="is a folder"):
        decode.read(tmp_path, sample_rate=24000)
    with pytest.raises(AudioError, match="cannot be opened"):
        decode.read("a\0.wav", sample_rate=24000)
    for name in ("text.wav", "text.ogg", "text.mp3", "text"):
        (tmp_path / name).write_text("this is not audio\n" * 100)
        with pytest.raises(AudioError, match="cannot be decoded"):
            decode.read(tmp_path / name, sample_rate=24000)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite(sound, bad):
    x = tone()
    x[[1200, 5000]] = bad
    with pytest.raises(AudioError, match="2 NaN or infinite samples, the first at 0.050 s"):
        decode.read(sound("a.wav", x, subtype="FLOAT"), sample_rate=16000)


def test_absurd_levels_and_rates_of_damaged_headers(sound):
    with pytest.raises(AudioError, match=r"reaches 1e\+20"):
        decode.read(sound("a.wav", np.full(24000, 1e20, dtype=np.float32), subtype="FLOAT"), sample_rate=24000)
    for rate in (1, 999, 2_000_000):
        with pytest.raises(AudioError, match=f" {rate} "):
            decode.from_array(tone(), rate, 24000)


def test_silence_is_refused_on_request(sound):
    path = sound("a.wav", np.full(24000, 1e-5, dtype=np.float32), subtype="FLOAT")
    assert len(decode.read(path, sample_rate=24000)) == 24000
    with pytest.raises(AudioError, match="is silent"):
        decode.read(path, sample_rate=24000, reject_silent=True)


def test_arrays():
    x = tone()
    assert np.array_equal(decode.from_array(x, 24000, 24000), x)
    mixed = decode.from_array(np.stack([x, 0 * x]).astype(np.float64), 24000, 24000)
    assert mixed.dtype == np.float32 and np.allclose(mixed, x / 2)
    half = decode.from_array(x, 24000, 16000)
    assert len(half) == 16000 and loudest_hz(half[1000:], 16000) == pytest.approx(440, abs=1)
    result = decode.from_array(x, 24000, 24000)
    result[:] = 0
    assert x.any(), "the input stays as it is"


@pytest.mark.parametrize(
    ("array", "rate", "words"),
    [
        (np.zeros(10, dtype=np.int16), 24000, "type int16"),
        (np.zeros(10, dtype=complex), 24000, "type complex"),
        (np.zeros((2, 3, 4)), 24000, r"shape \[2, 3, 4\]"),
        (np.float64(1.0), 24000, r"shape \[\]"),
        (np.zeros((480, 2)), 24000, "more channels than samples"),
        (np.zeros(0), 24000, "zero length"),
        (np.zeros((2, 0)), 24000, "zero length"),
        (np.full(10, np.nan), 24000, "10 NaN"),
        (np.zeros(10), 0, "sample_rate=0"),
        (np.zeros(10), 44100.5, "sample_rate=44100.5"),
        (np.zeros(10), None, "sample_rate=None"),
    ],
)
def test_arrays_that_cannot_be_used(array, rate, words):
    with pytest.raises(AudioError, match=words):
        decode.from_array(array, rate, 24000)


def test_without_soundfile_the_package_is_named(sound, monkeypatch):
    path = sound("a.wav", tone())
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(SlapkitError, match="the package 'soundfile' is needed.*pip install soundfile") as caught:
        decode.read(path, sample_rate=24000)
    assert not isinstance(caught.value, AudioError), "a clip is not to blame, so it must not be skipped"
