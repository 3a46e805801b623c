"""Texts that would run where a page took them for markup: in captions, facts, tags and file names, they are shown."""

from __future__ import annotations

import html
import json

import nbformat
import numpy as np
import pytest
import soundfile

from slapkit import data
from tests.viz.browser.bench import Bench
from tests.viz.browser.conftest import watched
from tests.viz.browser.lab import shown
from tests.viz.browser.payloads import PAYLOADS, file_name, visible
from tests.viz.browser.plots import hover, places

# What ran, and what became an element though it stood in a text.
RAN = "() => window.__pwned ?? null"
GREW = """() => [...document.querySelectorAll('[onerror], [onload], [onfocus], [ontoggle], [onbegin], [onmouseover],'
    + '[href^="javascript" i], iframe[srcdoc], iframe[src^="javascript" i], img[src="x"], mglyph')]
    .map(element => element.outerHTML.slice(0, 200))"""
# Bring a point into the middle of its panel, far from all others, and say where that is in the window.
CENTRE = """async ([role, number]) => {
    const map = document.getElementById('map');
    const trace = map._fullData.find(t => t.meta && t.meta.panel === 0 && t.meta.role === role);
    const [x, y, near] = [trace.x[number], trace.y[number], 1e-3];
    await Plotly.relayout(map, {'xaxis.range': [x - near, x + near], 'yaxis.range': [y - near, y + near]});
    const [across, up, box] = [map._fullLayout.xaxis, map._fullLayout.yaxis, map.getBoundingClientRect()];
    return [box.left + across._offset + across.c2p(x), box.top + up._offset + up.c2p(y)];
}"""
CELLS = {
    "imports": """
        from pathlib import Path
        from slapkit import data
        from slapkit.metrics import evaluate
        from slapkit.viz import display, figures, maps
        from slapkit.search import Library
        from slapkit.search.marks import Marks
        from slapkit.runs import choose_runs
        from slapkit.viz.widgets import ErrorsView, MapView, Player, PlayerItem, SearchBench
        folders = choose_runs("latest", runs_dir="../runs")
        hostile = data.read("../data/hostile")
        frame = hostile.to_frame()
    """,
    "figures": """
        figures.counts(frame, "title", title="{n} titles; the most frequent is {first}, {share}", top=40).show()
    """,
    "players": """
        display.players([(clip.path, clip.facts["title"], clip.captions) for clip in hostile])
    """,
    "map": """
        model = maps.embed_run(folders[0], hostile, split="test", cache_dir=Path("../data/cache"))
        view = MapView([model], maps.MapStore(), color="style")
        page = view.save_html("../map.html", clips=5)
        view
    """,
    "player": """
        read = frame["path"].map(Path).tolist()
        lines = [[text, *facts] for text, facts in zip(frame["title"], frame["captions"])]
        Player([PlayerItem(t[0], t, lambda p=p: (p.read_bytes(), "audio/wav")) for t, p in zip(lines, read)])
    """,
    "bench": """
        library = Library.build("../data/hostile", folders[0], out="../data/libraries/hostile", progress=False)
        SearchBench(library, query="a flute", k=40, marks=Marks(Path("../marks.json")))
    """,
    "tagged": """
        tagged = Library.build("../data/tagged", folders[0], out="../data/libraries/tagged", progress=False)
        SearchBench({"<img src=x onerror=window.__pwned=41>": tagged}, query="a flute", k=40)
    """,
    "errors": """
        import slapkit
        split = evaluate.embed_split(slapkit.load(folders[0]), hostile, split="test", cache_dir=Path("../data/cache"))
        ErrorsView(library, split, Marks(Path("../marks.json")))
    """,
}


def test_the_payloads_are_live(browser):
    """Forty different texts; put into a page as they stand, most of them run: the tests below would see it."""
    assert len(set(PAYLOADS)) == len({visible(payload, 5000) for payload in PAYLOADS}) == 40
    frames = "".join(f"<iframe srcdoc='{html.escape(payload, quote=True)}'></iframe>" for payload in PAYLOADS)
    page = watched(browser.new_page())
    page.set_content(f"<!doctype html><body>{frames}</body>")
    page.wait_for_timeout(500)
    ran = sum(bool(frame.evaluate(RAN) is not None or frame.evaluate(GREW)) for frame in page.frames[1:])
    page.close()
    assert ran >= 20, f"{ran} of 40 ran"


