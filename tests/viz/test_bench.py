"""The search bench without a browser: every message it may get, and its answer."""

import json

import pandas as pd
import pytest

from slapkit.errors import LibraryError
from slapkit.viz.widgets import SearchBench
from tests.viz.fakes import FakeLibrary

LIKE = {"sign": "+", "kind": "track", "key": "audio/003.ogg"}
UNLIKE = {"sign": "-", "kind": "track", "key": "audio/004.ogg"}


@pytest.fixture
def library():
    return FakeLibrary()


@pytest.fixture
def bench(library, marks):
    return SearchBench({"SLAP": library, "CLAP": FakeLibrary(model_name="CLAP")}, marks=marks)


def search(bench, query="slow flute", **fields):
    return bench.handle({"type": "search", "query": query, "request": "r", **fields})


def ids(reply, column=0):
    return [card["id"] for card in reply["columns"][column]["cards"]]


def test_cards_are_in_the_order_of_the_librarys_own_search(bench, library):
    reply = search(bench, k=7, where={"style": "jig"})
    expected = library.search("slow flute", k=7, where={"style": "jig"})
    assert ids(reply) == list(expected["id"]) and [c["rank"] for c in reply["columns"][0]["cards"]] == [*range(1, 8)]
    pd.testing.assert_frame_equal(bench.results, expected)
    assert reply["code"] == """library.search("slow flute", k=7, where={'style': 'jig'})"""
    assert reply["request"] == "r" and reply["status"].endswith("over 30 clips")
    both = search(bench, models=["SLAP", "CLAP"])
    assert ids(both, 0) == list(library.search("slow flute")["id"]) != ids(both, 1)
    assert list(bench.tables) == [column["model"] for column in both["columns"]] == ["SLAP", "CLAP"]
    for text in ("slow; fast ;", "slow\nfast"):
        search(bench, text)
        pd.testing.assert_frame_equal(bench.results, library.search(["slow", "fast"]))


def test_tracks_and_files_are_terms_of_the_query(bench, library, monkeypatch):
    asked, found = [], library.search("x")
    monkeypatch.setattr(library, "search", lambda *a, **k: asked.append((a[0], k)) or found)
    search(bench, "", terms=[LIKE, UNLIKE])
    first, more = asked.pop()
    assert first.id == LIKE["key"] and "plus" not in more and [t.id for t in more["minus"]] == [UNLIKE["key"]]
    reply = search(bench, "fast", terms=[LIKE])
    first, more = asked.pop()
    assert first == "fast" and [t.id for t in more["plus"]] == [LIKE["key"]]
    assert reply["code"] == """library.search("fast", k=10, plus=[library.like('audio/003.ogg')])"""
    search(bench, "", terms=[LIKE, {**LIKE, "key": "audio/005.ogg"}])
    first, more = asked.pop()
    assert first.id == LIKE["key"] and [t.id for t in more["plus"]] == ["audio/005.ogg"]
    about = {"type": "upload", "upload": "u", "name": "../../my tune.FLAC", "size": 6}
    assert bench.handle(about | {"offset": 0}, [b"abcd"])["done"] is False
    last = bench.handle(about | {"offset": 4}, [b"ef"])
    assert last["done"] is True and last["name"] == "../../my tune.FLAC"
    search(bench, "", terms=[{"sign": "+", "kind": "sound", "key": "u"}])
    [(path, _)] = asked
    assert path.read_bytes() == b"abcdef" and path.name == "0.flac", "on disk it has a name of ours"


def test_what_cannot_be_searched_is_said_and_the_results_stay(bench, library, monkeypatch):
    assert "first 60 are read" in search(bench, "slow " * 100)["notice"] and search(bench, "slow")["notice"] == ""
    before, history = bench.results, bench.history
    for text in ("", "  ", ";\n;"):
        assert search(bench, text)["type"] == "nothing"
    assert "subtract from" in search(bench, "- drums")["columns"][0]["text"]
    assert "'style'" in search(bench, where={"stile": "jig"})["columns"][0]["text"]
    assert bench.results is before and bench.history == history
    assert search(bench, where={"style": "opera"})["columns"][0]["cards"] == []

    def refuse(*_, **__):
        raise LibraryError("built with model a, not b: build it again")

    monkeypatch.setattr(library, "search", refuse)
    reply = search(bench, models=["SLAP", "CLAP"])
    assert "built with model a" in reply["columns"][0]["text"] and reply["columns"][0]["error"]
    assert len(reply["columns"][1]["cards"]) == 10 and list(bench.tables) == ["CLAP"]


