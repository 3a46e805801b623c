"""A run's embeddings: those of the evaluation, and read the second time; sounds and pages made of them."""

from __future__ import annotations

import base64
import io
import json
import re

import numpy as np
import pytest
import soundfile

from slapkit.errors import AudioError, CheckpointError, DataError
from slapkit.metrics.embedded import require_same_clips
from slapkit.viz.maps import embed_run, save_html
from slapkit.viz.maps.export import chosen_clips
from slapkit.viz.maps.sound import excerpt, sound_of
from tests.training.tones import make_tones, tiny
from tests.viz.browser.payloads import PAYLOADS
from tests.viz.maps.fakes import make_clips, make_embedded, make_panel


def test_a_run_is_embedded_as_it_is_evaluated_and_then_read(tmp_path, monkeypatch):
    from slapkit import training
    from slapkit.hub.load import load_model
    from slapkit.metrics import embedded, evaluate

    tones = make_tones(tmp_path / "tones", clips=24)
    settings = tiny(train={"steps": 2, "objective": "slap"})
    folder = tmp_path / "run" / "checkpoint"
    training.train(
        model=settings.model, config=settings.train, dataset=tones, out_dir=folder, cache_dir=tmp_path, progress=False
    )
    options = {"cache_dir": tmp_path, "progress": False}
    found = embed_run(tmp_path / "run", tones, **options)
    arrays, captions, owner, clips = evaluate.embed_split(load_model(folder), tones, split="test", **options)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array)
    assert found.captions == captions and (found.track_of_text == owner).all() and found.name == "SLAP"
    assert list(found.frame["id"]) == [clip.id for clip in clips] and found.candidates == len(clips)
    halves = found.arrays["z_first"] + found.arrays["z_last"]  # clips of 2 s: two windows of 1 s
    np.testing.assert_allclose(halves / np.linalg.norm(halves, axis=1, keepdims=True), found.audio("z"), atol=1e-5)
    assert not np.allclose(found.arrays["z_first"], found.arrays["z_last"])

    def never(*_):
        raise AssertionError("embedded again")

    monkeypatch.setattr(embedded, "_compute", never)
    again = embed_run(folder, tones, **options)
    assert all(np.array_equal(again.arrays[name], found.arrays[name]) for name in found.arrays)
    with pytest.raises(AssertionError, match="embedded again"):
        embed_run(folder, tones, split="train", **options)
    with pytest.raises(CheckpointError, match="no trained model"):
        embed_run(tmp_path / "tones", tones, **options)


def test_models_of_other_clips_do_not_stand_side_by_side(models):
    require_same_clips(models)
    with pytest.raises(DataError, match="different clips"):
        require_same_clips([models[0], models[1].sample(9)])
    with pytest.raises(DataError, match="no model"):
        require_same_clips([])


def test_sounds_travel_as_they_stand_or_as_an_excerpt(tmp_path, clips, monkeypatch):
    from slapkit.viz.maps import sound

    path = clips[0].path
    assert sound_of(path) == (path.read_bytes(), "audio/wav")
    monkeypatch.setattr(sound, "MOST_BYTES", 100)
    data, kind = sound_of(path)
    wave, rate = soundfile.read(io.BytesIO(data))
    assert kind == "audio/ogg" and abs(len(wave) / rate - 1.0) < 0.05 and len(data) < path.stat().st_size
    half, _ = excerpt(path, seconds=0.5, start_s=0.25)
    assert abs(soundfile.info(io.BytesIO(half)).duration - 0.5) < 0.05
    with pytest.raises(AudioError, match="gone.wav cannot be read .* moved or deleted"):
        sound_of(tmp_path / "gone.wav")


def data_of(page):
    [text] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return json.loads(text)


def test_the_page_holds_all_it_needs(tmp_path, models):
    panels = [make_panel(model) for model in models]
    page = save_html(models, panels, tmp_path / "map.html", clips=5, seconds=0.5).read_text()
    data = data_of(page)
    assert len(data["sounds"]) == 5 and data["clipOf"] == models[0].track_of_text.tolist()
    assert [int(c) for c in data["sounds"]] == chosen_clips(panels, 5)
    assert soundfile.info(io.BytesIO(base64.b64decode(next(iter(data["sounds"].values()))))).duration < 0.6
    assert data["clips"][3]["title"] == "Tune 3" and data["captions"][1]["texts"] == models[1].captions
    np.testing.assert_allclose(data["places"][1], panels[1].coordinates, atol=1e-4)
    head = page.replace(re.findall(r"<script>.*?</script>", page, re.DOTALL)[0], "")
    assert not re.search("https?:", head), "nothing but plotly.js itself names an address"
    assert (
        "default-src 'none'" in head and "prefers-color-scheme" in head and not re.search(r"<(link|img|iframe)", head)
    )


def test_the_clips_with_sound_are_the_worst_and_then_drawn_ones(models):
    panels = [make_panel(model) for model in models]
    assert sorted(chosen_clips(panels, 99)) == list(range(12)) and chosen_clips(panels, 0) == []
    ranks = panels[0].points["rank"]
    assert chosen_clips(panels, 4)[0] == panels[0].points["clip"][ranks.idxmax()]
    assert chosen_clips(panels, 6, seed=1) == chosen_clips(panels, 6, seed=1)


def test_hostile_texts_end_no_script_and_a_lost_sound_stops_no_page(tmp_path):
    dataset = make_clips(None, clips=len(PAYLOADS), per_clip=1, texts=PAYLOADS)  # their files do not exist
    model = make_embedded(dataset, name=PAYLOADS[0])
    panels = [make_panel(model)]
    page = save_html([model], panels, tmp_path / "map.html", color="style").read_text()
    assert data_of(page)["sounds"] == {}
    assert page.count("<script") == page.count("</script>") == 3 + _own_scripts()
    title = re.search(r"<title>(.*?)</title>", page, re.DOTALL)[1]
    assert "<" not in title


def _own_scripts() -> int:
    """How often plotly.js itself spells a script element in its texts."""
    from plotly.offline import get_plotlyjs

    return get_plotlyjs().count("</script>")
