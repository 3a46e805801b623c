"""Every format of the documentation's table is decoded; lengths are those of the sound, whatever a header says."""

import re
import struct
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from slapkit.audio import decode, features
from slapkit.audio.frontend import FRONTENDS
from slapkit.errors import AudioError
from tests.audio.encoding import CODECS, encode, write
from tests.audio.test_decode import loudest_hz, tone

RATE = 48000
LIGHT = FRONTENDS["light"].replace(min_s=1.0)
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "own-music.md"
TABLE = re.findall(r"^\| (.*) \| (`\.\w+`.*) \|$", PAGE.read_text(), re.MULTILINE)
NAMED = {suffix for _, names in TABLE for suffix in re.findall(r"\.\w+", names)}
TESTED = {suffix for words, names in TABLE if "not tested" not in words for suffix in re.findall(r"\.\w+", names)}


def changing(seconds, rate=RATE):
    """A tone that rises by 40 Hz a second: the pitch tells the place."""
    time = np.arange(round(seconds * rate)) / rate
    return (0.4 * np.sin(2 * np.pi * (300 + 20 * time) * time)).astype(np.float32)


def test_the_table_names_all_suffixes():
    assert set(decode.AUDIO_SUFFIXES) == NAMED and TESTED == set(CODECS)


@pytest.mark.parametrize("suffix", sorted(CODECS))
def test_a_format(tmp_path, suffix):
    path = encode(tmp_path / f"a{suffix}", np.stack([changing(6), np.zeros(6 * RATE)]))
    wave = decode.read(path, sample_rate=RATE)
    assert len(wave) / RATE == pytest.approx(6, abs=0.05)
    assert decode.duration_s(path) == pytest.approx(len(wave) / RATE, abs=0.05)
    assert np.abs(wave[5000:-5000]).max() == pytest.approx(0.2, abs=0.03), "the mean of a tone and silence"
    for start in (4.0, 0.0, 2.5):
        part = decode.read(path, sample_rate=RATE, start_s=start, duration_s=0.5)
        assert len(part) == RATE // 2 and loudest_hz(part, RATE) == pytest.approx(310 + 40 * start, abs=4)
        if CODECS[suffix][0] != "aac":  # whose noise is drawn anew
            whole = wave[round(start * RATE) :][: len(part)]
            assert np.abs(part - whole).max() < 1e-3, "the part is that of the whole"
    with pytest.raises(AudioError, match="nothing is left from 7.0 s"):
        decode.read(path, sample_rate=RATE, start_s=7.0)


def test_what_holds_no_sound_has_a_remedy(tmp_path):
    (tmp_path / "a.wma").write_bytes(b"this is no music" * 100)
    with pytest.raises(AudioError, match=r"a.wma cannot be decoded.*convert it \(`ffmpeg"):
        decode.read(tmp_path / "a.wma", sample_rate=RATE)
    with av.open(str(tmp_path / "film.mp4"), "w") as file:
        stream = file.add_stream("mpeg4", rate=24)
        stream.width = stream.height = 32
        file.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        file.mux(stream.encode(None))
    with pytest.raises(AudioError, match=r"film.mp4 holds no sound \(found: video\)"):
        decode.read(tmp_path / "film.mp4", sample_rate=RATE)


def test_a_playlist_opens_nothing_else(tmp_path):
    secret = encode(tmp_path / "secret.aac", tone(3, RATE))
    for text in (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{secret}\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile {secret}",
    ):
        (tmp_path / "a.m4a").write_text(text)
        with pytest.raises(AudioError, match="cannot be decoded"):
            decode.read(tmp_path / "a.m4a", sample_rate=RATE)


def _patched(path, place, value):
    data = bytearray(path.read_bytes())
    data[place : place + len(value)] = value
    path.write_bytes(data)
    return path


def _pipe(tmp_path, kind, claim):
    """A file whose header leaves its length open."""
    path = write(tmp_path / f"a.{kind}", changing(6), RATE)
    data = path.read_bytes()
    if kind == "flac":
        return _patched(path, 21, bytes([data[21] & 0xF0, 0, 0, 0, 0]))
    return _patched(path, data.index(b"data") + 4, struct.pack("<I", claim))


def _joined(tmp_path, name, **options):
    first, second = changing(6)[: 3 * RATE], changing(6)[3 * RATE :]
    parts = [write(tmp_path / f"part{i}{name[-4:]}", part, RATE, **options) for i, part in enumerate((first, second))]
    (tmp_path / name).write_bytes(b"".join(part.read_bytes() for part in parts))
    return tmp_path / name


def _without_table(tmp_path, wave):
    """A VBR file whose first frame, the Xing table, was taken away."""
    path = write(tmp_path / "a.mp3", wave, RATE, bitrate_mode="VARIABLE", compression_level=0.3)
    data = path.read_bytes()
    assert b"Xing" in data[:200]
    path.write_bytes(data[data.index(data[:2], 4) :])
    return path


OPEN = {
    "WAV, length 0": lambda p: _pipe(p, "wav", 0),
    "WAV, length 2**32-1": lambda p: _pipe(p, "wav", 2**32 - 1),
    "WAV, length of sox": lambda p: _pipe(p, "wav", 0x7FFFF000),
    "FLAC": lambda p: _pipe(p, "flac", 0),
    "chained Vorbis": lambda p: _joined(p, "a.ogg"),
    "chained Opus": lambda p: _joined(p, "a.opus", format="OGG", subtype="OPUS"),
    "joined MP3": lambda p: _joined(p, "a.mp3"),
    "MP3 without a table": lambda p: _without_table(p, changing(6)),
}