def make_hostile(project):
    """Write two folders of forty tones: one with a table, one whose tags and file names speak."""
    rate = 24_000
    # Long enough that a sound is still on when a slow machine looks whether it plays.
    time = np.arange(8 * rate) / rate
    rows = []
    for folder in ("hostile", "tagged"):
        (project / "data" / folder).mkdir(parents=True, exist_ok=True)
    for number, payload in enumerate(PAYLOADS):
        wave = (0.3 * np.sin(2 * np.pi * 110 * 1.07**number * time)).astype(np.float32)
        name = file_name(payload)
        soundfile.write(project / "data" / "hostile" / name, wave, rate)
        facts = {"title": payload, "style": PAYLOADS[number % 8], "instruments": [payload, "flute"], "artist": payload}
        rows.append({"file_name": name, "captions": [payload], "split": "test", **facts})
        path = project / "data" / "tagged" / file_name(payload, ".ogg")
        with soundfile.SoundFile(path, "w", rate, 1, format="OGG") as file:
            for tag in ("title", "artist", "album", "genre"):
                setattr(file, tag, payload.replace("\x00", "")[:2000])
            file.write(wave)
    (project / "data" / "hostile" / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def notebook(project, open_notebook):
    """Everything that shows texts, on one page, over texts that want to run."""
    make_hostile(project)
    node = nbformat.v4.new_notebook()
    for id, source in CELLS.items():
        lines = [line[8:] for line in source.strip("\n").splitlines()]
        node.cells.append(nbformat.v4.new_code_cell("\n".join(lines).strip(), id=id))
    node.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(node, project / "notebooks" / "hostile.ipynb")
    opened = open_notebook("hostile")
    opened.run_all()
    opened.finish()
    return opened


@pytest.fixture(autouse=True)
def nothing_ran(request):
    """After each test: nothing ran, nothing became an element, nothing was fetched."""
    yield
    if "notebook" not in request.fixturenames:
        return
    page = request.getfixturevalue("notebook").page
    assert [frame.evaluate(RAN) for frame in page.frames] == [None] * len(page.frames)
    assert page.evaluate(GREW) == []
    assert page.seen["dialogs"] == page.seen["markup"] == page.seen["remote"] == []


def missing(texts):
    """Return the payloads of which none of the texts shows anything."""
    shown = " ".join(visible(text, 10**6) for text in texts)
    return [payload[:60] for payload in PAYLOADS if visible(payload) not in shown]


def test_players_show_texts_as_they_stand(notebook):
    rows = notebook.cell("players").locator(".slap-clips tr")
    assert missing(shown(rows, 40)) == []


def test_a_card_of_sounds_shows_texts_as_they_stand(notebook):
    card = notebook.cell("player").locator(".slap-player")
    assert missing(shown(card.locator(".slap-player-item"), 40)) == []
    for number in (4, 17, 35):
        card.locator(".slap-player-item").nth(number).click()
        card.locator(f"[aria-current=true]:is(li:nth-child({number + 1}) *)").wait_for()
        [title] = shown(card.locator(".slap-player-title"))
        [lines] = shown(card.locator(".slap-player-lines"))
        assert visible(title) in visible(lines, 10**6)


def test_figures_show_names_as_they_stand(notebook):
    labels = notebook.cell("figures").locator(".ytick text").all_text_contents()
    assert len(labels) == 40 and missing(labels) == []


@pytest.mark.parametrize("cell", ["bench", "tagged"])
def test_cards_show_texts_as_they_stand(notebook, cell):
    bench = Bench(notebook.cell(cell).locator(".slap-bench"))
    assert missing(shown(bench.cards, 40)) == []
    for number in (3, 20, 38):
        bench.cards.nth(number).locator(".slap-round").click()
        bench.plays()
        bench.cards.nth(number).get_by_role("button", name="not this").hover()
    bench.cards.nth(5).get_by_role("button", name="more like this").click()
    bench.root.locator(".slap-term").wait_for()
    bench.search(PAYLOADS[3])
    bench.root.locator("code", has_text="onerror").wait_for()


def test_errors_show_texts_as_they_stand(notebook):
    view = notebook.cell("errors").locator(".slap-errors")
    assert missing(shown(view.locator(".slap-errors-caption"), 40)) == []
    view.locator(".slap-errors-caption").nth(7).click()
    view.locator(".slap-card").nth(1).wait_for()


def test_the_map_shows_texts_as_they_stand(notebook):
    cell = notebook.cell("map")
    plot = cell.locator(".js-plotly-plot")
    plot.wait_for()
    plot.evaluate("plot => plot.scrollIntoView({block: 'center'})")
    said = []
    for place in places(plot, "audio")[::4]:
        said += hover(notebook.page, plot, place)
    assert len(said) >= 5 and len(missing(said)) <= 36
    assert visible(PAYLOADS[0], 20) in visible(plot.locator(".legend").text_content(), 10**6)
    notebook.page.mouse.click(*places(plot, "audio")[3])
    cell.locator(".slap-player[data-state=ready]").wait_for()


def test_the_exported_map_shows_texts_as_they_stand(notebook, project, browser):
    page = watched(browser.new_page(viewport={"width": 1280, "height": 900}))
    page.goto((project / "map.html").as_uri())
    page.locator("body[data-ready=true]").wait_for()
    plot, said = page.locator("#map"), []
    for number, clip in enumerate(data.read(project / "data" / "hostile")):
        x, y = page.evaluate(CENTRE, ["audio" if number % 2 else "text", number])
        said += hover(page, plot, (x, y), expect=visible(clip.captions[0], 20))
        if number % 4:
            continue
        page.wait_for_timeout(150)
        page.mouse.click(x, y)
        assert visible(clip.captions[0], 20) in visible(page.locator("#card").inner_text(), 10**6), said[-1]
    assert missing(said) == []
    assert page.evaluate(RAN) is None and page.evaluate(GREW) == []
    assert page.seen == {"dialogs": [], "errors": [], "remote": [], "markup": []}
    page.close()
