"""A library whose vectors are in an engine does what one with the matrix on disk does, without a matrix."""

import json
import shutil
from dataclasses import asdict

import numpy as np
import pytest

from slapkit.audio.frontend import FrontendConfig
from slapkit.errors import LibraryError
from slapkit.search import Library
from slapkit.search.store import Entry, Header, LibraryStore
from tests.search.test_index import unit


def same(library: Library, other: Library, *queries, places=6, **options) -> None:
    """Compare what two libraries find, column by column."""
    for query in queries:
        a, b = (each.search(query, k=places, **options) for each in (library, other))
        np.testing.assert_allclose(a.attrs["scores"], b.attrs["scores"], atol=3e-6)
        assert a.drop(columns="captions").equals(b.drop(columns="captions"))


def test_an_engine_opens_searches_filters_and_updates_as_a_matrix_does(table, music, build, model, tmp_path):
    root = tmp_path / "set"
    shutil.copytree(table, root)
    one, _ = build(root, "one"), build(root, "two", engine="vectors.db")
    two = Library.open(tmp_path / "two", model)
    assert not list((tmp_path / "two").glob("windows*")), "no vector is on this side"
    like = one.like("audio/03.ogg")
    np.testing.assert_allclose(two.like("audio/03.ogg").vector, like.vector, atol=1e-6)
    wheres = (None, {"style": "jig"}, {"style": ["JIG", "air"], "instruments": "flute"}, {"drums": "true"})
    for where in (*wheres, {"tempo_bpm": "60"}, {"style": "polka"}):
        for pooling in ("best", "mean"):
            same(one, two, "slow flute", "strings - drums", like, where=where, pooling=pooling)
    with pytest.raises(LibraryError, match="'style'"):
        two.search("flute", where={"stile": "jig"})
    lines = [json.loads(line) for line in (root / "metadata.jsonl").read_text().splitlines()]
    lines[0]["style"] = "polka"  # a fact alone; a track goes and one moves
    (root / "audio/23.ogg").rename(root / "audio/moved.ogg")
    lines[23]["file_name"] = "audio/moved.ogg"
    del lines[5]
    (root / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for library in (one, two):
        counts = library.update(progress=False)  # the sound whose row went is listed
        assert counts == {"added": 1, "changed": 0, "removed": 2, "unchanged": 22, "failed": 1}
    again = build(root, "two")
    for library in (two, again):
        same(one, library, "slow flute", like, places=30)
        assert len(library.search("flute", where={"style": "polka"})) == 1
    two._store.ask("delete", filter="track >= 3")
    with pytest.raises(LibraryError, match="has 1 of 23 tracks"):
        Library.open(tmp_path / "two", model)


def test_what_cannot_be_reached_is_named_and_begins_no_library(build, music):
    root = music({"a.wav": 1.0})
    with pytest.raises(LibraryError, match="127.0.0.1:9"):
        build(root, engine="http://127.0.0.1:9")
    assert len(build(root)) == 1, "another engine, or none, may be named in its place"


@pytest.mark.parametrize("windows", [3000, pytest.param(200_000, marks=pytest.mark.slow)])
def test_recall_against_exact_and_rows_of_a_killed_writer(tmp_path, windows):
    vectors, size, libraries = unit(windows, 64, clusters=100), 20, []
    for name, engine in (("exact", None), ("engine", "vectors.db")):
        header = Header(str(tmp_path), "m", None, "slap", "q", 64, FrontendConfig().to_dict(), 100, 100, 0, engine, "c")
        (tmp_path / name / "x").mkdir(parents=True)
        (tmp_path / name / "library.json").write_text(json.dumps(asdict(header)))
        libraries.append(Library.open(tmp_path / name))
        store: LibraryStore = libraries[-1]._store
        entries = [
            Entry(f"{i:06d}", "", 0, 0, f"{i}", "", 20.0, 2000, facts={"style": f"s{i % 50}"})
            for i in range(windows // size)
        ]
        parts = np.split(vectors, len(entries))
        with store.writing(), pytest.MonkeyPatch.context() as patch:
            patch.setattr(store, "log", lambda lines: None)  # killed between rows and lines
            store.append([(asdict(entries[0]), parts[1])])
        with store.writing():
            for start in range(0, len(entries), 500):
                few = slice(start, start + 500)
                store.append(zip(map(asdict, entries[few]), parts[few], strict=True))
        libraries[-1] = Library.open(tmp_path / name)
    queries = unit(10, 64, seed=1, clusters=100)
    for where, few in ((None, queries), ({"style": ["s3", "S4"]}, queries[:2])):
        found = []
        for query in few:
            a, b = (library.search(query, k=10, where=where) for library in libraries)
            found.append(len(set(a["id"]) & set(b["id"])) / len(a))
        assert np.mean(found) >= 0.99
