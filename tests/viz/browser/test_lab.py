"""JupyterLab: training curves grow, the map is explored, and texts that try to run are shown as they are."""

import html
import json
import re
import time

import nbformat
import numpy as np
import pytest

from slapkit import data
from slapkit._io import sha256_file
from tests.viz.browser.conftest import watched
from tests.viz.browser.hostile import GREW, RAN, clean, make_hostile, missing
from tests.viz.browser.lab import shown
from tests.viz.browser.points import DIGEST, hover, loneliest, places, play_a_clip, settle, wait
from tests.viz.payloads import PAYLOADS, visible

pytestmark = pytest.mark.slow

DURATION = """audio => new Promise((done, failed) => {
    audio.onloadedmetadata = () => done(audio.duration);
    audio.onerror = () => failed(audio.error.message);
    audio.load();
})"""
LENGTHS = "plots => plots.map(p => p._fullData.map(t => (t.x || []).length))"
SCENES = """([view, count]) => {
    const plot = view.querySelector('.js-plotly-plot');
    const drawn = plot && plot._fullLayout && plot._fullLayout._subplots;
    return drawn && (drawn.gl3d || []).length === count && (drawn.cartesian || []).length === 2 - count;
}"""


def test_training_curves_grow(open_notebook, project):
    notebook = open_notebook("02_train")
    notebook.run_all()
    figures = notebook.cell("train").locator(".js-plotly-plot")
    figures.wait_for(timeout=180_000)
    seen, end = [], time.monotonic() + 120
    ran = notebook.cell("train").locator(".jp-InputArea-prompt", has_text=re.compile(r"\[\d+\]"))
    while not ran.count() and time.monotonic() < end:
        for lines in figures.evaluate_all(LENGTHS)[:1]:  # none while a figure is replaced
            seen += lines[:1]
        notebook.page.wait_for_timeout(100)
    notebook.finish()
    assert seen == sorted(seen) and len(set(seen)) >= 4, f"points shown while training: {seen}"
    run = max((project / "runs" / "02_train").glob("lab-*"))
    rows = [json.loads(line) for line in (run / "checkpoint" / "train.jsonl").read_text().splitlines()]
    [lengths] = notebook.cell("train").locator(".js-plotly-plot").evaluate_all(LENGTHS)
    assert lengths[:2] == [sum("loss" in row for row in rows), sum("validation" in row for row in rows)]


def test_the_map_is_explored(open_notebook, project):
    notebook = open_notebook("03_explore")
    notebook.run_all()
    notebook.finish()
    page, split = notebook.page, data.read(project / "data" / "scores-smoke").split("test")
    captions, owner = split.captions_flat()
    view = page.locator(".jp-OutputArea-output").filter(has=page.locator(".slap-player")).first
    plot = view.locator(".js-plotly-plot")
    plot.wait_for()

    # A click on a clip plays its file.
    settle(view, plot)
    play_a_clip(view, plot, split)

    # Hover shows a caption and joins it to its clip on both maps; a click plays the clip.
    settle(view, plot)
    index, place = loneliest(plot, "text")
    [said] = hover(page, plot, place, expect=visible(captions[index]))
    assert visible(captions[index]) in visible(said, 1000) and re.search(r"rank [\d.]+ of", said)
    wait(plot, "([plot]) => plot.querySelectorAll('.shapelayer path').length === 2")
    page.mouse.click(*place)
    card = view.locator(".slap-player[data-state=ready]").filter(has_text="True clip")
    card.wait_for()
    assert captions[index] in shown(card)[0] and card.locator(".slap-player-list li").count() == 4
    assert card.locator("audio").evaluate(DIGEST) == sha256_file(split[int(owner[index])].path)

    view.get_by_role("combobox").select_option(label="style")
    view.locator(".legend .traces").nth(3).wait_for()
    assert set(view.locator(".legend .legendtext").all_text_contents()[2:]) == {c.facts["style"] for c in split}

    settle(view, plot)
    plot.hover()
    view.locator(".modebar-btn[data-val=lasso]").first.click()
    points = np.concatenate([places(plot, role) for role in ("audio", "text")])
    (left, top), (right, bottom) = points.min(axis=0) - 8, points.max(axis=0) + 8
    page.mouse.move(left, top)
    page.mouse.down()
    for place in ((right, top), (right, bottom), (left, bottom), (left, top)):
        page.mouse.move(*place, steps=8)
    page.mouse.up()
    view.get_by_text(f"{len(split)} clips and {len(captions)} captions").wait_for()
    view.get_by_role("button", name="save selection").click()
    view.get_by_text(f"{len(split)} clips saved").wait_for()
    assert len((project / "data" / "playlists" / "selection.m3u8").read_text().splitlines()) == 1 + 2 * len(split)

    for button, scenes in (("3-D", 2), ("2-D", 0)):
        view.get_by_role("button", name=button).click()
        wait(view, SCENES, scenes)
    assert page.seen["dialogs"] == page.seen["remote"] == []


