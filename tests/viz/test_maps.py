"""The map: what is drawn is the data, texts from data stay text, and the exported page holds all it needs."""

import base64
import dataclasses
import io
import json
import re

import numpy as np
import pytest
import soundfile
from plotly.offline import get_plotlyjs

from slapkit import training
from slapkit.errors import CheckpointError, DataError
from slapkit.metrics import centroid_distance, text_to_audio_ranks
from slapkit.metrics.embedded import require_same_clips
from slapkit.viz import figures, text, theme
from slapkit.viz.figures.maps import coloring, gap_answer, worst_rows
from slapkit.viz.maps import color_columns, embed_run, points, save_html, worst_table
from slapkit.viz.maps.export import chosen_clips
from tests.training.tones import make_tones, tiny
from tests.viz.fakes import make_clips, make_embedded, make_panel
from tests.viz.payloads import PAYLOADS


def by_role(figure, role, panel=0):
    return next(t for t in figure.data if (t.meta or {}).get("role") == role and t.meta.get("panel") == panel)


@pytest.fixture
def panels(models):
    return [make_panel(model) for model in models]


@pytest.mark.parametrize("dimensions", [2, 3])
def test_every_point_is_drawn_once_in_its_colour_and_shape(models, dimensions):
    panels = [make_panel(model, dimensions) for model in models]
    figure = figures.joint_map(panels)
    for number, model in enumerate(models):
        for role, rows in (("audio", model.audio()), ("text", model.text())):
            trace = by_role(figure, role, number)
            drawn = np.stack([trace[axis] for axis in "xyz"[:dimensions]], axis=1)
            np.testing.assert_allclose(drawn, rows[:, :dimensions])
            assert trace.marker.color == theme.MODALITY[role] and trace.marker.symbol == theme.SYMBOL[role]
            assert trace.marker.opacity == 0.6 and trace.type == ("scattergl" if dimensions == 2 else "scatter3d")
    ends = by_role(figure, "gap", 1)
    np.testing.assert_allclose([ends.x[0], ends.y[0]], models[1].audio()[:, :2].mean(0), rtol=1e-5)
    np.testing.assert_allclose([ends.x[1], ends.y[1]], models[1].text()[:, :2].mean(0), rtol=1e-5)


def test_the_gap_on_the_figure_is_that_of_the_embeddings(models, panels):
    for model, panel in zip(models, panels):
        truth = centroid_distance(**model.space().pairs)
        assert panel.gap == pytest.approx(truth, abs=1e-6)
    title = figures.joint_map(panels).layout.title.text.replace("<br>", " ").replace("\u00a0", " ")
    assert f"{panels[0].gap:.3f} ± {panels[0].gap_half_width:.3f}" in title and "CLAP keeps" in title
    assert "do not differ" in gap_answer([panels[0], panels[0]])


def test_worst_pairs_join_the_captions_of_the_worst_rank_to_their_clips(models, panels):
    model, panel = models[0], panels[0]
    ranks = text_to_audio_ranks(audio=model.audio(), text=model.text(), clip_of_caption=model.clip_of_caption).expected
    rows = worst_rows(panel, 4)
    assert sorted(ranks[rows - len(model.frame)]) == sorted(ranks)[-4:]
    line = by_role(figures.joint_map(panels, worst=4), "worst")
    assert len(line.x) == 12 and np.isnan(line.x[2::3]).all()
    np.testing.assert_allclose(line.x[1::3], model.audio()[model.clip_of_caption[rows - len(model.frame)], 0])
    table = worst_table(panels, 4)
    assert list(table["model"]) == ["SLAP"] * 4 + ["CLAP"] * 4 and list(table["rank"][:4]) == sorted(ranks)[::-1][:4]
    assert "worst captions" in figures.worst_pairs(panels, worst=4).layout.title.text


def test_facts_that_are_named_like_columns_of_points_are_kept_apart():
    dataset = make_clips(None)
    more = [{"kind": "loop" if i % 2 else "song", "rank": i, "x": 0.5, "model": "TB-303"} for i in range(len(dataset))]
    named = dataset.with_clips(dataclasses.replace(c, facts=c.facts | facts) for c, facts in zip(dataset, more))
    plain, panel = (make_panel(make_embedded(one)) for one in (dataset, named))
    for column in ("kind", "rank", "x"):
        np.testing.assert_array_equal(plain.points[column], panel.points[column])
    assert list(panel.points["rank (table)"][:3]) == [0, 1, 2] and set(worst_table([panel])["model"]) == {"SLAP"}
    assert "kind (table)" in color_columns(panel.points) and "x" not in color_columns(panel.points)
    assert figures.joint_map([panel], color="kind (table)").data


@pytest.mark.parametrize("first", [0, 1_700_000_000])
def test_quarters_of_numbers_and_long_names_have_colours_of_their_own(panels, first):
    numbers = first + np.arange(len(panels[0].points)) % 12
    panel = dataclasses.replace(panels[0], points=panels[0].points.assign(year=numbers))
    found = coloring([panel], "year")
    assert len(set(found.names)) == 4 and found.names[0].startswith(f"{first} to ")
    assert np.bincount(found.codes[0]).tolist() == [9, 9, 9, 9]
    endless = np.where(np.arange(len(numbers)) == 0, np.inf, numbers)
    panel = dataclasses.replace(panel, points=panel.points.assign(year=endless))
    found = coloring([panel], "year")
    assert len(found.names) == 5 and np.flatnonzero(found.codes[0] == 4).tolist() == [0], "infinity is unknown"
    styles = ["Electronic, Experimental, and all that is like it: " + "AB"[i % 2] for i in range(len(numbers))]
    long = dataclasses.replace(panels[0], points=panels[0].points.assign(style=styles))
    assert np.bincount(coloring([long], "style").codes[0]).tolist() == [18, 18], "names that are cut alike are two"


