"""Players: what they show, what they send and when."""

from unittest.mock import Mock

import pytest

from slapkit.viz.widgets import Player, PlayerItem


@pytest.fixture
def sounds():
    return [Mock(return_value=(data, "audio/ogg")) for data in (b"first", b"second")]


@pytest.fixture
def player(sounds):
    player = Player()
    player.show([PlayerItem(f"Tune {i}", ["a line"], sound) for i, sound in enumerate(sounds)])
    return player


def test_a_clip_is_read_when_it_is_asked_for_and_not_before(player, sounds):
    assert [s.call_count for s in sounds] == [0, 0]
    reply = player.handle({"type": "sound", "id": 1, "generation": player.generation, "request": "a"})
    assert reply["buffers"] == [b"second"] and reply["mime"] == "audio/ogg" and reply["request"] == "a"
    assert [s.call_count for s in sounds] == [0, 1]
    player.show([PlayerItem("other", [], sounds[0])])
    late = player.handle({"type": "sound", "id": 0, "generation": player.generation - 1})
    assert late["type"] == "error" and sounds[0].call_count == 0, "a late answer plays no other clip"


@pytest.mark.parametrize("id", [2, -1, "0", "../../etc/passwd", None, True, 0.0, [0], {}])
def test_a_crafted_id_gets_an_error_and_reads_nothing(player, sounds, id):
    reply = player.handle({"type": "sound", "id": id})
    assert reply["type"] == "error" and "buffers" not in reply
    assert [s.call_count for s in sounds] == [0, 0]


def test_texts_lose_control_characters_and_excess_but_keep_markup_as_text():
    player = Player([PlayerItem("<img src=x onerror=alert(1)>\x00", ["a" * 9000, "\ud800b\n\tc"], Mock())])
    [item] = player.items
    assert item["title"] == "<img src=x onerror=alert(1)>"
    assert len(item["lines"][0]) == 400 and item["lines"][0].endswith("…") and item["lines"][1] == "b c"