# Bring a point into the middle of its panel, far from all others, and return where that is in the window.
CENTRE = """async ([role, index]) => {
    const map = document.getElementById('map');
    const trace = map._fullData.find(t => t.meta && t.meta.panel === 0 && t.meta.role === role);
    const [x, y, near] = [trace.x[index], trace.y[index], 1e-3];
    await Plotly.relayout(map, {'xaxis.range': [x - near, x + near], 'yaxis.range': [y - near, y + near]});
    const [across, up, box] = [map._fullLayout.xaxis, map._fullLayout.yaxis, map.getBoundingClientRect()];
    return [box.left + across._offset + across.c2p(x), box.top + up._offset + up.c2p(y)];
}"""
CELLS = {
    "imports": """
        from pathlib import Path
        import slapkit
        from slapkit import data
        from slapkit.metrics.embedded import embed_split
        from slapkit.viz import figures, maps, widgets
        from slapkit.search import Library
        from slapkit.search.marks import Marks
        hostile = data.read("../data/hostile")
        frame = hostile.to_pandas()
        cache, marks = Path("../data/cache"), Marks(Path("../marks.json"))
    """,
    "figures": """
        figures.counts(frame, "title", title="{n} titles; the most frequent is {first}, {share}", top=40).show()
    """,
    "players": """
        widgets.players([(clip.path, clip.facts["title"], clip.captions) for clip in hostile])
    """,
    "map": """
        model = maps.embed_run("../models/slap", hostile, split="test", cache_dir=cache)
        view = widgets.MapView([model], maps.MapStore(), color="style")
        page = view.save_html("../map.html", clips=5)
        view
    """,
    "bench": """
        library = Library.build("../data/hostile", "../models/slap", out="../data/libraries/hostile", progress=False)
        widgets.SearchBench(library, query="a flute", k=40, marks=marks)
    """,
    "errors": """
        split = embed_split(slapkit.load("../models/slap"), hostile, split="test", cache_dir=cache)
        widgets.ErrorsView(library, split, marks)
    """,
}


def test_the_payloads_are_live(browser):
    """Put into a page as markup, most of them run: the tests below would see it."""
    assert len(set(PAYLOADS)) == len({visible(payload, 5000) for payload in PAYLOADS}) == 40
    frames = "".join(f"<iframe srcdoc='{html.escape(payload, quote=True)}'></iframe>" for payload in PAYLOADS)
    page = watched(browser.new_page())
    page.set_content(f"<!doctype html><body>{frames}</body>")
    page.wait_for_timeout(500)
    ran = sum(bool(frame.evaluate(RAN) is not None or frame.evaluate(GREW)) for frame in page.frames[1:])
    page.close()
    assert ran >= 20


def test_hostile_texts_are_shown_as_they_are(project, open_notebook, browser):
    make_hostile(project)
    node = nbformat.v4.new_notebook()
    for id, source in CELLS.items():
        lines = [line[8:] for line in source.strip("\n").splitlines()]
        node.cells.append(nbformat.v4.new_code_cell("\n".join(lines).strip(), id=id))
    node.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(node, project / "notebooks" / "hostile.ipynb")
    notebook = open_notebook("hostile")
    notebook.run_all()
    notebook.finish()

    assert missing(notebook.cell("figures").locator(".ytick text").all_text_contents()) == []
    players = notebook.cell("players")
    assert missing(shown(players.locator(".slap-clips tr"), 40)) == []
    assert players.locator("audio").first.evaluate(DURATION) == pytest.approx(8, abs=0.2)

    bench = notebook.cell("bench").locator(".slap-bench")
    cards = bench.locator(".slap-card")
    assert missing(shown(cards, 40)) == []
    bench.locator(".slap-query").press("ArrowDown")
    notebook.page.keyboard.press("Space")  # goes to the bench, not to JupyterLab
    cards.first.locator(".slap-round[data-state=playing]").wait_for()
    cards.nth(5).get_by_role("button", name="more like this").click()
    bench.locator(".slap-term").wait_for()
    cards.nth(2).get_by_role("button", name="and this").click()
    bench.locator(".slap-term").nth(1).wait_for()
    bench.locator("code", has_text="plus=[").wait_for()
    bench.get_by_role("button", name="save as playlist").click()
    bench.locator(".slap-notice", has_text="saved ../data/playlists/like-").wait_for()
    bench.locator(".slap-query").fill(PAYLOADS[3])
    bench.locator("code", has_text="onerror").wait_for()

    errors = notebook.cell("errors").locator(".slap-errors")
    assert missing(shown(errors.locator(".slap-errors-caption"), 40)) == []
    errors.locator(".slap-errors-caption").nth(7).click()
    errors.locator(".slap-card .slap-round").nth(1).click()
    errors.locator("[data-state=playing]").wait_for()
    assert notebook.page.locator(".slap-bench [data-state=playing]").count() == 1, "one player at a time"

    plot = notebook.cell("map").locator(".js-plotly-plot")
    plot.wait_for()
    plot.evaluate("plot => plot.scrollIntoView({block: 'center'})")
    said = [text for place in places(plot, "audio")[::8] for text in hover(notebook.page, plot, place)]
    assert len(said) >= 3 and len(missing(said)) < 40
    assert visible(PAYLOADS[0], 20) in visible(plot.locator(".legend").text_content(), 10**6)
    place = places(plot, "audio")[3]
    hover(notebook.page, plot, place)  # a click opens the point whose label the plot shows
    notebook.page.mouse.click(*place)
    notebook.cell("map").locator(".slap-player[data-state=ready]").wait_for()
    clean(notebook.page)

    page = watched(browser.new_page(viewport={"width": 1280, "height": 900}))
    page.goto((project / "map.html").as_uri())
    page.locator("body[data-ready=true]").wait_for()
    said = []
    for index, clip in enumerate(data.read(project / "data" / "hostile")):
        x, y = page.evaluate(CENTRE, ["audio" if index % 2 else "text", index])
        said += hover(page, page.locator("#map"), (x, y), expect=visible(clip.captions[0], 20))
        if index % 8 == 0:
            page.wait_for_timeout(150)
            page.mouse.click(x, y)
            assert visible(clip.captions[0], 20) in visible(page.locator("#card").inner_text(), 10**6)
    assert missing(said) == [] and page.seen["errors"] == []
    clean(page)
    page.close()
