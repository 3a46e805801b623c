"""A seeded generator of damaged and hostile files and tables: what goes in = what is used + what is listed.

With the 500 tables of `test_tables.py` they are over 1,000; all with --slow, every fifth without.
"""

import json
import random

import numpy as np
import pytest

from slapkit.audio import features
from slapkit.audio.frontend import FRONTENDS
from slapkit.data import read, write_webdataset
from slapkit.data.scan import scan
from slapkit.errors import DataError
from tests.audio.encoding import CODECS, encode

LIGHT = FRONTENDS["light"].replace(min_s=0.5)
RATE = 48000


def _flipped(data, rng, reach, count):
    data = bytearray(data)
    for _ in range(count):
        at = rng.randrange(min(reach, len(data)))
        data[at] ^= 1 << rng.randrange(8)
    return bytes(data)


def _lengths(data, rng):
    """Put a length that is none over four bytes of the header."""
    at = rng.randrange(4, min(100, len(data) - 4))
    value = rng.choice([0, 1, 2**31 - 1, 2**31, 2**32 - 1, rng.randrange(2**32)])
    return data[:at] + value.to_bytes(4, rng.choice(["little", "big"])) + data[at + 4 :]


SOUND_HARM = {
    "cut": lambda data, rng: data[: rng.randrange(1, len(data))],
    "cut in the header": lambda data, rng: data[: rng.randrange(1, 64)],
    "begun late": lambda data, rng: data[rng.randrange(1, len(data)) :],
    "bits of the header": lambda data, rng: _flipped(data, rng, 120, rng.randrange(1, 4)),
    "bits of the sound": lambda data, rng: _flipped(data, rng, len(data), rng.randrange(1, 60)),
    "lengths": _lengths,
    "lengths again": lambda data, rng: _lengths(_lengths(data, rng), rng),
    "emptied": lambda data, rng: b"",
    "zeros": lambda data, rng: bytes(len(data)),
    "a hole": lambda data, rng: data[: len(data) // 2] + bytes(len(data) // 4) + data[3 * len(data) // 4 :],
    "junk before": lambda data, rng: rng.randbytes(rng.randrange(1, 500)) + data,
    "junk after": lambda data, rng: data + rng.randbytes(rng.randrange(1, 5000)),
    "twice": lambda data, rng: data + data,
    "text": lambda data, rng: rng.choice([b"<html>404</html>", b"version https://git-lfs.github.com/spec/v1\n"]),
    "begins alone": lambda data, rng: data[:16] + rng.randbytes(2000),
    "as it is": lambda data, rng: data,
}


def damaged_sounds(folder, good):
    """Write a file of each format and harm, and one more of each under the suffix of another format."""
    rng = random.Random(0)
    for suffix, data in good.items():
        for number, harm in enumerate(SOUND_HARM.values()):
            named = rng.choice([*CODECS]) if number == len(SOUND_HARM) - 1 else suffix
            (folder / f"{suffix[1:]}-{number:02}{named}").write_bytes(harm(data, rng))


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    place, noise = tmp_path_factory.mktemp("good"), 0.1 * np.random.default_rng(0).standard_normal(RATE // 2)
    return {suffix: encode(place / f"a{suffix}", noise).read_bytes() for suffix in CODECS}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.slow) for part in range(1, 5))])
def test_damaged_sounds_are_used_or_listed(good, tmp_path, part):
    music = tmp_path / "music"
    music.mkdir()
    damaged_sounds(music, {suffix: data for n, (suffix, data) in enumerate(good.items()) if n % 5 == part})
    written = {path.name for path in music.iterdir()}
    sources, failures = scan(music)
    found = {source.id for source in sources}
    assert found | {failure.file for failure in failures} == written and not found & {f.file for f in failures}
    sounds = {source.id: (source.path, source.id) for source in sources}
    store = features.build(sounds, LIGHT, tmp_path / "cache", workers=1, progress=False)
    assert {*store.ids} | store.failures.keys() == found, "used or listed"
    assert all(np.isfinite(store.row(row)).all() and store.lengths[row] for row in range(len(store)))
    assert all(reason and str(music) not in reason for reason in store.failures.values())
    assert len(store) >= len(written) / 8, "good ones and slightly damaged ones are there"


