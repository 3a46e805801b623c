"""What becomes of a library whose collection moves, or may not be read; and what is no part of a sound."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from slapkit.audio import decode, media
from slapkit.errors import LibraryError
from slapkit.hub import heard as heard_tables
from slapkit.models.weights import save_model
from slapkit.search import Library
from tests.audio.encoding import CODECS, encode, retagged
from tests.search.library_parts import make_model, sound, vectors

SHELF = {"jazz/a.wav": 1.0, "jazz/b.wav": 1.2, "folk/c.wav": 1.4, "d.wav": 1.6}
# Root may read every folder, unless that is taken from it.
MAY_NOT = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"] if os.geteuid() == 0 else []


def test_a_collection_that_moved_is_not_embedded_again(music, model, build, embedded, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notebooks").mkdir()  # the project, which keeps what was heard
    root, new = music(SHELF), tmp_path / "disk" / "collection"
    library = build(root)
    header, before = (library.out / "library.json").read_text(), vectors(library)
    row = {"file": "d.wav", "sha": library.entry("d.wav").sha, "facts": {"heard voice": ["none"]}}
    heard_tables.table_path(root).parent.mkdir(parents=True)
    heard_tables.table_path(root).write_text(json.dumps(row) + "\n")
    embedded.clear()
    new.parent.mkdir()
    shutil.copytree(root, new, copy_function=shutil.copyfile)  # other times
    shutil.rmtree(root)
    with pytest.raises(LibraryError, match="holds a library of folder"):
        build(new)
    (tmp_path / "other").mkdir()
    with pytest.raises(LibraryError, match="all 4 tracks"):
        build(tmp_path / "other", moved=True)
    with pytest.raises(LibraryError, match="of model"):
        build(new, moved=True, by=make_model(seed=1))
    assert (library.out / "library.json").read_text() == header
    moved = build(new, moved=True)
    assert moved.counts["unchanged"] == len(moved) == 4 and embedded == []
    assert all(np.array_equal(rows, before[id]) for id, rows in vectors(moved).items())
    again = Library.open(moved.out, model)
    assert again.path("jazz/a.wav") == new / "jazz/a.wav" and again.tracks.equals(moved.tracks)
    assert again.facets(1) == {} and again.search("x", where={"heard voice": "none"})["id"].tolist() == ["d.wav"]


@pytest.mark.parametrize("suffix", sorted(CODECS))
def test_tags_are_no_part_of_the_sound(tmp_path, suffix):
    path = encode(tmp_path / f"a{suffix}", sound(1, 2.0), tags={"title": "One"})
    other = encode(tmp_path / f"c{suffix}", sound(2, 2.0), tags={"title": "One"})
    tagged = retagged(path, tmp_path / f"b{suffix}", title="Another " * 30)
    assert (
        media.sound_digest(path) == media.sound_digest(tagged) != media.sound_digest(other)
        and len(media.sound_digest(path)) == 64
    )


@pytest.mark.parametrize("suffix", [".flac", ".mka", ".wav"])
def test_tags_in_another_encoding_hide_no_sound(tmp_path, suffix):
    path = encode(tmp_path / f"a{suffix}", sound(1, 2.0), tags={"title": "QQQQ"})
    digest, wave = media.sound_digest(path), decode.read(path, sample_rate=48000)
    plain = path.read_bytes()
    assert b"QQQQ" in plain
    path.write_bytes(plain.replace(b"QQQQ", b"\x82\x60\x82\xa9"))  # Shift-JIS
    assert media.sound_digest(path) == digest
    assert (decode.read(path, sample_rate=48000) == wave).all()


@pytest.mark.skipif(bool(MAY_NOT) and shutil.which("setpriv") is None, reason="root reads every folder")
def test_folders_that_may_not_be_read_are_listed_and_their_tracks_stay(music, build, tmp_path):
    modes = {"none": 0o000, "names": 0o444, "way": 0o111}
    root = music({f"{name}/a.wav": 1.0 for name in modes} | {"b.wav": 1.0})
    library = build(root)
    save_model(make_model().joint, tmp_path / "run", train={}, step=1)
    shell = ["library", str(root), "--model", str(tmp_path / "run"), "--out", str(library.out), "--quiet"]
    for name, mode in modes.items():
        (root / name).chmod(mode)
    done = subprocess.run([*MAY_NOT, sys.executable, "-m", "slapkit", *shell], capture_output=True, text=True)
    for name in modes:
        (root / name).chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert "(4 tracks: 4 unchanged, 3 failed)" in done.stdout
    for name in modes:
        assert f"not in it: {name}" in done.stdout


@pytest.mark.parametrize("buffered", ["", "1"])
def test_a_reader_that_has_enough_ends_a_command_quietly(tmp_path, buffered):
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": os.environ | {"PYTHONUNBUFFERED": buffered}}
    with subprocess.Popen([sys.executable, "-m", "slapkit", "runs", "--runs-dir", str(tmp_path)], **given) as process:
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == (b"", 0)
