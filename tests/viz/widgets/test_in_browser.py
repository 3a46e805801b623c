"""The widgets' browser side in Chromium, on a page of its own: what keys and buttons do to the real Python side."""

from __future__ import annotations

import os
import re
import shutil

import pytest

from slapkit.viz.widgets import ErrorsView, Player, PlayerItem, SearchBench
from tests.viz.widgets.fakes import FakeLibrary, split_of
from tests.viz.widgets.harness import ARGUMENTS, mount
from tests.viz.widgets.test_errors_view import tone

HOSTILE = '<img src=x onerror="window.__pwned=1">\u202e\x00 javascript:alert(1)'


@pytest.fixture(scope="module")
def browser():
    path = shutil.which("chromium")
    if path is None and not os.environ.get("CI"):
        pytest.skip("no chromium on this machine: apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser):
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(40_000)
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: problems.append(dialog.message))
    yield page
    page.close()
    assert not problems, "no script failed, no dialog opened"


class Library(FakeLibrary):
    """A fake library that sounds."""

    def sound(self, id, start_s=None, seconds=None):
        self.path(id)
        return tone(), "audio/wav"


@pytest.fixture
def library():
    return Library()


def ids(page, column=0):
    cards = page.locator(".slap-column").nth(column).locator(".slap-card")
    return [cards.nth(i).get_attribute("data-id") for i in range(cards.count())]


def focused(page):
    return page.evaluate("document.activeElement.getAttribute('data-id')")


def found(page, query):
    page.wait_for_function(f"document.querySelector('.slap-columns').dataset.query === {query!r}")


def playing(page):
    return page.evaluate("(a => !a.paused && a.src.startsWith('blob:'))(document.querySelector('audio'))")


def test_typing_searches_and_enter_searches_at_once(page, library):
    mount(page, SearchBench(library, k=5))
    page.get_by_role("searchbox").press_sequentially("slow flute")
    found(page, "slow flute")
    assert ids(page) == list(library.search("slow flute", k=5)["id"])
    page.get_by_role("searchbox").fill("fast")
    page.keyboard.press("Enter")
    found(page, "fast")
    assert ids(page) == list(library.search("fast", k=5)["id"])
    assert "as DataFrame" in page.locator(".slap-foot").inner_text()
    assert page.locator(".slap-foot code").inner_text() == 'library.search("fast", k=5)'
    # Letters typed in one go are one question, or two where the machine is slow, but not ten.
    assert page.evaluate("window.sent.filter(m => m.type === 'search' && m.live).length") <= 3


def test_arrows_move_and_space_plays_one_sound_at_a_time(page, library):
    mount(page, SearchBench(library, query="slow", k=4))
    found(page, "slow")
    order = ids(page)
    page.get_by_role("searchbox").press("ArrowDown")
    assert focused(page) == order[0]
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert focused(page) == order[2]
    page.keyboard.press("ArrowUp")
    assert focused(page) == order[1]
    page.keyboard.press("Space")
    page.wait_for_selector(f".slap-card[data-id='{order[1]}'] [data-state=playing]")
    assert playing(page) and page.evaluate("document.querySelectorAll('audio').length") == 1
    page.keyboard.press("Space")
    page.wait_for_selector("[data-state=playing]", state="detached")
    page.locator(f".slap-card[data-id='{order[3]}'] .slap-round").click()
    page.wait_for_selector(f".slap-card[data-id='{order[3]}'] [data-state=playing]")
    assert page.locator("[data-state=playing]").count() == 1
    page.evaluate("document.dispatchEvent(new CustomEvent('slapkit-play', { detail: null }))")
    page.wait_for_selector("[data-state=playing]", state="detached")
    page.locator(".slap-card").first.focus()
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement.type") == "search"


def test_a_late_result_leaves_people_on_the_card_that_they_stepped_to(page, library):
    mount(page, SearchBench(library, query="slow", k=4))
    found(page, "slow")
    order = ids(page)
    page.get_by_role("searchbox").press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert focused(page) == order[1]
    page.evaluate("document.activeElement.dataset.old = 1")
    # The same question once more, as an answer that comes late: all cards are made anew.
    page.evaluate("document.querySelector('input[type=search]').dispatchEvent(new Event('input', { bubbles: true }))")
    page.wait_for_selector("[data-old]", state="detached")
    page.wait_for_selector(f".slap-card[data-id='{order[1]}']:focus")