def test_no_text_from_data_is_markup_for_plotly():
    dataset = make_clips(None, clips=len(PAYLOADS), per_clip=1, texts=PAYLOADS)
    panel = make_panel(make_embedded(dataset))
    figure = figures.joint_map([panel], color="style", worst=5)
    others = [figures.worst_pairs([panel]), figures.sentence_on_map([panel], [[0, 0]], PAYLOADS[0], PAYLOADS[1:2])]
    for drawn in (figure, *others):
        texts = [t for trace in drawn.data for t in [trace.name, *(np.ravel(trace.hovertext))] if t]
        texts += [note.text for note in drawn.layout.annotations] + [drawn.layout.title.text]
        for shown in map(str, texts):
            assert not re.search(r"<(?!/?b>|br>)", shown), shown
            assert "$" not in shown and not re.search("[\x00-\x1f\u202a-\u202e\u2066-\u2069]", shown)
    assert text.plain("a\u202eb\x00c\u200d\U0001f600\nd") == "abc\u200d\U0001f600 d"
    assert text.escaped("<b>&$x$") == "&lt;b&gt;&amp;&#36;x&#36;"
    assert "<" not in text.json_for_script({"a": "</script>\u2028"})


def data_of(page):
    [found] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return json.loads(found)


def test_the_page_holds_all_it_needs(tmp_path, models, panels):
    page = save_html(models, panels, tmp_path / "map.html", clips=5, seconds=0.5).read_text()
    data = data_of(page)
    assert [int(c) for c in data["sounds"]] == chosen_clips(panels, 5) and len(data["sounds"]) == 5
    assert soundfile.info(io.BytesIO(base64.b64decode(next(iter(data["sounds"].values()))))).duration < 0.6
    assert data["clips"][3]["title"] == "Tune 3" and data["captions"][1]["texts"] == models[1].captions
    np.testing.assert_allclose(data["places"][1], panels[1].coordinates, atol=1e-4)
    own = page.replace(re.findall(r"<script>.*?</script>", page, re.DOTALL)[0], "")
    assert not re.search("https?:|<(link|img|iframe)", own), "only plotly.js names addresses"
    assert "default-src 'none'" in own and "prefers-color-scheme" in own


def test_hostile_texts_end_no_script_and_a_lost_file_stops_no_page(tmp_path):
    dataset = make_clips(None, clips=len(PAYLOADS), per_clip=1, texts=PAYLOADS)  # their files do not exist
    model = make_embedded(dataset, name=PAYLOADS[0])
    page = save_html([model], [make_panel(model)], tmp_path / "map.html", color="style").read_text()
    assert data_of(page)["sounds"] == {}
    assert page.count("<script") == page.count("</script>") == 3 + get_plotlyjs().count("</script>")
    assert "<" not in re.search(r"<title>(.*?)</title>", page, re.DOTALL)[1]


def test_a_run_is_embedded_as_it_is_evaluated_and_then_read(tmp_path, monkeypatch):
    tones, settings = make_tones(tmp_path / "tones", clips=24), tiny(train={"steps": 2, "objective": "slap"})
    given = {"model": settings.model, "config": settings.train, "dataset": tones, "progress": False}
    training.train(**given, out_dir=tmp_path / "run" / "checkpoint", cache_dir=tmp_path)
    options = {"cache_dir": tmp_path, "progress": False}
    found = embed_run(tmp_path / "run", tones, **options)
    assert found.name == "SLAP" and found.candidates == len(found.clips) == tones.splits["test"]
    assert not np.allclose(found.arrays["z_first"], found.arrays["z_last"]), "two windows of a clip"
    monkeypatch.setattr(points, "embed_split", lambda *_, **__: pytest.fail("embedded again"))
    again = embed_run(tmp_path / "run" / "checkpoint", tones, **options)
    assert all(np.array_equal(again.arrays[name], found.arrays[name]) for name in found.arrays)
    with pytest.raises(CheckpointError, match="tones"):
        embed_run(tmp_path / "tones", tones, **options)


def test_models_of_other_clips_do_not_share_a_figure_and_a_sample_keeps_ranks(models):
    model, part = models[0], models[0].sample(15, seed=3)
    assert len(part) == 15 and len(part.frame) == 5 and part.sample(None) is part
    for caption, clip, rank in zip(part.captions, part.clip_of_caption, part.text_ranks["q"]):
        whole = model.captions.index(caption)
        assert part.frame["id"][clip] == model.frame["id"][model.clip_of_caption[whole]]
        assert rank == model.text_ranks["q"][whole]
    assert list(model.sample(9, seed=1).frame["id"]) == list(model.sample(9, seed=1).frame["id"])
    for wrong in ([model, part], []):
        with pytest.raises(DataError):
            require_same_clips(wrong)
    with pytest.raises(DataError, match="2"):
        model.sample(2)