def test_what_was_typed_stays_in_the_history(bench):
    for text in ("slo", "slow"):
        search(bench, text, live=True)
    search(bench, "", terms=[LIKE])
    search(bench, "fast")
    assert bench.history == ["slow", "fast"]


def test_results_are_saved_as_playlists_and_tables(bench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "search first" in bench.handle({"type": "save"})["text"]
    found = search(bench, "slow; fast", terms=[LIKE, UNLIKE], k=3, models=["SLAP", "CLAP"])
    said, kept = bench.handle({"type": "save"})["text"], tmp_path / "data" / "playlists"
    for column, model in enumerate(("SLAP", "CLAP")):
        name = f"slow-fast-like-003-{model}"
        assert list(pd.read_csv(kept / f"{name}.csv")["id"]) == ids(found, column)
        assert f"data/playlists/{name}.m3u8" in said and (kept / f"{name}.m3u8").exists()


@pytest.mark.parametrize(
    "message",
    [
        {}, {"type": ["search"]}, {"type": "search", "query": 5}, {"type": "search", "query": "a" * 10_001},
        {"type": "search", "query": "a", "k": 1e9}, {"type": "search", "query": "a", "models": ["GPT"]},
        {"type": "search", "query": "a", "where": [1]}, {"type": "search", "query": "a", "terms": ["x"]},
        {"type": "search", "query": "a", "terms": [{"sign": "*", "kind": "track", "key": "x"}]},
        {"type": "sound"}, {"type": "sound", "model": "SLAP"},
        {"type": "picture", "model": "GPT", "id": "audio/001.ogg"},
        {"type": "mark", "model": "SLAP", "id": "audio/001.ogg", "query": ""},
    ],
)  # fmt: skip
def test_malformed_messages_get_words_not_tracebacks(bench, message):
    reply = bench.handle(message)
    assert reply["type"] == "error" and reply["text"] and "unexpected" not in reply["text"]


@pytest.mark.parametrize("kind", ["sound", "picture", "mark"])
@pytest.mark.parametrize("id", ["../../etc/passwd", "audio/../audio/001.ogg", "", "audio/999.ogg\x00", 3])
def test_only_ids_of_the_library_are_served(bench, kind, id):
    reply = bench.handle({"type": kind, "model": "SLAP", "id": id, "query": "slow", "on": True})
    assert reply["type"] == "error" and "buffers" not in reply and len(bench.marks) == 0


def test_audio_and_pictures_are_those_of_the_track_and_say_where_they_begin(bench, library, monkeypatch, caplog):
    ask = {"model": "SLAP", "id": "audio/002.ogg", "start_s": 40.0}
    long = SearchBench(FakeLibrary(long=True))
    sound, picture = (long.handle({"type": kind, **ask}) for kind in ("sound", "picture"))
    assert sound["buffers"] == [b"audio/002.ogg" * 3] and sound["start_s"] == 30.0
    assert len(picture["buffers"][0]) == picture["rows"] * picture["columns"]
    assert (picture["start_s"], picture["seconds"]) == (30.0, 30.0)
    library.deleted.add("audio/002.ogg")
    for kind in ("sound", "picture"):
        assert "was deleted" in bench.handle({"type": kind, **ask})["text"]
    monkeypatch.setattr(library, "sound", lambda *a, **k: 1 / 0)
    assert "ZeroDivisionError" in bench.handle({"type": "sound", **ask})["text"] and "failed" in caplog.text


def test_marks_are_kept_for_the_query_and_shown_when_it_is_asked_again(bench):
    first = ids(search(bench, "slow"))[0]
    mark = {"type": "mark", "model": "SLAP", "id": first, "query": "slow"}
    assert bench.handle(mark | {"on": True}) == {"type": "mark", "id": first, "on": True, "request": None}
    assert [c["marked"] for c in search(bench, "slow")["columns"][0]["cards"]] == [True] + [False] * 9
    assert not any(c["marked"] for c in search(bench, "fast")["columns"][0]["cards"])
    bench.handle(mark | {"on": False})
    assert not any(c["marked"] for c in search(bench, "slow")["columns"][0]["cards"])
    assert bench.options["marks"] and not SearchBench(FakeLibrary()).options["marks"]


def test_answers_and_state_are_json_whatever_the_texts_hold(library):
    library.tracks["title"] = '<script>"\x00\u202e'
    library.tracks.at[0, "captions"] = None
    library.tracks["year"] = float("nan")
    bench = SearchBench(library)
    text = json.dumps(search(bench, k=30), allow_nan=False) + json.dumps(bench.options, allow_nan=False)
    text.encode("utf-8")
    assert "\\u0000" not in text