def test_filters_k_and_chips_change_what_is_asked(page, library):
    mount(page, SearchBench(library, query="slow", k=4))
    found(page, "slow")
    page.get_by_label("style").select_option(label="reel (10)")
    expected = list(library.search("slow", k=4, where={"style": "reel"})["id"])
    page.wait_for_selector(f".slap-card:first-child[data-id='{expected[0]}']")
    assert ids(page) == expected
    page.get_by_role("button", name="+ strings").click()
    found(page, "slow + strings")
    page.get_by_label("results", exact=True).fill("2")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelectorAll('.slap-card').length === 2")
    assert ids(page) == list(library.search("slow + strings", k=2, where={"style": "reel"})["id"])


def test_two_models_stand_side_by_side_and_arrows_cross(page, library):
    other = Library(model_name="CLAP")
    mount(page, SearchBench({"SLAP": library, "CLAP": other}, query="slow", k=3, compare=True))
    found(page, "slow")
    left, right = list(library.search("slow", k=3)["id"]), list(other.search("slow", k=3)["id"])
    assert (ids(page, 0), ids(page, 1)) == (left, right)
    page.get_by_role("searchbox").press("ArrowDown")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.closest('.slap-column').querySelector('h3').textContent") == "CLAP"
    page.get_by_label("model").select_option(label="SLAP")
    page.wait_for_function("document.querySelectorAll('.slap-column').length === 1")


def test_more_like_this_not_this_and_also_relevant(page, library, marks):
    bench = SearchBench(library, query="slow", k=3, marks=marks)
    mount(page, bench)
    found(page, "slow")
    first, second = ids(page)[:2]
    page.get_by_role("button", name="also relevant").first.click()
    page.wait_for_selector(".slap-mark[aria-pressed=true]")
    assert marks.pairs == [("slow", first)]
    page.get_by_role("button", name="not this").nth(1).click()
    page.wait_for_selector(".slap-term[data-sign='-']")
    page.get_by_role("button", name="more like this").first.click()
    page.wait_for_selector(".slap-term[data-sign='+']")
    found(page, "")
    assert page.locator(".slap-term").count() == 1 and page.get_by_role("searchbox").input_value() == ""
    assert focused(page) is not None, "the keyboard stays among the results"
    page.get_by_role("button", name=re.compile("^remove")).click()
    page.wait_for_function("document.querySelector('.slap-notice').textContent.startsWith('Write what')")
    assert page.locator(".slap-columns[data-stale]").count() == 1, "old results stay, dimmed"


def test_a_sound_file_that_is_chosen_is_searched_by(page, library):
    seen = []
    library.search = lambda query, **more: seen.append(query) or FakeLibrary().search("x")
    mount(page, SearchBench(library))
    data = tone(200)
    page.locator("input[type=file]").set_input_files({"name": "my.wav", "mimeType": "audio/wav", "buffer": data})
    page.wait_for_selector(".slap-term")
    page.wait_for_selector(".slap-card")
    assert seen[-1].read_bytes() == data
    page.locator("input[type=file]").set_input_files({"name": "my.txt", "mimeType": "text/plain", "buffer": b"words"})
    page.wait_for_selector(".slap-notice[data-kind=error]")
    assert "not a sound file" in page.locator(".slap-notice").inner_text()


def test_earlier_queries_come_back_and_a_dropped_file_is_searched_by(page, library):
    mount(page, SearchBench(library, query="slow", k=3))
    found(page, "slow")
    page.get_by_role("searchbox").fill("fast")
    page.keyboard.press("Enter")
    found(page, "fast")
    page.get_by_role("button", name="2 queries in history").click()
    page.get_by_role("button", name="slow", exact=True).click()
    found(page, "slow")
    assert page.get_by_role("searchbox").input_value() == "slow" and page.locator(".slap-past").is_hidden()
    page.evaluate(
        """const data = new DataTransfer();
        data.items.add(new File([new Uint8Array([1, 2, 3])], "dropped.txt"));
        document.querySelector(".slap-bench").dispatchEvent(new DragEvent("drop", { dataTransfer: data }));"""
    )
    page.wait_for_selector(".slap-notice[data-kind=error]")
    assert "dropped.txt is not a sound file" in page.locator(".slap-notice").inner_text()


