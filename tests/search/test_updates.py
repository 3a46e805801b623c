"""A library follows its folder: what is new is embedded once, what fails is listed, what was killed goes on."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile

from slapkit.audio import features
from slapkit.data import read
from slapkit.data.scan import scan, tags
from slapkit.errors import LibraryError, StorageError
from slapkit.models.embed import Embedder
from slapkit.search import Library, store
from tests.search.library_parts import RATE, sound


@pytest.fixture
def embedded(monkeypatch):
    """The names of the files that were embedded, in order, from the folder "music" or "set" on."""
    names, embed = [], Embedder.embed

    def counting(self, paths, hashes=None):
        names.extend(re.split("/(?:music|set)/", path.as_posix())[-1] for path in paths)
        return embed(self, paths, hashes)

    monkeypatch.setattr(Embedder, "embed", counting)
    return names


def vectors(library: Library) -> dict[str, np.ndarray]:
    store = library._store
    return {id: store.vectors_of(entry.first, entry.windows) for id, entry in sorted(store.entries.items())}


def assert_same(library: Library, other: Library) -> None:
    """Compare libraries by what they hold; where rows lie in the files does not matter."""
    a, b = vectors(library), vectors(other)
    assert list(a) == list(b)
    for id in a:
        np.testing.assert_allclose(a[id], b[id], atol=1e-5)  # other windows beside it in the batch
    assert library.tracks.equals(other.tracks)
    np.testing.assert_allclose(
        library.search("flute", k=99).attrs["scores"], other.search("flute", k=99).attrs["scores"], atol=1e-5
    )


def test_a_library_follows_its_folder(music, model, tmp_path, embedded):
    root = music({"a.wav": 1.0, "sub/b.flac": 2.5, "c.wav": 3.0, "d.wav": 1.2})
    library = Library.build(root, model, out=tmp_path / "out", progress=False)
    assert embedded == ["a.wav", "c.wav", "d.wav", "sub/b.flac"] and len(library) == 4
    before = vectors(library)
    embedded.clear()
    nothing = {"added": 0, "changed": 0, "removed": 0, "unchanged": 4, "failed": 0}
    assert library.update(progress=False) == nothing and embedded == []

    (root / "c.wav").unlink()  # removed
    os.utime(root / "a.wav", (1, 1))  # touched: the same content
    shutil.move(root / "sub" / "b.flac", root / "moved.flac")
    soundfile.write(root / "d.wav", sound(99, 2.2), RATE)  # changed
    soundfile.write(root / "E.WAV", sound(98, 1.0), RATE)  # new
    (root / "broken.mp3").write_bytes(b"this is not music at all" * 100)
    counts = library.update(progress=False)
    assert counts == {"added": 2, "changed": 1, "removed": 2, "unchanged": 1, "failed": 1}
    assert embedded == ["E.WAV", "broken.mp3", "d.wav"], "what was touched or moved is not embedded again"
    after = vectors(library)
    assert list(after) == ["E.WAV", "a.wav", "d.wav", "moved.flac"] == list(library.tracks["id"])
    np.testing.assert_array_equal(after["a.wav"], before["a.wav"])
    np.testing.assert_array_equal(after["moved.flac"], before["sub/b.flac"])
    assert len(after["d.wav"]) == 3 and library.path("moved.flac").exists()
    (failure,) = library.failures.to_dict("records")
    assert failure["file"] == "broken.mp3" and "cannot be decoded" in failure["reason"]
    assert_same(library, Library.build(root, model, out=tmp_path / "fresh", progress=False))
    assert_same(library, Library.open(tmp_path / "out", model))

    soundfile.write(root / "broken.wav", sound(97, 1.0), RATE)
    (root / "broken.mp3").unlink()
    assert library.update(progress=False)["failed"] == 0 and library.failures.empty
    (root / "d.wav").write_bytes(b"RIFF broken")
    counts = library.update(progress=False)
    assert counts["failed"] == counts["removed"] == 1 and "d.wav" not in set(library.tracks["id"])


def test_rows_that_nobody_needs_go_at_last(music, model, tmp_path):
    root = music({f"{i}.wav": 2.0 for i in range(8)})
    library = Library.build(root, model, out=tmp_path / "out", progress=False)
    reader = Library.open(tmp_path / "out", model)
    expected = reader.search("flute")
    for i in range(4):
        (root / f"{i}.wav").unlink()
        library.update(progress=False)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert "windows-0.f32" not in names and sum(name.startswith("windows-") for name in names) == 1
    assert library._store.rows == sum(e.windows for e in library._store.entries.values()) + 2
    assert_same(library, Library.open(tmp_path / "out", model))
    assert reader.search("flute").equals(expected), "who had the library open keeps what was there"


def test_captions_and_facts_of_a_table_are_read_again(table, model, tmp_path, embedded):
    root = tmp_path / "set"
    shutil.copytree(table, root)
    library = Library.build(root, model, out=tmp_path / "out", progress=False)
    embedded.clear()
    rows = [json.loads(line) for line in (root / "metadata.jsonl").read_text().splitlines()]
    rows[0] |= {"captions": ["new words"], "style": "hornpipe", "weird": float("nan"), "title": ""}
    rows[1]["file_name"] = "../outside.ogg"
    del rows[2]
    (root / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    counts = library.update(progress=False)
    assert counts["removed"] == 2 and counts["failed"] == 1 and embedded == []
    track = library.tracks.set_index("id").loc["audio/00.ogg"]
    assert (track["captions"], track["style"], track["title"]) == (["new words"], "hornpipe", "00")
    assert "weird" in library.tracks and library.tracks["weird"].isna().all()
    assert library.failures["file"].tolist() == ["../outside.ogg"]
    assert library.failures["reason"].tolist() == ["line 2 of the table: the path leaves the folder"]


def test_any_kind_of_file_with_its_tags(tmp_path, model):
    root = tmp_path / "music"
    root.mkdir()
    vorbis, opus = ("OGG", "VORBIS"), ("OGG", "OPUS")
    kinds = {".wav": ("WAV", "PCM_16"), ".FLAC": ("FLAC", "PCM_16"), ".ogg": vorbis, ".oga": vorbis}
    kinds |= {".opus": opus, ".Mp3": ("MP3", "MPEG_LAYER_III")}
    hostile = "<script>alert(1)</script>\u202e\U0001f3b5 " + "x" * 5000
    for number, (suffix, (kind, subtype)) in enumerate(kinds.items()):
        with soundfile.SoundFile(root / f"t{number}{suffix}", "w", 24000, 1, subtype, format=kind) as file:
            file.title, file.artist, file.date = hostile, f"Artist {number % 2}", "1987-05-01"
            file.write(sound(number, 1.5))
    (root / "notes.txt").write_text("no sound")
    (root / "._t0.wav").write_bytes(b"left by another system")
    library = Library.build(root, model, out=tmp_path / "out", progress=False)
    assert len(library) == 6 and library.failures.empty
    tracks = library.tracks.set_index("id")
    assert tracks["title"].map(len).max() <= 1000 and tracks.loc["t1.FLAC", "title"].startswith("<script>")
    assert tracks.loc["t1.FLAC", "artist"] == "Artist 1" and tracks.loc["t2.ogg", "year"] == 1987
    assert dict(library.facets()["artist"]) == {"Artist 0": 3, "Artist 1": 3}
    for id in tracks.index:
        data, mime = library.sound(id)
        assert data == (root / id).read_bytes() and mime.startswith("audio/")
    (root / "plain.wav").write_bytes((root / "t0.wav").read_bytes()[:100])
    assert tags(root / "plain.wav").get("album") is None and tags(root / "notes.txt") == {}


def test_what_is_not_let_in(tmp_path, model):
    root, outside = tmp_path / "music", tmp_path / "outside"
    (root / "sub").mkdir(parents=True)
    outside.mkdir()
    soundfile.write(outside / "secret.wav", sound(1), RATE)
    soundfile.write(root / "sub" / "fine.wav", sound(2), RATE)
    (root / "link.wav").symlink_to(outside / "secret.wav")
    (root / "folder").symlink_to(outside)
    (root / "inside.wav").symlink_to(root / "sub" / "fine.wav")
    (root / "nowhere.wav").symlink_to(root / "missing.wav")
    (root / "empty.wav").touch()
    (root / "dir.wav").mkdir()
    soundfile.write(root / "silent.wav", np.zeros(RATE), RATE)
    with open(os.fsencode(root) + b"/caf\xe9.wav", "wb") as file:
        file.write(b"x")
    sources, failures = scan(root)
    assert [source.id for source in sources] == ["inside.wav", "silent.wav", "sub/fine.wav"]
    reasons = {failure.file: failure.reason for failure in failures}
    assert reasons.keys() == {"link.wav", "folder", "nowhere.wav", "empty.wav", "caf\\udce9.wav"}
    assert "leaves the folder" in reasons["link.wav"] and "leaves the folder" in reasons["folder"]
    assert "No such file" in reasons["nowhere.wav"] and "0 bytes" in reasons["empty.wav"]
    library = Library.build(root, model, out=tmp_path / "out", progress=False)
    assert len(library) == 2 and "silent" in library.failures.set_index("file").loc["silent.wav", "reason"]
    (root / "inside.wav").unlink()
    (root / "inside.wav").symlink_to(outside / "secret.wav")  # afterwards: the library knows the id
    with pytest.raises(LibraryError, match="outside"):
        library.sound("inside.wav")


def test_a_cut_anywhere_in_the_files_is_mended(music, model, tmp_path, embedded):
    root = music({f"{i}.wav": 1.0 + i / 2 for i in range(4)})
    whole = Library.build(root, model, out=tmp_path / "whole", progress=False)
    journal, rows = (tmp_path / "whole" / name for name in ("tracks-0.jsonl", "windows-0.f32"))
    rng = np.random.default_rng(0)
    size = journal.stat().st_size
    for cut in [0, 1, size - 1, *rng.integers(0, size, 5)]:
        out = tmp_path / f"cut-{cut}"
        shutil.copytree(tmp_path / "whole", out)
        kept = journal.read_bytes()[:cut]
        (out / "tracks-0.jsonl").write_bytes(kept + rng.choice([b"", b"\x00\x00", b'{"id":'], 1)[0])
        with open(out / "windows-0.f32", "ab") as file:  # rows whose line was never written, and half a row
            file.write(rows.read_bytes()[: 4 * 32 * 3 + 7])
        assert len(Library.open(out, model)) == kept.count(b"\n")
        embedded.clear()
        library = Library.build(root, model, out=out, progress=False)
        assert len(embedded) == 4 - kept.count(b"\n")
        assert_same(library, whole)
    out = tmp_path / "rows"
    shutil.copytree(tmp_path / "whole", out)
    with open(out / "windows-0.f32", "r+b") as file:
        file.truncate(4 * 32 * 3)
    assert_same(Library.build(root, model, out=out, progress=False), whole)


def test_a_compaction_that_was_cut_off_leaves_the_library(music, model, tmp_path, monkeypatch):
    root = music({f"{i}.wav": 2.0 for i in range(4)})
    library = Library.build(root, model, out=tmp_path / "out", progress=False)
    (root / "0.wav").unlink()
    (root / "1.wav").unlink()

    write = store.atomic_write_json
    monkeypatch.setattr(store, "atomic_write_json", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        library.update(progress=False)
    monkeypatch.setattr(store, "atomic_write_json", write)
    assert (tmp_path / "out" / "windows-1.f32").exists()
    opened = Library.open(tmp_path / "out", model)
    assert list(opened.tracks["id"]) == ["2.wav", "3.wav"]
    opened.update(progress=False)
    assert_same(opened, Library.build(root, model, out=tmp_path / "fresh", progress=False))
    assert [p.name for p in (tmp_path / "out").glob("windows-*")] == ["windows-1.f32"]


def test_features_that_training_kept_are_used(table, model, tmp_path, monkeypatch):
    features.build(
        read(table).audio_files(), model.config.audio.frontend, tmp_path / "cache", progress=False, workers=1
    )
    computed, extract = [], features.extract
    monkeypatch.setattr(features, "extract", lambda path, *rest: computed.append(path) or extract(path, *rest))
    plain = Library.build(table, model, out=tmp_path / "plain", progress=False)
    assert len(computed) == 24
    cached = Library.build(table, model, out=tmp_path / "cached", cache_dir=tmp_path / "cache", progress=False)
    assert len(computed) == 24
    assert_same(plain, cached)


def test_long_files_are_embedded_in_pieces(music, model, tmp_path, monkeypatch):
    root = music({"long.wav": 13.7})
    whole = vectors(Library.build(root, model, out=tmp_path / "whole", progress=False))["long.wav"]
    monkeypatch.setattr("slapkit.audio.features.LONG_S", 5.0)
    monkeypatch.setattr("slapkit.audio.features.PIECE_S", 2.0)
    pieces = vectors(Library.build(root, model, out=tmp_path / "pieces", progress=False))["long.wav"]
    assert whole.shape == pieces.shape == (14, 32) and (whole * pieces).sum(axis=1).min() > 0.999


def test_overlapping_windows(music, model, tmp_path):
    root = music({"a.wav": 3.0})
    library = Library.build(root, model, out=tmp_path / "out", hop_s=0.5, progress=False)
    assert len(vectors(library)["a.wav"]) == 5
    starts = {library.search(library._ranking.windows(0)[i])["window_start_s"][0] for i in range(5)}
    np.testing.assert_allclose(sorted(starts), [0, 0.5, 1.0, 1.5, 2.0], atol=0.021)


def test_a_full_disk_is_named_and_nothing_is_lost(music, model, tmp_path, monkeypatch):
    def full(_handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    root = music({"a.wav": 1.0, "b.wav": 1.0})
    library = Library.build(root, model, out=tmp_path / "out", progress=False)
    soundfile.write(root / "c.wav", sound(7), RATE)
    with monkeypatch.context() as patch, pytest.raises(StorageError, match="no space left"):
        patch.setattr(os, "fsync", full)
        library.update(progress=False)
    assert len(Library.open(tmp_path / "out", model)) in (2, 3)
    library.update(progress=False)
    assert_same(library, Library.build(root, model, out=tmp_path / "fresh", progress=False))


@pytest.mark.parametrize("change", [{"format": 9}, {"extra": 1}, "{", "[]"])
def test_headers_are_checked(music, model, tmp_path, change):
    Library.build(music({"a.wav": 1.0}), model, out=tmp_path / "out", progress=False)
    path = tmp_path / "out" / "library.json"
    path.write_text(change if isinstance(change, str) else json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(LibraryError, match="library.json"):
        Library.open(tmp_path / "out")


def test_one_process_writes_and_others_wait(music, model, tmp_path):
    root = music({f"{i}.wav": 1.0 for i in range(6)})
    with ThreadPoolExecutor(3) as pool:
        made = list(pool.map(lambda _: Library.build(root, model, out=tmp_path / "out", progress=False), range(3)))
    assert sorted(library.counts["added"] for library in made) == [0, 0, 6]
    lines = (tmp_path / "out" / "tracks-0.jsonl").read_text().splitlines()
    assert len(lines) == 6
    for library in made[1:]:
        assert_same(library, made[0])
