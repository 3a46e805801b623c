"""A library follows its folder: what is new is embedded once, what fails is listed, what was killed goes on."""

import errno
import io
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from slapkit.audio import features
from slapkit.data import read
from slapkit.data.scan import tags
from slapkit.errors import LibraryError, StorageError
from slapkit.hub.embed import embed_collection
from slapkit.search import Library, following
from slapkit.search.results import text_lines
from slapkit.viz.widgets.base import card
from tests.audio.encoding import encode, retagged
from tests.search.library_parts import RATE, sound, vectors


def assert_same(library: Library, other: Library) -> None:
    """Compare libraries by what they hold; where rows lie in the files does not matter."""
    assert library.tracks.equals(other.tracks)
    for a, b in zip(vectors(library).values(), vectors(other).values(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)  # other windows beside it in the batch
    np.testing.assert_allclose(library._store.halves(), library._store.vectors(), atol=1e-3)


def test_a_library_follows_its_folder(music, model, build, tmp_path, embedded):
    root = music({"a.wav": 1.0, "sub/b.flac": 2.5, "c.wav": 3.0, "d.wav": 1.2})
    library = build(root)
    assert embedded == ["a.wav", "c.wav", "d.wav", "b.flac"] and len(library) == 4
    before, reader = vectors(library), Library.open(tmp_path / "out", model)
    shown = reader.search("flute")
    embedded.clear()
    nothing = {"added": 0, "changed": 0, "removed": 0, "unchanged": 4, "failed": 0}
    assert library.update(progress=False) == library.counts == nothing and embedded == []

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
    for old, new in (("a.wav", "a.wav"), ("sub/b.flac", "moved.flac")):
        np.testing.assert_array_equal(after[new], before[old])
    (failure,) = library.failures.to_dict("records")
    assert failure["file"] == "broken.mp3" and "cannot be decoded" in failure["reason"]
    assert_same(library, build(root, "fresh"))
    assert_same(library, Library.open(tmp_path / "out", model))
    assert reader.search("flute").equals(shown), "who had the library open keeps what was there"

    (root / "broken.mp3").unlink()
    assert library.update(progress=False)["failed"] == 0 and library.failures.empty
    (root / "d.wav").write_bytes(b"RIFF broken")
    counts = library.update(progress=False)
    assert counts["failed"] == counts["removed"] == 1 and "d.wav" not in set(library.tracks["id"])


def test_what_is_gone_at_once_is_asked_about(music, build, embedded):
    root = music({"one/a.wav": 1.0, "one/b.wav": 1.2, "two/c.wav": 1.4, "two/d.wav": 1.1})
    library = build(root)
    held, away = vectors(library), root.parent / "away"
    shutil.copytree(root / "two", away)
    for path in (root / "two").iterdir():  # an empty mount point
        path.unlink()
    with pytest.raises(LibraryError, match=r"all 2 tracks of .*two.*--forget-missing"):
        library.update(progress=False)
    assert list(vectors(build(root, forget_missing=True))) == ["one/a.wav", "one/b.wav"]
    for path in away.iterdir():
        shutil.copy2(path, root / "two" / path.name)
    library.update(progress=False)
    embedded.clear()
    (root / "two" / "d.wav").unlink()
    shutil.move(root / "two" / "c.wav", root / "one" / "c.wav")  # which leaves an empty folder
    assert library.update(progress=False)["removed"] == 2 and embedded == []
    np.testing.assert_allclose(vectors(library)["one/c.wav"], held["two/c.wav"], atol=1e-5)  # embedded twice
    for path in (root / "one").iterdir():
        path.unlink()
    with pytest.raises(LibraryError, match="all 3 tracks"):
        library.update(progress=False)
    shutil.rmtree(root / "one")
    (root / "new.wav").write_bytes((away / "c.wav").read_bytes())  # an album that was deleted with its folder
    assert library.update(progress=False)["removed"] == 3


@pytest.mark.parametrize("suffix", [".flac", ".mp3", ".m4a", ".ogg"])
def test_other_tags_embed_nothing_anew(music, build, embedded, tmp_path, suffix):
    root = music({})
    encode(root / f"a{suffix}", sound(3, 1.5), RATE)
    library = build(root)
    before = vectors(library)
    embedded.clear()
    retagged(root / f"a{suffix}", tmp_path / f"b{suffix}", title="Another name")
    (tmp_path / f"b{suffix}").replace(root / f"a{suffix}")
    assert library.update(progress=False)["changed"] == 1 and embedded == []
    assert list(library.tracks["title"]) == ["Another name"]
    np.testing.assert_array_equal(vectors(library)[f"a{suffix}"], before[f"a{suffix}"])


def test_captions_and_facts_of_a_table_are_read_again(table, build, tmp_path, embedded):
    root = shutil.copytree(table, tmp_path / "set")
    library = build(root)
    embedded.clear()
    rows = [json.loads(line) for line in (root / "metadata.jsonl").read_text().splitlines()]
    rows[0] |= {"captions": ["new words"], "style": "hornpipe", "weird": float("nan"), "title": ""}
    rows[1]["file_name"] = "../outside.ogg"
    del rows[2]
    (root / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    counts = library.update(progress=False)
    assert counts["removed"] == 2 and counts["failed"] == 3 and embedded == []
    track = library.tracks.set_index("id").loc["audio/00.ogg"]
    assert (track["captions"], track["style"], track["title"]) == (["new words"], "hornpipe", "00")
    assert library.tracks["weird"].isna().all()
    assert library.failures["file"].tolist() == ["../outside.ogg", "audio/01.ogg", "audio/02.ogg"]
    assert "line 2" in library.failures["reason"][0] and "no row" in library.failures["reason"][1]


def test_tags_say_what_a_table_does_not(build, tmp_path, embedded, monkeypatch):
    root = tmp_path / "set"
    root.mkdir()
    for number, name in enumerate(("0012", "0013", "0014")):
        own = {"title": f"Song {number}", "artist": "Ada", "genre": "folk"}
        encode(root / f"{name}.m4a", sound(number, 2.0), RATE, tags=own if number < 2 else {})
    rows = ["file_name;caption;title;artist", "0012.m4a;slow;;", "0013.m4a;fast;Mine;Bea", "0014.m4a;loud;;"]
    (root / "metadata.csv").write_text("\n".join(rows))
    known = build(root).tracks.set_index("id")
    assert known["title"].tolist() == ["Song 0", "Mine", "0014"]
    assert known["artist"].tolist()[:2] == ["Ada", "Bea"] and known["genre"].tolist()[:2] == ["folk", "folk"]
    embedded.clear()
    monkeypatch.setattr(following, "tags", lambda path: pytest.fail("tags of an unchanged file are known"))
    (root / "metadata.csv").write_text("\n".join([*rows[:2], "0013.m4a;fast;;", "0014.m4a;loud;New;Cy"]))
    known = build(root).tracks.set_index("id")
    assert known["title"].tolist() == ["Song 0", "Song 1", "New"] and not embedded
    assert known["artist"].tolist() == ["Ada", "Ada", "Cy"]


def test_any_kind_of_file_with_its_tags(music, build):
    root = music({})
    kinds = {"wav": ("WAV", "PCM_16"), "FLAC": ("FLAC", "PCM_16"), "ogg": ("OGG", "VORBIS"), "oga": ("OGG", "VORBIS")}
    kinds |= {"opus": ("OGG", "OPUS"), "Mp3": ("MP3", "MPEG_LAYER_III")}
    for number, (suffix, (kind, subtype)) in enumerate(kinds.items()):
        with soundfile.SoundFile(root / f"{number}.{suffix}", "w", 24000, 1, subtype, format=kind) as file:
            file.title = "<script>alert(1)</script>\u202e\U0001f3b5 " + "x" * 5000
            file.artist, file.date = f"Artist {number % 2}", "1987-05-01"
            file.write(sound(number, 1.5))
    others = ("m4a", "m4b", "wma", "aiff", "wv", "webm", "mka")
    for number, suffix in enumerate(others):
        words = {"title": "Elsewhere", "artist": "Artist 2", "genre": "folk"}
        more = {"write_id3v2": "1"} if suffix == "aiff" else {}
        encode(root / f"other{number}.{suffix}", sound(number, 1.5), RATE, words, **more)
    (root / "notes.txt").write_text("no sound")
    (root / "protected.m4p").write_bytes(b"no sound that may be read" * 100)
    (root / "._0.wav").write_bytes(b"left by another system")
    library = build(root)
    assert len(library) == 6 + len(others)
    ((file, reason),) = library.failures.itertuples(index=False)
    assert file == "protected.m4p" and "convert it" in reason
    assert library.tracks["duration_s"].to_numpy() == pytest.approx(1.5, abs=0.1)
    tracks = library.tracks.set_index("id")
    assert tracks["title"].map(len).max() <= 1000 and tracks["title"].str.startswith("<script>").sum() == 6
    assert tracks.loc["1.FLAC", "artist"] == "Artist 1" and tracks.loc["2.ogg", "year"] == 1987
    assert dict(library.facets()["artist"]) == {"Artist 0": 3, "Artist 1": 3, "Artist 2": len(others)}
    for id, track in tracks.iterrows():
        data, mime = library.sound(id)
        if track["artist"] == "Artist 2":
            assert (track["title"], track["genre"]) == ("Elsewhere", "folk"), id
            assert mime == "audio/ogg" and soundfile.info(io.BytesIO(data)).duration == pytest.approx(1.5, abs=0.1)
        else:
            assert data == (root / id).read_bytes() and mime.startswith("audio/")
    assert tags(root / "notes.txt") == {}


def test_lengths_are_those_of_the_sound(music, build):
    root = music({"short.wav": 10.0, "a.ogg": 4.0, "cut.ogg": 4.0, "a.flac": 3.0, "cut.aiff": 4.0, "few.mp3": 0.3})
    whole = (root / "short.wav").read_bytes()
    (root / "short.wav").write_bytes(whole[: round(0.95 * len(whole))])
    (root / "a.ogg").write_bytes(2 * (root / "a.ogg").read_bytes())  # one stream after the other
    data = bytearray((root / "a.flac").read_bytes())
    data[21:26] = bytes([data[21] & 0xF0, 0, 0, 0, 0])  # the number of samples is left open
    (root / "a.flac").write_bytes(data)
    for name in ("cut.ogg", "cut.aiff"):
        os.truncate(root / name, (root / name).stat().st_size // 2)
    library = build(root)
    lengths = dict(library.tracks[["id", "duration_s"]].itertuples(index=False))
    assert lengths == pytest.approx({"short.wav": 9.5, "a.ogg": 8.0, "a.flac": 3.0, "few.mp3": 0.3}, abs=0.08)
    reasons = dict(library.failures.itertuples(index=False))
    assert reasons.keys() == {"cut.ogg", "cut.aiff"} and all("cut off" in reason for reason in reasons.values())


def test_what_is_not_let_in(music, tmp_path, build):
    root, secret = music({"sub/fine.wav": 1.0}), tmp_path / "outside" / "secret.wav"
    secret.parent.mkdir()
    soundfile.write(secret, sound(1), RATE)
    soundfile.write(root / "silent.wav", np.zeros(RATE), RATE)
    links = {"link.wav": secret, "folder": secret.parent, "inside.wav": root / "sub/fine.wav", "no.wav": root / "0"}
    for name, target in links.items():
        (root / name).symlink_to(target)
    (root / "dir.wav").mkdir()
    for name in ("empty.wav", os.fsdecode(b"caf\xe9.wav")):
        (root / name).touch()
    library = build(root)
    assert list(library.tracks["id"]) == ["inside.wav", "sub/fine.wav"]
    words = {"link.wav": "leaves the folder", "folder": "leaves the folder", "no.wav": "No such file"}
    words |= {"empty.wav": "0 bytes", "caf\\udce9.wav": "UTF-8", "silent.wav": "silent"}
    reasons = dict(library.failures.itertuples(index=False))
    assert reasons.keys() == words.keys() and all(words[file] in reasons[file] for file in words)
    (root / "inside.wav").unlink()
    (root / "inside.wav").symlink_to(secret)  # afterwards: the library knows the id
    with pytest.raises(LibraryError, match="outside"):
        library.sound("inside.wav")


def test_a_cut_anywhere_in_the_files_is_mended(music, model, build, embedded):
    root, rng = music({f"{i}.wav": 1.0 + i / 2 for i in range(4)}), np.random.default_rng(0)
    whole, out = build(root, "whole"), build(root).out
    journal, rows = out / "tracks-0.jsonl", out / "windows-0.f32"
    lines, vectors = journal.read_bytes(), rows.read_bytes()
    for cut in [0, 1, len(lines) - 1, *rng.integers(0, len(lines), 4)]:
        journal.write_bytes(lines[:cut] + rng.choice([b"", b"\x00\x00", b'{"id":'], 1)[0])
        rows.write_bytes(vectors + vectors[: 4 * 32 * 3 + 7])  # rows whose line was never written, and half a row
        count = lines[:cut].count(b"\n")
        assert len(Library.open(out, model)) == count
        embedded.clear()
        assert_same(build(root), whole)
        assert len(embedded) == 4 - count
    os.truncate(rows, 4 * 32 * 3)
    assert_same(build(root), whole)
    journal.write_bytes(lines.splitlines(keepends=True)[0])
    (root / "3.wav").rename(root / "00.wav")  # its rows come before others now
    assert_same(build(root), build(root, "again"))


def test_features_that_training_kept_are_used(table, model, build, tmp_path, monkeypatch):
    cache, computed, extract = tmp_path / "cache", [], features.extract
    features.build(read(table).audio_files(), model.config.audio.frontend, cache, progress=False, workers=1)
    monkeypatch.setattr(features, "extract", lambda path, *rest: computed.append(path) or extract(path, *rest))
    assert_same(build(table, "plain"), build(table, "cached", cache_dir=cache))
    assert len(computed) == 24


def test_long_files_are_embedded_in_pieces(music, build, monkeypatch):
    root = music({"long.wav": 13.7})
    whole = vectors(build(root, "whole"))["long.wav"]
    monkeypatch.setattr("slapkit.audio.features.LONG_S", 5.0)
    monkeypatch.setattr("slapkit.audio.features.PIECE_S", 2.0)
    pieces = vectors(build(root, "pieces"))["long.wav"]
    assert whole.shape == pieces.shape == (14, 32) and (whole * pieces).sum(axis=1).min() > 0.999


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(errno.ENOSPC, "No space left on device")])
@pytest.mark.parametrize("kind", ["library", "embed"])
def test_cut_off_at_any_flush_it_goes_on(music, model, build, tmp_path, monkeypatch, embedded, kind, error):
    root, fsync, left = music({f"{i}.wav": 1.0 for i in range(12)}), os.fsync, 0
    monkeypatch.setattr(following, "_CHUNK", 2)

    def make(name):
        if kind == "library":
            return vectors(build(root, name))
        embed_collection(model, root, tmp_path / name, chunk=2, workers=1, progress=False)
        return dict(pq.read_table(tmp_path / name).select(["id", "q"]).to_pandas().itertuples(index=False))

    def flush(handle):
        nonlocal left
        left -= 1
        if not left:
            raise error
        fsync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", flush)
        for moment in (1, 2, 3, 4):
            left = moment
            with pytest.raises((KeyboardInterrupt, StorageError)):
                make("out")
    found = make("out")
    assert len(embedded) <= 12 + 4 * 2, "finished work is not done again"
    for id, vector in make("whole").items():
        np.testing.assert_allclose(found.pop(id), vector, atol=1e-5)
    assert not found and not (tmp_path / "out.parts").exists()


@pytest.mark.parametrize("change", [{"format": 9}, {"extra": 1}, "{", "[]"])
def test_headers_are_checked(music, build, tmp_path, change):
    build(music({"a.wav": 1.0}))
    path = tmp_path / "out" / "library.json"
    path.write_text(change if isinstance(change, str) else json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(LibraryError, match="library.json"):
        Library.open(tmp_path / "out")


def test_one_process_writes_and_others_wait(music, build, tmp_path):
    root = music({f"{i}.wav": 1.0 for i in range(6)})
    with ThreadPoolExecutor(3) as pool:
        made = list(pool.map(lambda _: build(root), range(3)))
    assert sorted(library.counts["added"] for library in made) == [0, 0, 6]
    assert len((tmp_path / "out" / "tracks-0.jsonl").read_text().splitlines()) == 6
    assert_same(made[0], made[1])


@pytest.mark.parametrize("engine", [None, "vectors.db"])
def test_folders_are_facts_and_namesakes_are_told_apart(build, tmp_path, engine):
    names = ["Miles/Blue/Intro", "Miles/Live/Intro", "Ella/Live/Intro", "Ella/Live/Lush"]
    for number, name in enumerate(names):
        path = tmp_path / "disk" / "Music" / f"{name}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        encode(path, sound(number), RATE, tags={"artist": path.parts[-3], "title": path.stem.upper()})
    encode(tmp_path / "disk" / "stray.flac", sound(9), RATE)
    library = build(tmp_path / "disk", engine=engine)
    tracks = library.tracks.set_index("file").loc[[f"Music/{name}.flac" for name in names]]
    assert tracks["folder"].tolist() == ["Miles", "Miles", "Ella", "Ella"]
    assert tracks["subfolder"].tolist() == ["Blue", "Live", "Live", "Live"]
    assert tracks["beside"].tolist() == [*tracks.index[:2], "Ella", ""]
    assert library.facets()["folder"] == [("Ella", 2), ("Miles", 2)]
    found = library.search("x", where={"folder": "ella", "subfolder": "Live"})
    assert {*found["file"]} == {*tracks.index[2:]}
    lines = dict(zip(found["title"], text_lines(found)))
    assert lines["INTRO"].endswith("  INTRO · Ella  (Music/Ella/Live/Intro.flac)") and "·" not in lines["LUSH"]
    titles = {card(row)["title"] for row in library.search("x").to_dict("records")}
    assert titles >= {"INTRO · Ella", "INTRO · Music/Miles/Blue/Intro.flac", "LUSH", "stray"}

    (tmp_path / "disk" / "Music" / "Ella").rename(tmp_path / "disk" / "Ella")
    for _ in range(2):  # Music beside Ella are now the first folders, of files that nobody touched too
        library.update(progress=False)
    assert library.facets()["folder"] == [("Ella", 2), ("Music", 2)]
    assert len(library.search("x", where={"subfolder": "Miles"})) == 2


def test_a_folder_of_a_table_wins(music, build):
    root = music({"one/a.wav": 1.0, "two/b.wav": 1.2})
    (root / "metadata.csv").write_text("file_name,caption,folder\none/a.wav,x,mine\ntwo/b.wav,y,yours\n")
    assert build(root).tracks["folder"].tolist() == ["mine", "yours"]
