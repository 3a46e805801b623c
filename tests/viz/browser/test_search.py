"""04_search in JupyterLab: what the bench shows is what the library finds, by keyboard and by pointer."""

from __future__ import annotations

import pytest

from slapkit._io import sha256_file
from tests.viz.browser.bench import Bench
from tests.viz.browser.lab import shown
from tests.viz.browser.plots import DIGEST

QUERY = "slow solo flute"


@pytest.fixture(scope="module")
def notebook(open_notebook):
    opened = open_notebook("04_search")
    opened.run_all()
    opened.finish()
    return opened


@pytest.fixture(scope="module")
def libraries(notebook, project):
    """The libraries that the notebook has built, opened here: name of the model -> library."""
    from slapkit.search import Library

    found = [Library.open(path.parent) for path in project.glob("data/libraries/scores-smoke-*/library.json")]
    assert len(found) == 2
    return {library.model_name: library for library in found}


@pytest.fixture
def ids(libraries):
    """The ids that a library finds for a query."""

    def find(query, *, model="SLAP", k=10, **more):
        return libraries[model].search(query, k=k, **more)["id"].tolist()

    return find


@pytest.fixture
def bench(notebook, ids):
    """The bench as the reader finds it: one model, no filter, ten results of one query."""
    found = Bench(notebook.page.locator(".slap-bench:not(.slap-errors)").first)
    found.root.evaluate("root => root.scrollIntoView({block: 'start'})")
    found.choose("model", "SLAP")
    found.root.get_by_label("results", exact=True).fill("10")
    for menu in found.root.locator("select[data-column]:visible").all():
        menu.select_option("")
    for term in found.root.locator(".slap-term button").all():
        term.click()
    found.search(QUERY)
    found.shows(ids(QUERY))
    found.rest()
    return found


def test_the_notebook_runs_and_stays_small(notebook):
    assert notebook.page.seen["dialogs"] == notebook.page.seen["remote"] == []
    notebook.save()
    assert notebook.file.stat().st_size < 2_000_000


@pytest.mark.parametrize("query", ["fast trumpet; a jig", "calm strings - drums", "слово", "x" * 300])
def test_cards_are_what_the_library_finds(bench, libraries, query):
    parts = [part.strip() for part in query.split(";")]
    expected = libraries["SLAP"].search(parts if len(parts) > 1 else query, k=10)
    bench.search(query)
    bench.shows(expected["id"])
    for number, (text, row) in enumerate(zip(shown(bench.cards, 10), expected.to_dict("records")), start=1):
        assert text.split()[0] == str(number) and "top " in text
        assert row["title"] in text and row["captions"][0] in text
    drawn = bench.root.locator(".slap-picture[data-state=drawn]")
    drawn.nth(9).wait_for()


def test_results_come_while_typing_and_nothing_jumps(bench, ids):
    before = bench.root.bounding_box()
    bench.box.fill("")
    bench.says("Write what the music should sound like")
    bench.shows(ids(QUERY))
    bench.box.press_sequentially("solo harp", delay=20)
    bench.shows(ids("solo harp"))
    assert bench.root.bounding_box() == before


def test_filters_and_k_hold(bench, ids):
    menu = bench.root.locator("select[data-column=style]")
    menu.select_option(index=1)
    style = menu.locator("option").nth(1).text_content().rsplit(" (", 1)[0]
    bench.shows(ids(QUERY, where={"style": style}))
    bench.root.get_by_label("results", exact=True).fill("4")
    bench.box.press("Enter")
    bench.shows(ids(QUERY, k=4, where={"style": style}))
    assert f"where={{'style': {style!r}}}" in shown(bench.root.locator("code"))[0]


def test_arrows_move_and_space_plays(bench, ids, libraries):
    found = ids(QUERY)
    bench.box.press("ArrowDown")
    assert bench.focused() == found[0]
    bench.page.keyboard.press("ArrowDown")
    assert bench.focused() == found[1]
    bench.page.keyboard.press("Space")
    bench.plays()
    assert bench.audio.evaluate(DIGEST) == sha256_file(libraries["SLAP"].path(found[1]))
    bench.page.keyboard.press("Space")
    bench.plays(False)
    bench.page.keyboard.press("ArrowUp")
    assert bench.focused() == found[0]
    bench.page.keyboard.press("ArrowUp")
    assert bench.page.evaluate("() => document.activeElement.className") == "slap-query"
    assert bench.box.input_value() == QUERY, "no key went astray"


def test_two_models_side_by_side(bench, ids):
    bench.choose("model", "SLAP | CLAP")
    bench.shows(ids(QUERY, model="SLAP"), ids(QUERY, model="CLAP"))
    bench.box.press("ArrowDown")
    bench.page.keyboard.press("ArrowRight")
    assert bench.focused() == ids(QUERY, model="CLAP")[0]


def test_more_like_this_and_not_this(bench, ids, libraries):
    like, found = libraries["SLAP"].like, ids(QUERY)
    bench.cards.nth(2).get_by_role("button", name="more like this").click()
    bench.shows(ids(like(found[2])))
    bench.root.locator(".slap-term button").click()
    bench.search(QUERY)
    bench.shows(found)
    bench.cards.first.get_by_role("button", name="not this").click()
    bench.shows(ids(QUERY, minus=[like(found[0])]))


def test_a_sound_file_is_searched_by(bench, ids, libraries):
    path = libraries["SLAP"].path(ids(QUERY)[3])
    bench.root.locator("input[type=file]").set_input_files(path)
    bench.shows(ids(path))
    assert path.name in shown(bench.root.locator(".slap-term"))[0]


def test_a_mark_is_kept_beside_the_run(bench, project):
    button = bench.cards.first.get_by_role("button", name="also relevant")
    assert button.get_attribute("aria-pressed") == "false"
    button.click()
    bench.page.wait_for_function("b => b.getAttribute('aria-pressed') === 'true'", arg=button.element_handle())
    [marks] = project.glob("runs/**/marks.json")
    assert QUERY in marks.read_text()
    button.click()
    bench.page.wait_for_function("b => b.getAttribute('aria-pressed') === 'false'", arg=button.element_handle())
    assert QUERY not in marks.read_text()


def test_the_first_result_is_seen_without_scrolling(bench):
    card = bench.cards.first.bounding_box()
    assert card["y"] + card["height"] < 800 and card["height"] > 60


def test_only_one_sound_at_a_time(bench, notebook):
    """Playing an error's track pauses the bench."""
    bench.cards.first.locator(".slap-round").click()
    bench.plays()
    errors = Bench(notebook.page.locator(".slap-errors").first)
    errors.cards.first.locator(".slap-round").click()
    errors.plays()
    bench.plays(False)
    errors.cards.first.locator(".slap-round").click()
    errors.plays(False)


def test_every_control_has_a_name(bench):
    unnamed = """root => [...root.querySelectorAll('button, select, input:not(.slap-hidden)')]
        .filter(control => !(control.getAttribute('aria-label') || control.textContent.trim()))
        .map(control => control.outerHTML)"""
    assert bench.root.evaluate(unnamed) == []
