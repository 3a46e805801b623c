"""Facts that a tagger heard: filters on music without tags; marked as heard, behind people's facts, taken back."""

import json

import pytest

from slapkit.hub import heard as heard_tables
from slapkit.hub import tagger
from slapkit.search import Library
from slapkit.viz.text import facts
from slapkit.viz.widgets import SearchBench
from tests.audio.encoding import retagged
from tests.hub.heard_sounds import UNUSABLE


@pytest.fixture
def music(heard_copy):
    """A folder of sounds, and what hears it."""
    root, cache = heard_copy
    return root, lambda: tagger.hear(root, cache_dir=cache, progress=False)


def test_a_library_takes_over_what_was_heard(music, build, model, embedded, tmp_path):
    root, hear = music
    library = build(root)
    assert not any(name.startswith("heard") for name in library.tracks)
    heard = hear()
    embedded.clear()
    assert library.update(progress=False)["unchanged"] == 8 and {*embedded} <= UNUSABLE.keys()
    by_file = {track.source.file: track.words for track in heard.tracks}
    for row in library.tracks.to_dict("records"):
        assert row["heard tempo"] == by_file[row["id"]].facts["tempo"] and row["heard voice"] == ["none"]
    found = library.search("anything", where={"heard tempo": "fast"}, k=99)
    assert {*found["id"]} == {file for file, words in by_file.items() if words.facts["tempo"] == ["fast"]}
    assert Library.open(tmp_path / "out", model).tracks.equals(library.tracks)

    bench = SearchBench(library, query="beat")
    menus = {menu["column"]: menu for menu in bench.options["filters"]}
    assert menus["heard tempo"]["label"] == "heard tempo" and "heard instruments" in menus
    shown = {card["id"]: card["facts"] for card in bench.options["first"]["columns"][0]["cards"]}
    assert [fact for fact in shown["beat.wav"] if "drums" in fact][0].startswith("heard: ")
    assert "no voice" in " ".join(shown["beat.wav"])

    (root / "album" / "slow.wav").rename(root / "moved.wav")  # the content counts
    library.update(progress=False)
    assert library.entry("moved.wav").facts["heard tempo"] == by_file["album/slow.wav"].facts["tempo"]
    retagged(root / "moved.wav", tmp_path / "tagged.wav", title="Slow")  # its sound, not its tags
    (tmp_path / "tagged.wav").replace(root / "moved.wav")
    assert library.update(progress=False)["changed"] == 1 and library.entry("moved.wav").title == "Slow"
    assert library.entry("moved.wav").facts["heard tempo"] == by_file["album/slow.wav"].facts["tempo"]
    heard_tables.table_path(root).unlink()
    library.update(progress=False)
    assert not any(name.startswith("heard") for name in library.tracks)


def test_facts_of_people_win(music, build):
    root, hear = music
    rows = [
        {"file_name": "beat.wav", "caption": "a beat", "heard tempo": "as I say", "instruments": ["drums of mine"]},
        {"file_name": "noise.flac", "caption": "noise"},
    ]
    (root / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    hear()
    tracks = build(root).tracks.set_index("id")
    assert tracks.loc["beat.wav", "heard tempo"] == "as I say"
    assert tracks.loc["beat.wav", "instruments"] == ["drums of mine"]
    assert "drums" in tracks.loc["beat.wav", "heard instruments"]
    assert isinstance(tracks.loc["noise.flac", "heard tempo"], list)
    said = facts(tracks.loc["beat.wav"].to_dict() | {"id": "beat.wav"})
    assert said[0] == "drums of mine" and said[1].startswith("heard: ")
