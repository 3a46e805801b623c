"""Playlists, journeys and duplicates of a small library."""

import os
import shutil

import numpy as np
import pandas as pd
import pytest

from slapkit.cli import main
from slapkit.errors import LibraryError
from slapkit.models.weights import save_model
from slapkit.search.playlists import duplicates, journey, save_tracks, write_tracks


@pytest.fixture
def library(music, build):
    return build(music({f"{name}.wav": 1.0 + i / 7 for i, name in enumerate("abcdef")} | {"sub/é, x.flac": 1.5}))


def test_a_playlist_names_files_that_are_there(library, tmp_path):
    found = library.search("flute", k=7)
    path = write_tracks(found, library.folder, tmp_path / "lists" / "found.m3u8")
    first, *lines = path.read_text(encoding="utf-8").splitlines()
    assert first == "#EXTM3U" and lines[0] == f"#EXTINF:{round(found['duration_s'][0])},{found['title'][0]}"
    files = [(path.parent / line).resolve() for line in lines[1::2]]
    assert files == [(library.folder / file).resolve() for file in found["file"]] and all(map(os.path.exists, files))
    table = pd.read_csv(write_tracks(found, library.folder, tmp_path / "found.csv"))
    assert list(table["id"]) == list(found["id"])
    with pytest.raises(LibraryError, match="found.txt"):
        write_tracks(found, library.folder, tmp_path / "found.txt")


def test_playlists_of_one_name_are_kept_in_the_project(library, tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    found, kept = library.search("flute", k=2), tmp_path / "data" / "playlists"
    kept.mkdir(parents=True)
    (kept / "slow-flute-é-2.csv").write_text("mine")
    names = [save_tracks(found, library.folder, "../slow <flute>, “é”").name for _ in range(2)]
    assert names == ["slow-flute-é.m3u8", "slow-flute-é-3.m3u8"]
    tables = {"slow-flute-é-2.csv", *(name.replace("m3u8", "csv") for name in names)}
    assert {path.name for path in kept.iterdir()} == {*names, *tables}
    assert (kept / "slow-flute-é-2.csv").read_text() == "mine"
    with pytest.raises(LibraryError, match="no tracks"):
        save_tracks(found.head(0), library.folder, "none")


def test_names_that_a_playlist_would_take_for_something_else(tmp_path):
    files = ["#1.wav", "two\nlines.wav"]
    found = pd.DataFrame({"file": files, "title": ["#1", "two\nlines"], "duration_s": [1.4, None]})
    lines = write_tracks(found, tmp_path, tmp_path / "list.m3u8").read_text().splitlines()
    assert lines[1] == "#EXTINF:1,#1" and lines[3].startswith("#EXTINF:-1,two")
    assert len(lines) == 5 and lines[2] == "./#1.wav" and lines[4] == (tmp_path / "two\nlines.wav").as_uri()
    assert lines[4].endswith("two%0Alines.wav")


def test_a_journey_goes_from_one_to_the_other(library):
    walk = journey(library, "a.wav", "f.wav", k=5)
    assert library.tracks.columns.isin(walk.columns).all() and walk["captions"].map(type).eq(list).all()
    assert len(walk) == walk["id"].nunique() == 5 and list(walk["rank"]) == [1, 2, 3, 4, 5]
    assert walk["id"].iloc[0] == "a.wav" and walk["id"].iloc[-1] == "f.wav"
    start, end = (library.like(id).vector for id in ("a.wav", "f.wav"))
    way = 0.75 * start + 0.25 * end
    rest = [library.like(id).vector @ way for id in library.entries if id not in ("a.wav", "f.wav")]
    assert library.like(walk["id"].iloc[1]).vector @ way == pytest.approx(max(rest), abs=1e-5)
    assert len(journey(library, "a.wav", "f.wav", k=50)) == len(library)
    for start, end, k in (("a.wav", "a.wav", 5), ("a.wav", "b.wav", 1), ("a.wav", "nothing", 5)):
        with pytest.raises(LibraryError):
            journey(library, start, end, k=k)


def test_duplicates_by_file_and_by_embedding(library):
    vectors = {id: library.like(id).vector for id in library.entries}
    close = {(a, b) for a in vectors for b in vectors if a < b and vectors[a] @ vectors[b] >= 0.999}
    assert set(zip(*duplicates(library)[["first", "second"]].to_numpy().T)) == close
    shutil.copy(library.folder / "a.wav", library.folder / "copy of a.wav")
    library.update(progress=False)
    found = duplicates(library)
    assert tuple(found.loc[found["same"] == "file", ["first", "second"]].iloc[0]) == ("a.wav", "copy of a.wav")
    assert found["cosine"].is_monotonic_decreasing and np.isclose(found["cosine"][0], 1, atol=1e-5)
    with pytest.raises(LibraryError, match="1.5"):
        duplicates(library, least=1.5)


def test_the_shell_searches_by_tracks_and_files(library, model, build, tmp_path, monkeypatch, capsys):
    save_model(model.joint, tmp_path / "run", train={}, step=1)
    library = build(library.folder, out="lib", by=tmp_path / "run")
    lib, out = str(library.out), str(tmp_path / "list.m3u8")
    assert main(["search", lib, "--like", "a.wav", "--like", "b.wav", "-k", "3", "--out", out]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3 and os.path.exists(out)
    assert main(["search", lib, "--file", str(library.folder / "c.wav"), "-k", "1"]) == 0
    assert "c.wav" in capsys.readouterr().out
    assert main(["search", lib, "--like", "a.wav", "--to", "f.wav", "-k", "4"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "a.wav" in lines[0] and "f.wav" in lines[-1] and len(lines) == 4
    assert main(["search", lib, "words", "--to", "f.wav"]) != 0
    assert main(["search", lib]) != 0
    capsys.readouterr()
    monkeypatch.setattr("slapkit.search.playlists._ROWS", 2)
    assert main(["duplicates", lib]) == 0
    told = capsys.readouterr()
    assert main(["duplicates", lib, "--quiet"]) == 0
    untold = capsys.readouterr()
    assert "pairs" in told.out and told.out == untold.out
    assert "Comparing tracks" in told.err and not untold.err
