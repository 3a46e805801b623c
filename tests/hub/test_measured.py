"""Tempo, key and loudness: of sounds whose own are known; facts that a search filters by."""

import json

import numpy as np
import pytest
import soundfile

from slapkit.cli import main
from slapkit.hub import measured, tagger
from slapkit.hub.heard import read_heard, table_path
from tests.hub.heard_sounds import UNUSABLE, write_sounds

RATE = 22_050


def _beat(bpm, seconds=20):
    time = np.arange(seconds * RATE) / RATE
    return 0.5 * np.exp(-30 * (time * bpm / 60 % 1)) * np.sin(2 * np.pi * 60 * time)


def _scale(tonic, steps, amplitude):
    """Return a scale up and down again, its tonic longest, with a triad below it."""
    notes, time = [*steps, 12, *steps[::-1]], np.arange(RATE // 2) / RATE
    lengths = [3 if step % 12 == 0 else 1 for step in notes]
    tones = [
        np.tile(np.sin(2 * np.pi * 440 * 2 ** ((tonic + step - 69) / 12) * time), n) for step, n in zip(notes, lengths)
    ]
    line = np.concatenate(tones)
    long = np.arange(len(line)) / RATE
    chord = sum(np.sin(2 * np.pi * 440 * 2 ** ((tonic - 12 + step - 69) / 12) * long) for step in (0, steps[2], 7))
    return amplitude * (line + 0.3 * chord) / 2


@pytest.mark.parametrize("bpm", [72, 90, 110, 125])
def test_the_tempo_of_a_beat_is_right_up_to_a_factor_of_two(tmp_path, bpm):
    soundfile.write(tmp_path / "beat.wav", _beat(bpm), RATE)
    found = measured.measure(tmp_path / "beat.wav")[0, 0]
    assert min(abs(found * factor / bpm - 1) for factor in (0.5, 1, 2)) < 0.04


@pytest.mark.parametrize(
    ("tonic", "steps", "key"),
    [(60, [0, 2, 4, 5, 7, 9, 11], "C major"), (66, [0, 2, 4, 5, 7, 9, 11], "F sharp major"),
     (62, [0, 2, 3, 5, 7, 8, 11], "D minor"), (70, [0, 2, 3, 5, 7, 8, 11], "B flat minor")],
)  # fmt: skip
@pytest.mark.parametrize("amplitude", [0.5, 0.005])
def test_keys_do_not_depend_on_the_level_and_loudness_is_the_level(tmp_path, tonic, steps, key, amplitude):
    wave = _scale(tonic, steps, amplitude)
    soundfile.write(tmp_path / "scale.wav", wave, RATE, subtype="FLOAT")
    found = measured._facts(*measured.measure(tmp_path / "scale.wav")[0].tolist())
    assert found["key"] == [key]
    assert found["loudness dB"] == [round(10 * np.log10(np.mean(wave**2)))]


@pytest.mark.slow
def test_a_folder_is_measured_once_and_filtered_by(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_sounds(tmp_path / "music")
    plain = tagger.hear(tmp_path / "music", progress=False)
    heard = tagger.hear(tmp_path / "music", measure=True, progress=False)
    assert {one.file for one in heard.failures} == UNUSABLE.keys()
    for now, then in zip(heard.tracks, plain.tracks, strict=True):
        assert now.source == then.source
        one, before = now.words, then.words
        assert {"bpm", "key", "loudness dB"} == one.facts.keys() - before.facts.keys()
        assert one.percentiles == before.percentiles
    monkeypatch.setattr(measured, "run_tasks", lambda *_, **__: pytest.fail("measured again"))
    assert main(["tag", "music", "--measure", "--json", "--quiet"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["facts"] for row in rows if "facts" in row] == [tagger.facts_of(one.words) for one in heard.tracks]
    kept = read_heard(table_path(tmp_path / "music"))
    assert tagger.hear(tmp_path / "music", progress=False).tracks == plain.tracks
    assert read_heard(table_path(tmp_path / "music")) == kept, "what was measured stays"