@pytest.mark.parametrize("made", OPEN.values(), ids=OPEN.keys())
def test_sound_is_decoded_to_its_end(tmp_path, made):
    path = made(tmp_path)
    wave = decode.read(path, sample_rate=RATE)
    assert len(wave) / RATE == pytest.approx(6, abs=0.13)
    assert decode.duration_s(path) == pytest.approx(len(wave) / RATE, abs=0.06)
    for start in (0.5, 5.0):
        part = wave[round(start * RATE) : round((start + 0.5) * RATE)]
        assert loudest_hz(part, RATE) == pytest.approx(310 + 40 * start, abs=6)
        alone = decode.read(path, sample_rate=RATE, start_s=start, duration_s=0.5)
        assert loudest_hz(alone, RATE) == pytest.approx(310 + 40 * start, abs=6)
    whole, length = features.extract(path, LIGHT), LIGHT.frames(1.0)
    last = features.window(path, LIGHT, length, features.PLACES - 1, name="a")
    bands = [x.astype(np.float32).mean(axis=0).argmax() for x in (last, whole[-length:], whole[:length])]
    assert bands[0] == bands[1] > bands[2], "the last window holds the highest tones"


def test_the_bit_rate_of_the_first_second_says_nothing(tmp_path):
    wave = np.concatenate([np.concatenate([np.zeros(2 * RATE), changing(3)]) for _ in range(4)]).astype(np.float32)
    wave[: 2 * RATE] += 0.1 * np.random.default_rng(0).standard_normal(2 * RATE)
    path = _without_table(tmp_path, wave)
    assert abs(soundfile.info(path).duration - 20) > 2, "libsndfile errs"
    assert len(decode.read(path, sample_rate=RATE)) / RATE == pytest.approx(20, abs=0.1)
    assert len(features.extract(path, LIGHT)) == pytest.approx(LIGHT.frames(20.0), abs=12)


@pytest.mark.parametrize("share", [0.3, 0.8])
@pytest.mark.parametrize(
    "suffix", ["wav", "aiff", "au", "caf", "w64", "flac", "ogg", "opus", "mp3", "wv", "wma", "mka"]
)
def test_files_cut_off_are_listed(tmp_path, suffix, share):
    noise = changing(10) + 0.05 * np.random.default_rng(0).standard_normal(10 * RATE).astype(np.float32)
    if suffix in ("wv", "wma", "mka"):
        path = encode(tmp_path / f"a.{suffix}", noise)
    else:
        options = {"format": "OGG", "subtype": "OPUS"} if suffix == "opus" else {}
        path = write(tmp_path / f"a.{suffix}", noise, RATE, **options)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(AudioError, match=r"a\.\w+ is cut off: .*(there|decoded|incomplete); fetch it again, or keep"):
        decode.read(path, sample_rate=RATE)


def test_a_little_less_than_promised_is_read(tmp_path):
    path = write(tmp_path / "a.wav", changing(10), RATE)
    path.write_bytes(path.read_bytes()[: -RATE // 2 * 2])  # half a second
    assert decode.read(path, sample_rate=RATE).shape == (round(9.5 * RATE),)
    path = encode(tmp_path / "a.wv", changing(10))
    path.write_bytes(path.read_bytes()[: int(0.95 * path.stat().st_size)])
    found = [features.window(path, LIGHT, LIGHT.frames(1.0), place, name="a") for place in (0, features.PLACES - 1)]
    assert not np.array_equal(*found), "windows come from what is there"


def test_a_file_whose_last_packet_is_cut_off_is_read_as_often_as_asked(tmp_path):
    path = encode(tmp_path / "a.aac", changing(0.15) + 0.05 * np.random.default_rng(0).standard_normal(7200))
    path.write_bytes(path.read_bytes()[:-196])
    with decode.opened(path) as file:
        first = file.read(sample_rate=RATE)
        assert len(first) > 0.1 * RATE and all(len(file.read(sample_rate=RATE)) == len(first) for _ in range(3))


def test_channels_that_cancel_out_are_named(tmp_path):
    stereo = np.stack([tone(2), -tone(2)])
    soundfile.write(tmp_path / "a.wav", stereo.T, 24000)
    words = "silent.* as mono: its channels, of peak 0.5, cancel out; take one of them"
    for look in (
        lambda: decode.read(tmp_path / "a.wav", sample_rate=24000, reject_silent=True),
        lambda: features.extract(stereo, LIGHT, sample_rate=24000),
        lambda: features.window(tmp_path / "a.wav", LIGHT, 20, 0, name="a"),
    ):
        with pytest.raises(AudioError, match=words):
            look()


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".m4a", ".mov", ".wma", ".wv", ".webm", ".mka", ".ogg"])
def test_damaged_bytes_give_sound_or_an_error_of_ours(tmp_path, suffix):
    made = write if suffix == ".ogg" else encode  # Vorbis
    path, rng = made(tmp_path / f"a{suffix}", tone(2, RATE), RATE), np.random.default_rng(0)
    good = path.read_bytes()
    for _ in range(20):
        bad = np.frombuffer(good, dtype=np.uint8).copy()
        reach = min(len(bad), int(rng.choice([64, 200, 1000, len(bad)])))
        bad[rng.integers(0, reach, rng.integers(1, 20))] = rng.integers(0, 256)
        path.write_bytes(bad.tobytes())
        for part in ({}, {"start_s": 1.5, "duration_s": 0.2}):
            try:
                assert np.isfinite(decode.read(path, sample_rate=RATE, **part)).all()
            except AudioError as error:
                assert path.name in str(error)
