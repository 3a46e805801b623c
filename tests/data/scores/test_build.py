"""The whole build: what a corpus holds, that it repeats, and that interruptions do no harm."""

import collections
import difflib
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from slapkit._io import atomic_write_json_lines
from slapkit.data import scores
from slapkit.data.scores import melody, soundfonts
from slapkit.data.scores.build import _JOURNAL, _resume
from slapkit.data.scores.convert import cache_path
from slapkit.data.scores.score import Score
from slapkit.data.scores.works import list_works
from slapkit.errors import ConfigError, DataError


def build(root: Path, fonts: dict, **values) -> Path:
    return scores.build(size="smoke", clips=40, root=root, progress=False, **fonts, **values)


def content(folder: Path) -> bytes:
    """The metadata, which hold a hash of each audio file."""
    assert scores.verify(folder) == [] and not list(folder.rglob("*.tmp"))
    return (folder / "metadata.jsonl").read_bytes()


def test_settings_are_checked_before_anything_is_built(tmp_path, fonts):
    for wrong in ({"size": "huge"}, {"clips": 3}, {"seed": -1}, {"sample_rate": 12}, {"workers": 0}, {"sise": "quick"}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            scores.build(root=tmp_path, **wrong)
    (tmp_path / "text.sf2").write_text("hello, this is text")
    for font in ("none.sf2", str(tmp_path / "text.sf2")):
        for values in ({"soundfonts": [font]}, {"unseen_soundfont": font}):
            with pytest.raises(DataError, match=font):
                scores.build("smoke", root=tmp_path / "data", **values)
    first = fonts["soundfonts"][0]
    copy = shutil.copy(first, tmp_path / "copy.sf2")
    twice = {"soundfonts": (first, first)}, {"soundfonts": (first,), "unseen_soundfont": str(copy)}
    for values, words in zip(twice, ("of one name", "training uses")):
        with pytest.raises(ConfigError, match=words):
            scores.build("smoke", root=tmp_path / "data", **values)
    assert not (tmp_path / "data").exists()


def test_soundfonts_are_found_where_they_are_installed_and_missed_elsewhere(tmp_path, fonts, monkeypatch):
    for name in ("XDG_DATA_HOME", "XDG_DATA_DIRS"):
        monkeypatch.setenv(name, str(tmp_path))
    alone = soundfonts.find_fonts(None, None)
    assert [path.name for path in alone.seen] == ["TimGM6mb.sf2"] and alone.unseen is None
    assert [word in " ".join(alone.missing) for word in ("fluid-soundfont-gm", "csound-soundfont")] == [True, True]
    assert not soundfonts.find_fonts(fonts["soundfonts"], "").missing, "what nobody asked for is not missed"
    (tmp_path / "soundfonts").mkdir()
    for name in (soundfonts.SEEN, soundfonts.UNSEEN):
        shutil.copy(fonts["unseen_soundfont"], tmp_path / "soundfonts" / name)
    found = soundfonts.find_fonts(None, None)
    assert [path.name for path in found.seen] == ["TimGM6mb.sf2", soundfonts.SEEN] and not found.missing
    assert found.unseen and found.unseen.name == soundfonts.UNSEEN
    assert soundfonts.find_fonts(None, "").unseen is None


def test_rows_are_read_whatever_a_title_holds(tmp_path):
    rows = [{"title": "a\x85b\u2028c"}, {"title": "d"}]
    atomic_write_json_lines(tmp_path / "metadata.jsonl", rows)
    assert scores.read_rows(tmp_path) == rows


@pytest.mark.slow
def test_a_corpus_is_what_its_card_says(small_corpus, fonts):
    rows = scores.read_rows(small_corpus)
    assert len(rows) == 44 and len({row["file_name"] for row in rows}) == 44
    assert collections.Counter(row["split"] for row in rows) == {"train": 31, "validation": 3, "test": 6, "shift": 4}
    for row in rows:
        info = soundfile.info(small_corpus / row["file_name"])
        assert (info.samplerate, info.channels, info.frames, info.subtype) == (32_000, 1, 320_000, "PCM_16")
        assert row["file_name"].split("/")[1] == row["split"]
        columns = ("captions", "caption_registers", "caption_frames", "caption_facts")
        assert {len(row[column]) for column in columns} == {18 if row["split"] == "train" else 10}
        wave, _ = soundfile.read(small_corpus / row["file_name"])
        assert np.isfinite(wave).all() and 0.01 < np.sqrt(np.mean(wave**2)) < 0.21 and np.abs(wave).max() <= 1.0
    assert content(small_corpus) and scores.is_complete(small_corpus)
    card = (small_corpus / "README.md").read_text()
    said = ("Source and terms", "may not be used commercially", "| shift | 4 |", "| unseen | 4 |")
    assert all(words in card for words in said)
    before = (small_corpus / "corpus.json").stat().st_mtime_ns
    started = time.monotonic()
    assert build(small_corpus.parent, fonts) == small_corpus and time.monotonic() - started < 2
    assert (small_corpus / "corpus.json").stat().st_mtime_ns == before, "a complete corpus returns at once"


@pytest.mark.slow
def test_the_shift_split_holds_test_clips_with_another_sound(small_corpus):
    rows = {row["file_name"]: row for row in scores.read_rows(small_corpus)}
    shifted = [row for row in rows.values() if row["split"] == "shift"]
    sound = {"file_name", "split", "soundfont", "room", "reverb_s", "tilt_db", "cutoff_hz", "noise_db"}
    sound |= {"peak_db", "rms_db", "bytes", "sha256"}
    ratios = []
    for row in shifted:
        twin = rows[row["file_name"].replace("shift", "test")]
        assert {k: v for k, v in row.items() if k not in sound} == {k: v for k, v in twin.items() if k not in sound}
        waves = [soundfile.read(small_corpus / found["file_name"])[0] for found in (row, twin)]
        ratios.append(np.divide(*map(centroid, waves)))
    assert np.median(ratios) > 1.25, "the unseen SoundFont of this test plays an octave higher"
    assert {row["soundfont"] for row in shifted} == {"unseen"}
    assert {row["soundfont"] for row in rows.values() if row["split"] != "shift"} == {"TimGM6mb", "second"}


def centroid(wave: np.ndarray) -> float:
    """Frequency in Hz around which the energy of a wave at 32 kHz lies."""
    energy = np.abs(np.fft.rfft(wave)) ** 2
    return float(np.average(np.fft.rfftfreq(len(wave), 1 / 32_000), weights=energy))


@pytest.mark.slow
def test_the_content_does_not_depend_on_workers_or_the_cache(small_corpus, fonts, tmp_path):
    assert content(build(tmp_path, fonts, workers=1)) == content(small_corpus)


@pytest.mark.slow
def test_lost_and_damaged_files_are_made_again(small_corpus, fonts, tmp_path):
    shutil.copytree(small_corpus.parent, tmp_path / "data")
    copy = tmp_path / "data" / small_corpus.name
    rows = scores.read_rows(copy)
    (copy / rows[0]["file_name"]).unlink()
    (copy / rows[-1]["file_name"]).unlink()  # of the split "shift"
    (copy / rows[1]["file_name"]).write_bytes(b"fLaC")
    kept = (copy / rows[5]["file_name"]).stat().st_mtime_ns
    for notes in list((tmp_path / "data" / ".notes").iterdir())[:3]:
        notes.write_bytes(notes.read_bytes()[:100])
    assert content(build(tmp_path / "data", fonts)) == content(small_corpus)
    assert (copy / rows[5]["file_name"]).stat().st_mtime_ns == kept


@pytest.mark.slow
def test_a_build_killed_again_and_again_completes_with_the_same_content(small_corpus, fonts, tmp_path):
    root = tmp_path / "data"
    code = "from slapkit.data import scores; scores.build(size='smoke', clips=40, root={!r}, progress=False, **{!r})"
    chance = random.Random(0)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-c", code.format(str(root), fonts)], env=environment)
        while not any(root.rglob("*.npz")) and process.poll() is None:
            time.sleep(0.05)
        time.sleep(chance.uniform(0.0, 2.0))
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert content(build(root, fonts)) == content(small_corpus)


def test_a_build_that_goes_on_shows_how_it_checks_what_is_there(tmp_path, monkeypatch, capsys):
    header, rows = {"identity": "of this build"}, [{"name": name, "facts": [{}]} for name in "abc"]
    atomic_write_json_lines(tmp_path / _JOURNAL, [header, *rows])

    def intact(*_):
        time.sleep(0.4)  # bars wait for a second
        return True

    monkeypatch.setattr(sys.modules[_resume.__module__], "_intact", intact)
    for progress in (False, True):
        assert len(_resume(tmp_path, header, progress)) == 3
        assert ("check clips" in capsys.readouterr().err) == progress


@pytest.mark.slow
def test_no_work_group_or_melody_is_in_two_splits(small_corpus):
    rows = scores.read_rows(small_corpus)
    for key in ("work", "group"):
        pairs = {(row[key], row["split"]) for row in rows if row["split"] != "shift"}
        assert len(pairs) == len({value for value, _ in pairs})
    works = {work.id: work for work in list_works()}
    lines = {}
    for name, split in {(row["work"], row["split"]) for row in rows if row["split"] != "shift"}:
        score = Score.read(cache_path(works[name], small_corpus.parent / ".notes"))
        lines[name] = split, ["".join(chr(1000 + s) for s in melody.steps(score, part)) for part in score.parts]
    # An independent look: no two works of different splits share a run of steps that is most of either melody.
    for (_, (a, one)), (_, (b, other)) in itertools.combinations(lines.items(), 2):
        if a == b:
            continue
        for x, y in itertools.product((s for s in one if len(s) > 12), (s for s in other if len(s) > 12)):
            match = difflib.SequenceMatcher(None, x, y, autojunk=False).find_longest_match()
            assert match.size < max(10, 0.5 * min(len(x), len(y)))
