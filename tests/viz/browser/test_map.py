"""03_explore in JupyterLab: a click plays the right clip, hover tells the right caption, switches and lasso work."""

from __future__ import annotations

import re

import numpy as np
import pytest

from slapkit import data
from slapkit._io import sha256_file
from tests.viz.browser.lab import shown
from tests.viz.browser.payloads import visible
from tests.viz.browser.plots import DIGEST, apart, hover, places

SCENES = """([view, count]) => {
    const plot = view.querySelector('.js-plotly-plot');
    const drawn = plot && plot._fullLayout && plot._fullLayout._subplots;
    return drawn && (drawn.gl3d || []).length === count && (drawn.cartesian || []).length === 2 - count;
}"""


@pytest.fixture(scope="module")
def notebook(open_notebook):
    opened = open_notebook("03_explore")
    opened.run_all()
    opened.finish()
    return opened


@pytest.fixture(scope="module")
def split(project):
    """The clips that the map shows, in its order."""
    return data.read(project / "data" / "scores-smoke").split("test")


@pytest.fixture
def view(notebook):
    """The output that holds the map with its player, at the top of the window, when nothing moves any more."""
    found = notebook.page.locator(".jp-OutputArea-output").filter(has=notebook.page.locator(".slap-player")).first
    found.locator(".js-plotly-plot").wait_for()
    found.evaluate("output => output.scrollIntoView({block: 'start'})")
    before = None
    while before != (before := found.locator(".js-plotly-plot").bounding_box()):
        notebook.page.wait_for_timeout(200)
    return found


@pytest.fixture
def plot(view):
    return view.locator(".js-plotly-plot")


def loneliest(plot, role, panel=0):
    """Return number and place of the point of a role that stands farthest from all others."""
    points, others = places(plot, role, panel), places(plot, {"audio": "text", "text": "audio"}[role], panel)
    number = int(apart(points, others).argmax())
    return number, points[number]


def ready(view, title):
    """Wait until the player of the view holds the sound under this title, and return the card."""
    card = view.locator(".slap-player[data-state=ready]").filter(has_text=title)
    card.wait_for(timeout=60_000)
    return card


def test_the_map_shows_every_clip_and_caption(notebook, plot, split):
    for panel in (0, 1):
        assert len(places(plot, "audio", panel)) == len(split)
        assert len(places(plot, "text", panel)) == len(split.captions_flat()[0])
    box = plot.bounding_box()
    inside = np.concatenate([places(plot, role, panel) for role in ("audio", "text") for panel in (0, 1)])
    assert (inside[:, 0] > box["x"]).all() and (inside[:, 0] < box["x"] + box["width"]).all()
    assert (inside[:, 1] > box["y"]).all() and (inside[:, 1] < box["y"] + box["height"]).all()
    assert notebook.page.seen["dialogs"] == notebook.page.seen["remote"] == []
    notebook.save()
    assert notebook.file.stat().st_size < 8_000_000


@pytest.mark.parametrize("panel", [0, 1])
def test_a_click_on_a_clip_plays_it(notebook, view, plot, split, panel):
    number, place = loneliest(plot, "audio", panel)
    hover(notebook.page, plot, place, expect=visible(split[number].facts["title"]))
    notebook.page.mouse.click(*place)
    title = " ".join(split[number].facts["title"].split())
    card = ready(view, title)
    assert shown(card.locator(".slap-player-title")) == [title]
    assert split[number].captions[0] in shown(card)[0]
    assert card.locator("audio").evaluate(DIGEST) == sha256_file(split[number].path)


def test_a_click_on_a_caption_plays_its_clip_and_then_what_was_found(notebook, view, plot, split, project):
    captions, owner = split.captions_flat()
    number, place = loneliest(plot, "text")
    hover(notebook.page, plot, place, expect=visible(captions[number]))
    notebook.page.mouse.click(*place)
    clip = split[int(owner[number])]
    card = ready(view, "True clip")
    assert " ".join(clip.facts["title"].split()) in shown(card.locator(".slap-player-title"))[0]
    assert captions[number] in shown(card)[0]
    assert card.locator("audio").evaluate(DIGEST) == sha256_file(clip.path)
    hits = card.locator(".slap-player-list li")
    assert hits.count() == 4
    best = split[nearest(project, split, captions[number])]
    hits.nth(1).get_by_role("button").click()
    title = card.locator(".slap-player-title", has_text="hit 1")
    assert " ".join(best.facts["title"].split()) in shown(title)[0]
    ready(view, "hit 1")
    assert card.locator("audio").evaluate(DIGEST) == sha256_file(best.path)


def nearest(project, split, caption):
    """Return the number of the clip that the project's SLAP run finds first for a caption."""
    import slapkit

    [run] = project.glob("runs/02_train/*slap*/checkpoint")
    model = slapkit.load(run, device="cpu")
    cosines = model.embed_audio([clip.path for clip in split]) @ model.embed_text([caption])[0]
    return int(cosines.argmax())


def test_hover_tells_the_caption_and_draws_its_line(notebook, plot, split):
    captions, _ = split.captions_flat()
    number, place = loneliest(plot, "text")
    [said] = hover(notebook.page, plot, place, expect=visible(captions[number]))
    assert visible(captions[number]) in visible(said, 1000) and re.search(r"rank [\d.]+ of", said)
    notebook.page.wait_for_function(
        "plot => plot.querySelectorAll('.shapelayer path').length === 2", arg=plot.element_handle(), timeout=60_000
    )


def test_colours_follow_the_menu(view, split):
    view.get_by_role("combobox").select_option(label="style")
    view.locator(".legend .traces").nth(3).wait_for()
    named = view.locator(".legend .legendtext").all_text_contents()
    styles = {clip.facts["style"] for clip in split}
    assert named[:2] == ["clips (audio)", "captions (text)"]
    assert set(named[2:]) == styles if len(styles) <= 10 else len(named) == 12
    view.get_by_role("combobox").select_option(label="modality")


def test_a_lasso_gives_a_table(notebook, view, plot, split):
    box = plot.bounding_box()
    plot.hover()
    view.locator(".modebar-btn[data-val=lasso]").click()
    mouse, points = notebook.page.mouse, np.concatenate([places(plot, role) for role in ("audio", "text")])
    (left, top), (right, bottom) = points.min(axis=0) - 8, points.max(axis=0) + 8
    mouse.move(left, top)
    mouse.down()
    for place in ((right, top), (right, bottom), (left, bottom), (left, top)):
        mouse.move(*place, steps=8)
    mouse.up()
    assert box["height"] > 300
    words = f"{len(split)} clips and {len(split.captions_flat()[0])} captions"
    view.get_by_text(words).wait_for(timeout=60_000)


def test_three_dimensions_and_back(notebook, view):
    for button, scenes in (("3-D", 2), ("2-D", 0)):
        view.get_by_role("button", name=button).click()
        # The plot is another one then.
        notebook.page.wait_for_function(SCENES, arg=[view.element_handle(), scenes], timeout=60_000)