def _row(i, rng):
    return {"file_name": f"{i:02}.wav", "caption": f"number {i:02} plays", "split": rng.choice(["train", "test"])}


ROW_HARM = {
    "a key twice": lambda row, rng: row[:-1] + f', "caption": "{rng.random()}"}}',
    "a file twice": lambda row, rng: '{"file_name": "../x.wav", ' + row[1:],
    "a key but for blanks": lambda row, rng: row[:-1] + ', " caption ": "again"}',
    "cut": lambda row, rng: row[: rng.randrange(1, len(row))],
    "two on a line": lambda row, rng: row + row,
    "a comma": lambda row, rng: row + ",",
    "single quotes": lambda row, rng: row.replace('"', "'"),
    "NaN": lambda row, rng: row.replace('"number', 'NaN, "x": "number'),
    "a number": lambda row, rng: row[: row.index('"number')] + "7}",
    "huge": lambda row, rng: row.replace("plays", "y" * 50_000),
    "huge number": lambda row, rng: row[:-1] + ', "n": ' + "9" * 5000 + "}",
    "deep": lambda row, rng: row[:-1] + ', "n": ' + "[" * 5000 + "]" * 5000 + "}",
    "NUL": lambda row, rng: row.replace("plays", "pl\0ays"),
    "written NUL": lambda row, rng: row.replace("plays", "\\u0000plays"),
    "surrogate": lambda row, rng: row.replace(".wav", "\\ud800.wav"),
    "bytes": lambda row, rng: row.encode() + bytes(rng.choices(range(128, 256), k=3)),
    "no caption": lambda row, rng: row.replace('"caption"', '"c"'),
    "an object for a name": lambda row, rng: row.replace('"file_name": ', '"file_name": {"a": 1}, "f": '),
    "nothing": lambda row, rng: rng.choice(["null", "[]", "7", '""', "{}", "\ufeff{}"]),
    "controls": lambda row, rng: row.replace("plays", "\x1b[31mplays"),
}  # fmt: skip


@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.slow) for part in range(1, 5))])
def test_damaged_json_lines_are_used_or_listed(tmp_path, part):
    for i in range(20):
        (tmp_path / f"{i:02}.wav").write_bytes(b"RIFF")
    for seed in range(part, 100, 5):
        rng = random.Random(seed)
        lines = [json.dumps(_row(i, rng)) for i in range(20)]
        whole = list(lines)
        for at in rng.sample(range(20), rng.randrange(1, 12)):
            lines[at] = ROW_HARM[rng.choice([*ROW_HARM])](lines[at], rng)
        data = [line if isinstance(line, bytes) else line.encode() for line in lines]
        (tmp_path / "metadata.jsonl").write_bytes(b"\n".join(data))
        try:
            dataset = read(tmp_path)
        except DataError as error:
            raise AssertionError(f"{seed}: some rows are whole") from error
        dataset.summary()
        used = {clip.id: clip.captions for clip in dataset}
        listed = {problem.row for problem in dataset.problems}
        for i, line in enumerate(lines):
            same = used.get(f"{i:02}.wav") == (f"number {i:02} plays",)
            assert same or i + 1 in listed, (seed, line[:200])
            assert line != whole[i] or (same and i + 1 not in listed), (seed, line[:200])


def test_damaged_tars_are_used_or_listed(good, tmp_path):
    sounds, folder = tmp_path / "sounds", tmp_path / "tars"
    sounds.mkdir()
    for i in range(6):
        (sounds / f"{i}.flac").write_bytes(good[".flac"] + bytes([i]))
    rows = [{"file_name": f"{i}.flac", "caption": f"number {i}", "split": "train"} for i in range(6)]
    (sounds / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tar,) = write_webdataset(read(sounds), folder)
    whole, rng = tar.read_bytes(), random.Random(0)
    for _ in range(8):
        for harm in SOUND_HARM.values():
            tar.write_bytes(harm(whole, rng))
            try:
                dataset = read(folder)
            except DataError as error:
                assert str(folder) in str(error)
                continue
            captions = [text for clip in dataset for text in clip.captions]
            assert len(set(captions)) == len(captions) == 6 or dataset.problems
            assert all(len(key) == 64 for key in dataset.audio_hashes(progress=False))