def test_what_the_bench_opens_with_is_there_without_asking(page, library):
    mount(page, SearchBench(library, query="slow", k=3))
    found(page, "slow")
    assert page.evaluate("window.sent.filter(m => m.type === 'search').length") == 0
    assert ids(page) == list(library.search("slow", k=3)["id"])


def test_errors_are_words_and_nothing_moves(page, library):
    mount(page, SearchBench(library, query="slow"))
    found(page, "slow")
    page.wait_for_function("document.querySelectorAll('.slap-picture[data-state=drawn]').length === 10")
    height = page.locator(".slap-bench").bounding_box()["height"]
    first = page.locator(".slap-card").first.bounding_box()
    assert first["y"] + first["height"] < 800, "the first result is seen without scrolling"
    page.get_by_role("searchbox").fill("- drums")
    page.keyboard.press("Enter")
    page.wait_for_selector("[role=alert][data-kind=error]")
    assert page.locator(".slap-bench").bounding_box()["height"] == height
    assert page.locator(".slap-card").first.bounding_box() == first
    page.get_by_role("searchbox").fill("slow")
    page.keyboard.press("Enter")
    page.wait_for_selector(".slap-notice[data-kind=hint]")
    library.deleted.add(ids(page)[0])
    page.locator(".slap-round").first.click()
    page.wait_for_selector(".slap-card-note:not(:empty)")
    assert "was deleted" in page.locator(".slap-card-note").first.inner_text()


def test_hostile_text_is_text(page, library):
    for column in ("title", "style", "file"):
        library.tracks[column] = HOSTILE
    library.tracks["captions"] = [[HOSTILE]] * len(library)
    library.name = HOSTILE
    mount(page, SearchBench(library, query=HOSTILE.replace("\x00", ""), k=2, suggestions=[HOSTILE]))
    page.wait_for_selector(".slap-card")
    page.locator(".slap-round").first.click()
    page.wait_for_timeout(200)
    assert page.evaluate("window.__pwned") is None and page.locator("#widget img, #widget script").count() == 0
    assert page.locator(".slap-card-title").first.inner_text().startswith("<img src=x onerror=")


def test_every_control_has_a_name(page, library, marks):
    mount(page, SearchBench({"SLAP": library, "CLAP": Library(model_name="CLAP")}, query="slow", marks=marks))
    found(page, "slow")
    nameless = page.evaluate(
        """[...document.querySelectorAll("button, input:not([type=file]), select")].filter((node) =>
          !(node.getAttribute("aria-label") || node.textContent.trim() || node.labels?.length)).length"""
    )
    assert nameless == 0


def test_the_player_asks_for_a_sound_when_it_is_played(page):
    read = []
    items = [
        PlayerItem(f"Tune {i}", ["a line"], lambda i=i: (read.append(i), (tone(), "audio/wav"))[1]) for i in (0, 1)
    ]
    player = Player(items)
    mount(page, player)
    assert page.locator(".slap-player-title").inner_text() == "Tune 0" and read == []
    page.evaluate("window.tell({ type: 'play', id: 0, generation: 1 })")
    page.wait_for_selector(".slap-round[data-state=playing]")
    page.get_by_role("button", name="play Tune 1").click()
    page.wait_for_function("document.querySelector('.slap-player-title').textContent === 'Tune 1'")
    page.wait_for_selector(".slap-round[data-state=playing]")
    assert read == [0, 1]


def test_errors_are_opened_and_marked(page, marks):
    library = Library(20)
    view = ErrorsView(library, split_of(library), marks, worst=5, k=3)
    mount(page, view)
    page.wait_for_selector(".slap-card")
    worst = view.table.iloc[0]
    assert page.locator(".slap-card").first.get_attribute("data-id") == worst["id"]
    before = view.scores()
    page.get_by_role("button", name="also relevant").first.click()
    page.wait_for_selector(".slap-mark[aria-pressed=true]")
    assert "→" in page.locator(".slap-foot").inner_text()
    assert view.scores()["q"]["after"]["mean_rank"] < before["q"]["before"]["mean_rank"]
