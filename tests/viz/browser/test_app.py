"""`slapkit app` in a browser: a query is answered, a point plays, texts that try to run are shown as they are."""

import contextlib
import time

import psutil
import pytest

from slapkit import data
from slapkit.search import Library
from tests.viz.browser.hostile import clean, make_hostile, missing
from tests.viz.browser.lab import running, shown
from tests.viz.browser.points import hover, places, play_a_clip, settle, wait
from tests.viz.payloads import PAYLOADS, visible

pytestmark = pytest.mark.slow
LONG_S = 45  # longer than 30 s, after which servers look whether a page still answers


@pytest.fixture
def serve_app(project, tmp_path):
    """A function that runs the command with parameters."""

    def serve(*parameters):
        command = ["slapkit", "app", "--no-browser", "--port", "{port}"]
        return running([*command, *(word for text in parameters for word in ("-p", text))], project, tmp_path)

    return serve


def open_page(page, server, label):
    """Open the start page, choose a page there, and wait until all of it has run."""
    page.goto(f"{server.url}/?token={server.token}")
    page.locator(".app-pages").get_by_role("link", name=label).click(no_wait_after=True)
    page.locator(".app-bar [aria-current]", has_text=label).wait_for()
    page.locator("body[data-ready=true]").wait_for(timeout=300_000)


def kernels_of(pid):
    """The kernels that a server runs; one that ended since it was listed is none."""
    found = []
    for process in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            found += [process] if "ipykernel_launcher" in process.cmdline() else []
    return found


def files_of(folder):
    return {path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}


def test_a_query_is_answered_and_a_point_plays(page, project, serve_app):
    before = files_of(project / "runs")
    with serve_app("data=data/scores-smoke", "runs=models/slap,models/clap", "k=5") as server:
        stranger = page.request.get(f"{server.url}/voila/render/04_search.ipynb")
        assert "login" in stranger.url and "rendered_cells" not in stranger.text()

        open_page(page, server, "Search")
        bench = page.locator(".slap-bench").first
        bench.get_by_role("searchbox").fill("fast violin")
        bench.get_by_role("searchbox").press("Enter")
        bench.locator(".slap-columns[data-query='fast violin']").wait_for()
        cards = bench.locator(".slap-column").first.locator(".slap-card")
        [library] = (
            library
            for library in map(Library.open, (project / "data" / "libraries").glob("scores-smoke-*"))
            if library.model_name == "SLAP"
        )
        found = list(library.search("fast violin", k=5)["id"])
        assert [card.get_attribute("data-id") for card in cards.all()] == found
        cards.nth(1).locator(".slap-round").click()
        cards.nth(1).locator("[data-state=playing]").wait_for()
        assert bench.evaluate("(b) => (a => !a.paused && a.src.startsWith('blob:'))(b.querySelector('audio'))")
        assert "from slapkit" not in page.content(), "no code"

        open_page(page, server, "Map")
        view = page.locator(".jp-OutputArea-output").filter(has=page.locator(".slap-player")).first
        plot = view.locator(".js-plotly-plot")
        plot.wait_for()
        settle(view, plot)
        split = data.read(project / "data" / "scores-smoke").split("test")
        play_a_clip(view, plot, split)
        for place in places(plot, "audio")[:8]:  # pressed in passing, faster than Python answers a hover
            last = view.locator("audio").evaluate("audio => audio.src")
            page.wait_for_timeout(400)  # or two clicks would be a double one
            page.mouse.move(*place)
            page.wait_for_timeout(60)
            page.mouse.click(*place)
            page.mouse.move(place[0] - 40, place[1] - 40)
            wait(view, "([view, last]) => ![last, ''].includes(view.querySelector('audio').src)", last)
        assert page.locator(".js-plotly-plot").count() >= 5, "the other figures too"

        page.goto("about:blank")
        end = time.monotonic() + 60
        while kernels := kernels_of(server.pid):
            assert time.monotonic() < end, f"{len(kernels)} kernels outlive their pages"
            time.sleep(0.5)
    assert page.seen["dialogs"] == page.seen["remote"] == page.seen["errors"] == []
    assert files_of(project / "runs") == before, "opening a page is no run"


def test_hostile_texts_are_shown_as_they_are(page, project, serve_app):
    make_hostile(project)
    given = ("data=data/hostile", "runs=models/slap", "k=40", "query=a flute", "color=style")
    with serve_app(*given) as server:
        open_page(page, server, "Search")
        bench, errors = page.locator(".slap-bench:not(.slap-errors)"), page.locator(".slap-errors")
        cards = bench.locator(".slap-card")
        assert missing(shown(cards, 40)) == []
        assert missing(shown(errors.locator(".slap-errors-caption"), 40)) == []
        cards.first.locator(".slap-round").click()
        cards.first.locator(".slap-round[data-state=playing]").wait_for()
        bench.locator(".slap-query").fill(PAYLOADS[3])
        bench.locator(".slap-query").press("Enter")
        bench.locator("code", has_text="onerror").wait_for()
        clean(page)

        opened, lost = time.monotonic(), []
        page.on("websocket", lambda socket: socket.on("close", lambda _: lost.append(socket.url)))
        open_page(page, server, "Map")
        view = page.locator(".jp-OutputArea-output").filter(has=page.locator(".slap-player")).first
        plot = view.locator(".js-plotly-plot")
        plot.wait_for()
        settle(view, plot)
        said = [text for place in places(plot, "audio")[::8] for text in hover(page, plot, place)]
        assert len(said) >= 3 and len(missing(said)) < 40
        assert visible(PAYLOADS[0], 20) in visible(plot.locator(".legend").text_content(), 10**6)
        page.wait_for_timeout(max(0.0, 1000 * (LONG_S - (time.monotonic() - opened))))
        assert lost == [], "a page that stays open keeps its kernel"
        place = places(plot, "audio")[3]
        hover(page, plot, place)  # a click opens the point whose label the plot shows
        page.mouse.click(*place)
        view.locator(".slap-player[data-state=ready]").wait_for()
        clean(page)
        page.goto("about:blank")
