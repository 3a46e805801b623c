"""The map widget without a browser."""

import json
from pathlib import Path

import numpy as np
import pytest

from slapkit.errors import DataError
from slapkit.viz import theme
from slapkit.viz.widgets import MapView
from slapkit.viz.widgets.map import items_of
from tests.viz.fakes import FakeStore


@pytest.fixture
def view(models):
    return MapView(models, FakeStore(), height=500)


def trace(view, role, panel=0):
    return view._trace(panel, role)


def test_a_click_on_a_clip_plays_its_file(view, models):
    [item] = view.clicked(1, "audio", 4)
    assert item.load() == (Path(models[0].frame["path"][4]).read_bytes(), "audio/wav")
    assert item.title == "Tune 4" and "caption 0 of clip 4" in item.lines
    assert view.player.items[0]["title"] == "Tune 4"
    rings = [trace(view, "ring", panel).x[0] for panel in range(2)]
    np.testing.assert_allclose(rings, [model.audio()[4, 0] for model in models])
    state = json.dumps([view.player.get_state(), view.figure.get_state()], default=lambda value: f"{type(value)}")
    assert "data:audio" not in state and "wav" not in json.dumps(view.player.items)


def test_a_click_on_a_caption_plays_its_clip_and_then_what_the_model_finds(view, models):
    model = models[1]
    for caption, clip in enumerate(model.clip_of_caption):
        first, *hits = items_of(model, view.kind, "text", caption)
        assert first.title == f"True clip: Tune {clip}" and model.captions[caption] in first.lines[1]
        similarity = [float(model.text()[caption] @ row) for row in model.audio()]
        best = sorted(range(len(similarity)), key=lambda i: -similarity[i])[:3]
        assert [h.title.split("Tune ")[1] for h in hits] == [str(i) for i in best]
        assert [("true clip" in h.title) for h in hits] == [i == clip for i in best]
    assert f"rank {model.text_ranks['q'][0]:g} of 12" in " ".join(items_of(model, "q", "text", 0)[0].lines)


def test_a_lasso_gives_a_table_of_what_lies_within(view, models, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert view.selected.empty and "model" in view.selected
    view.lassoed(0, "audio", [1, 2])
    view.lassoed(0, "text", [0])
    view.lassoed(1, "text", [])
    table = view.selected
    assert list(table["kind"]) == ["audio", "audio", "text"] and set(table["model"]) == {"SLAP"}
    assert list(table["id"]) == ["clip-01.wav", "clip-02.wav", "clip-00.wav"]
    assert table["caption"][2] == "caption 0 of clip 0" and "card" not in table
    assert "2 clips and 1 captions" in view.status.value
    view.saver.click()
    assert "3 clips saved: data/playlists/selection.m3u8" in view.status.value
    lines = (tmp_path / "data" / "playlists" / "selection.m3u8").read_text().splitlines()
    paths = [(tmp_path / "data" / "playlists" / line).resolve() for line in lines[2::2]]
    assert lines[1] == "#EXTINF:-1,Tune 1" and paths == [Path(models[0].frame["path"][i]) for i in (1, 2, 0)]
    view.deselected()
    assert view.selected.empty
    view.saver.click()
    assert "no tracks" in view.status.value


def test_the_switches_change_colours_spaces_and_dimensions(view, models, tmp_path):
    view.colors.value = "style"
    legend = [t for t in view.figure.data if t.meta["role"] == "legend" and t.showlegend]
    assert [t.name for t in legend][2:] == ["hymn", "jig", "waltz"]
    page = view.save_html(tmp_path / "map.html", clips=2, seconds=0.3).read_text()
    assert "hymn" in page, "the page shows what is on show"
    view.sizes.value = 3
    assert trace(view, "audio").type == "scatter3d" and view.panels[0].dimensions == 3
    assert len(set(np.asarray(trace(view, "audio").marker.color))) == 3, "the colour stays"
    view.hovered("text", 5)
    assert len(trace(view, "line").x) == 3
    view.kinds.value = "z"
    np.testing.assert_allclose(trace(view, "audio").x, models[0].audio("z")[:, 0])
    view.colors.value, view.sizes.value, view.kinds.value = "modality", 2, "q"
    assert trace(view, "text").marker.color == theme.TEXT
    assert not trace(view, "worst").visible
    view.worst.value = True
    assert trace(view, "worst").visible and trace(view, "worst", 1).visible
    view.scheme.dark = True
    assert view.figure.layout.template.layout.font.color == trace(view, "ring").marker.color == theme.DARK["text"]
    assert view.figure.layout.annotations[0].font.color == theme.DARK_OBJECTIVE["slap"]


def test_errors_are_said_and_nothing_is_lost(view, models, monkeypatch):
    def broken(*_):
        raise DataError("no <b>map</b> today")

    monkeypatch.setattr(view.store, "panels", broken)
    view.sizes.value = 3
    assert "no &lt;b&gt;map&lt;/b&gt; today" in view.status.value
    assert view.dimensions == view.sizes.value == 2 and not view.sizes.disabled and view.figure.data
    with pytest.raises(DataError, match="instruments"):
        MapView(models, FakeStore(), color="instrument")
