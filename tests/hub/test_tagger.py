"""What a tagger hears: words out of tags, percentiles in the folder, nothing lost, nothing computed twice."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from slapkit.cli import main
from slapkit.errors import LibraryError
from slapkit.hub import heard as heard_tables
from slapkit.hub import tagger
from slapkit.hub.words import WORDS, describe
from slapkit.models.encoders.musicnn import TAGS
from tests.hub.heard_sounds import UNUSABLE, write_sounds

ALL = [tag for tags in TAGS.values() for tag in tags]


def probabilities(*tracks: dict[str, float]) -> np.ndarray:
    """Return probabilities `[N, 100]` of tags, 0.001 where nothing is said."""
    return np.array([[track.get(tag, 0.001) for tag in ALL] for track in tracks], dtype=np.float32)


def test_every_tag_has_a_word_or_is_no_sound():
    used = [tag for words in WORDS.values() for tags in words.values() for tag in tags]
    left = {"00s", "90s", "80s", "70s", "60s", "oldies", "solo"}
    assert sorted(used) == sorted(set(ALL) - left)


def test_synonyms_are_one_word_and_decide_together():
    sung = dict.fromkeys(("vocals", "singing", "voice", "vocal", "female vocal", "female vocalists"), 0.6)
    played = dict.fromkeys(("no vocals", "no vocal", "no voice", "instrumental"), 0.4)
    one_of_many = {"singing": 0.2} | played
    found = describe(probabilities(sung, played, one_of_many))
    assert [words.facts["voice"] for words in found] == [["voice"], ["none"], ["none"]]
    choir = {"choir": 0.9, "choral": 0.9, "voice": 0.5}
    assert describe(probabilities(choir))[0].facts["voice"] == ["choir"]


def test_sound_is_acoustic_or_electronic_whatever_else_is_in_the_folder():
    played, made = {"classical": 0.5, "strings": 0.4}, dict.fromkeys(("techno", "synth", "electronic"), 0.5)
    for others in ([], [made] * 3):
        found = describe(probabilities(played, made, *others))
        assert [words.facts["sound"] for words in found[:2]] == [["acoustic"], ["electronic"]]
    between = describe(probabilities({"techno": 0.1}))[0]
    assert "sound" not in between.facts


def test_percentiles_are_shares_of_the_folder():
    order = np.random.default_rng(0).permutation(40)
    tracks = probabilities(*({"piano": 0.1 + place / 100, "fast": 0.3 - place / 200} for place in order))
    found = describe(tracks)
    for place, words in zip(order, found):
        said = {"piano": pytest.approx((place + 0.5) / 40, abs=1e-3)} if (place + 0.5) / 40 >= 0.9 else {}
        tempo = "fast" if place < 13 else "slow" if place > 26 else "medium"
        assert {word: share for word, share in words.percentiles.items() if word == "piano"} == said
        assert words.facts["tempo"] == [tempo]
        assert words.percentiles.get(tempo, 0.5) >= 0.5
    assert describe(tracks[::-1])[::-1] == found


def test_a_word_needs_a_probability_of_its_own():
    """Among tracks without any piano, one is the likeliest; a folder of pianos has a piano in every track."""
    none = describe(probabilities(*({"piano": 0.001 * i} for i in range(1, 31))))
    assert not any("instruments" in words.facts for words in none)
    every = describe(probabilities(*({"piano": 0.6 + i / 100} for i in range(30))))
    assert all(words.facts["instruments"] == ["piano"] for words in every)
    assert every[0].percentiles["piano"] == round(0.5 / 30, 3) and every[-1].percentiles["piano"] == round(29.5 / 30, 3)
    alone = describe(probabilities({"piano": 0.4, "guitar": 0.7, "slow": 0.9}))[0]
    assert alone.facts["instruments"] == ["guitar"] and alone.percentiles["guitar"] == 0.5


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    root = tmp_path_factory.mktemp("tagger") / "mymusic"
    write_sounds(root)
    return root


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def test_a_folder_is_heard_once(music, cache, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    heard = tagger.hear(music, cache_dir=cache, progress=False)
    words = {track.source.file: track.words for track in heard.tracks}
    assert len(words) == 8 and {one.file for one in heard.failures} == UNUSABLE.keys()
    assert all(UNUSABLE[one.file] in one.reason for one in heard.failures)
    assert words["album/quick.wav"] == words["album/again.wav"]
    assert {"drums", "techno"} <= {*words["beat.wav"].percentiles}
    assert words["album/quick.wav"].facts["tempo"] == ["fast"]
    assert words["<img src=x onerror=alert(1)>.wav"].facts["tempo"] == ["slow"]
    assert all(said.facts["voice"] == ["none"] for said in words.values())
    assert "so few that they mean little" in heard.note()

    monkeypatch.setattr(tagger, "_tags", lambda *_: pytest.fail("computed again"))
    assert tagger.hear(music, cache_dir=cache, progress=False) == heard
    kept = heard_tables.read_heard(heard_tables.table_path(music))
    for name in ("sha", "sound"):
        said = {getattr(track, name): tagger.facts_of(track.words) for track in heard.tracks}
        assert said == {key: kept[key] for key in said} and len(said) == 7
    (tmp_path / "cut.jsonl").write_bytes(heard_tables.table_path(music).read_bytes()[:-40] + b'\n[1]\n{"sha": 1}')
    assert heard_tables.read_heard(tmp_path / "cut.jsonl").keys() <= kept.keys()


def test_the_command_lists_all_and_writes_what_spreadsheets_read(music, cache, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    given = [str(music), "--cache-dir", str(cache), "--quiet"]
    assert main(["tag", *given, "--csv", "heard.csv"]) == 0
    printed = capsys.readouterr().out
    assert "album/quick.wav: " in printed and "no voice" in printed and "\x1b" not in printed
    assert all(f"{file}: " in printed for file in UNUSABLE) and "8 tracks of this folder" in printed
    frame = pd.read_csv("heard.csv").set_index("file")
    assert len(frame) == 8 and "drums" in frame.loc["beat.wav", "heard instruments"]
    assert main(["tag", *given, "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["file"] for row in rows if "failure" in row] == sorted(UNUSABLE)
    shares = [share for row in rows for share in row.get("percentiles", {}).values()]
    assert shares and all(math.isfinite(share) and 0 < share < 1 for share in shares)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(LibraryError, match="no sound file"):
        tagger.hear(tmp_path / "nothing", progress=False)
