"""The browser side of widgets in Chromium, on a page of its own over the real Python side."""

import pytest

from slapkit.viz.widgets import ErrorsView, MapView, Player, PlayerItem, SearchBench
from slapkit.viz.widgets.base import Scheme
from tests.viz.browser.page import mount
from tests.viz.fakes import FakeLibrary, FakeStore, split_of, tone

NAMELESS = """[...document.querySelectorAll("button, input:not([type=file]), select")].filter((node) =>
    !(node.getAttribute("aria-label") || node.textContent.trim() || node.labels?.length)).length"""


@pytest.fixture
def page(browser):
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(40_000)
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: problems.append(dialog.message))
    yield page
    nameless = page.evaluate(NAMELESS)
    page.close()
    assert not problems, "no script failed, no dialog opened"
    assert nameless == 0, "a screen reader has a name for every control"


@pytest.fixture
def library(monkeypatch):
    """A fake library whose audio can be played."""
    monkeypatch.setattr(FakeLibrary, "sound", lambda *_, **__: (tone(), "audio/wav"))
    return FakeLibrary(20)


def ids(page, column=0):
    cards = page.locator(".slap-column").nth(column).locator(".slap-card")
    return [cards.nth(i).get_attribute("data-id") for i in range(cards.count())]


def focused(page):
    return page.evaluate("document.activeElement.getAttribute('data-id')")


def ask(page, query):
    """Write a query, press enter, and wait for its results."""
    page.get_by_role("searchbox").fill(query)
    page.keyboard.press("Enter")
    found(page, query)


def found(page, query):
    page.wait_for_function(f"document.querySelector('.slap-columns').dataset.query === {query!r}")


def hold(page, kind):
    """Let answers of a kind wait for `window.release()`, as behind a busy kernel; `window.late` says that one came."""
    page.evaluate(
        """kind => {
            const python = window.python, gate = new Promise(open => (window.release = open));
            window.python = async (content, parts) => {
                if (content.type === kind) await gate;
                const reply = await python(content, parts);
                setTimeout(() => (window.late ||= content.type === kind)); // the widget has it by then
                return reply;
            };
        }""",
        kind,
    )


def test_the_bench_opens_with_results_and_typing_searches(page, library):
    mount(page, SearchBench(library, query="slow", k=5))
    found(page, "slow")
    assert ids(page) == list(library.search("slow", k=5)["id"])
    assert page.evaluate("window.sent.filter(m => m.type === 'search').length") == 0, "results came along"
    page.get_by_role("searchbox").fill("")
    page.get_by_role("searchbox").press_sequentially("slow flute")
    found(page, "slow flute")
    assert ids(page) == list(library.search("slow flute", k=5)["id"])
    # Ten letters typed in one go are one search, or two where the machine is slow.
    assert page.evaluate("window.sent.filter(m => m.type === 'search' && m.live && m.query).length") <= 3
    ask(page, "fast")
    assert page.locator(".slap-foot code").inner_text() == 'library.search("fast", k=5)'


def test_arrows_move_and_space_plays_one_clip_at_a_time(page, library):
    mount(page, SearchBench(library, query="slow", k=4))
    found(page, "slow")
    order = ids(page)
    page.get_by_role("searchbox").press("ArrowDown")
    assert focused(page) == order[0]
    page.keyboard.press("ArrowDown")
    assert focused(page) == order[1]
    page.keyboard.press("Space")
    page.wait_for_selector(f".slap-card[data-id='{order[1]}'] [data-state=playing]")
    assert page.evaluate("(a => !a.paused && a.src.startsWith('blob:'))(document.querySelector('audio'))")
    page.keyboard.press("Space")
    page.wait_for_selector("[data-state=playing]", state="detached")
    page.locator(f".slap-card[data-id='{order[3]}'] .slap-round").click()
    page.wait_for_selector(f".slap-card[data-id='{order[3]}'] [data-state=playing]")
    assert page.locator("[data-state=playing]").count() == 1
    # Another player of the page starts.
    page.evaluate("document.dispatchEvent(new CustomEvent('slapkit-play', { detail: null }))")
    page.wait_for_selector("[data-state=playing]", state="detached")
    page.locator(".slap-card").nth(1).focus()
    page.evaluate("document.querySelectorAll('.slap-card').forEach(card => card.setAttribute('data-old', ''))")
    page.evaluate("document.querySelector('input[type=search]').dispatchEvent(new Event('input', { bubbles: true }))")
    page.wait_for_selector("[data-old]", state="detached")
    page.wait_for_selector(f".slap-card[data-id='{order[1]}']:focus")  # late results leave the focus where it was
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement.type") == "search"


def test_more_like_this_not_this_and_also_relevant(page, library, marks):
    mount(page, SearchBench(library, query="slow", k=3, marks=marks))
    found(page, "slow")
    first = ids(page)[0]
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
    page.locator(".slap-term button").click()
    page.wait_for_function("document.querySelector('.slap-notice').textContent.startsWith('Write what')")
    assert page.locator(".slap-columns[data-stale]").count() == 1, "old results stay, dimmed"


def test_errors_are_opened_and_marked(page, library, marks):
    view = ErrorsView(library, split_of(library), marks, worst=5, k=3)
    mount(page, view)
    page.wait_for_selector(".slap-card")
    assert page.locator(".slap-card").first.get_attribute("data-id") == view.table.iloc[0]["id"]
    page.locator(".slap-errors-caption").nth(1).click()
    page.wait_for_selector(f".slap-card:first-child[data-id='{view.table.iloc[1]['id']}']")
    page.get_by_role("button", name="also relevant").first.click()
    page.wait_for_selector(".slap-mark[aria-pressed=true]")
    assert "→" in page.locator(".slap-foot").inner_text()
    scores = view.scores()["q"]
    assert scores["after"]["mean_rank"] < scores["before"]["mean_rank"]


def test_errors_are_walked_through_with_the_keyboard_and_ask_for_one_picture_at_most(page, library, marks):
    view = ErrorsView(library, split_of(library), marks, worst=5, k=4)
    mount(page, view)
    drawn = "[...document.querySelectorAll('.slap-picture')].every(node => node.dataset.state === 'drawn')"
    page.wait_for_function(drawn)
    hold(page, "picture")
    page.evaluate("window.sent.length = 0")
    page.locator(".slap-errors-caption").nth(0).focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_selector(f".slap-card:first-child[data-id='{view.table.iloc[1]['id']}']")
    page.wait_for_timeout(200)
    assert page.evaluate("window.sent.filter(m => m.type === 'picture').length") == 1
    page.evaluate("window.release()")
    page.wait_for_function(drawn)
    order = page.locator(".slap-card").evaluate_all("cards => cards.map(card => card.dataset.id)")
    page.locator(".slap-card").first.focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowDown")
    assert focused(page) == order[1]
    page.keyboard.press("Space")
    page.wait_for_selector(f".slap-card[data-id='{order[1]}'] [data-state=playing]")


def test_a_mark_belongs_to_the_caption_whose_tracks_are_shown(page, library, marks):
    view = ErrorsView(library, split_of(library), marks, worst=5, k=3)
    mount(page, view)
    page.wait_for_selector(".slap-card")
    hold(page, "open")
    page.locator(".slap-errors-caption").nth(1).click()  # its tracks are not there yet
    page.get_by_role("button", name="also relevant").first.click()
    page.wait_for_selector(".slap-mark[aria-pressed=true]")
    assert [text for text, _ in marks.pairs] == [view.table.iloc[0]["caption"]]
    page.evaluate("window.release()")
    page.wait_for_selector(f".slap-card:first-child[data-id='{view.table.iloc[1]['id']}']")


def test_a_late_mark_is_not_shown_among_the_results_of_another_query(page, library, marks):
    mount(page, SearchBench(library, query="slow", k=20, marks=marks))
    found(page, "slow")
    hold(page, "mark")
    page.get_by_role("button", name="also relevant").first.click()
    ask(page, "fast")
    page.evaluate("window.release()")
    page.wait_for_function("window.late")
    assert page.locator(".slap-mark[aria-pressed=true]").count() == 0
    ask(page, "slow")
    assert page.locator(".slap-mark[aria-pressed=true]").count() == 1


def test_a_second_press_does_not_play_the_clip_before(page, library):
    mount(page, SearchBench(library, query="slow", k=4))
    buttons = page.locator(".slap-card .slap-round")
    buttons.nth(0).click()
    page.wait_for_selector(".slap-card:nth-child(1) [data-state=playing]")
    hold(page, "sound")
    buttons.nth(1).dblclick()
    page.wait_for_timeout(300)
    assert page.evaluate("document.querySelector('audio').paused")
    assert buttons.nth(1).get_attribute("data-state") == "loading"
    page.evaluate("window.release()")
    page.wait_for_selector(".slap-card:nth-child(2) [data-state=playing]")


def test_the_player_waits_for_the_clip_that_was_chosen(page):
    sounds = (tone(), tone(2), b"no sound")
    mount(page, Player([PlayerItem(f"Tune {i}", [], lambda s=s: (s, "audio/wav")) for i, s in enumerate(sounds)]))
    page.get_by_role("button", name="play Tune 0").first.click()
    toggle = page.locator(".slap-player-bar .slap-round")
    page.wait_for_selector(".slap-player-bar [data-state=playing]")
    hold(page, "sound")
    page.get_by_role("button", name="play Tune 1").dblclick()
    page.wait_for_timeout(300)
    assert page.evaluate("document.querySelector('audio').paused")
    assert toggle.get_attribute("data-state") == "loading" and page.get_by_role("slider").is_disabled()
    page.evaluate("window.release()")
    page.wait_for_selector(".slap-player-bar [data-state=playing]")
    page.get_by_role("button", name="play Tune 2").click()
    page.locator(".slap-player-note", has_text="cannot play").wait_for()


def test_a_sound_that_the_browser_cannot_play_is_said(page):
    mount(page, SearchBench(FakeLibrary(5), query="slow"))
    page.locator(".slap-card .slap-round").first.click()
    page.locator(".slap-card-note", has_text="cannot play").wait_for()


def test_results_take_no_focus_from_the_query(page, library):
    mount(page, SearchBench(library, query="slow", k=3))
    box = page.get_by_role("searchbox")
    box.fill("")
    page.locator(".slap-columns[data-stale]").wait_for()
    page.get_by_role("button", name="not this").first.click()
    page.locator(".slap-notice[data-kind=error]", has_text="only tracks to subtract").wait_for()
    box.press_sequentially("fast")
    found(page, "fast")
    assert focused(page) is None and box.evaluate("box => box === document.activeElement")
    page.locator(".slap-term button").focus()
    page.keyboard.press("Enter")
    assert box.evaluate("box => box === document.activeElement"), "the keyboard does not leave the bench"


def test_the_first_filters_hold_though_no_menu_lists_them(page, library):
    mount(page, SearchBench(library, query="slow", where={"title": "Tune 7"}))
    assert ids(page) == ["audio/007.ogg"]
    ask(page, "fast")
    assert ids(page) == ["audio/007.ogg"]
    page.get_by_role("combobox", name="title").select_option("any")
    page.wait_for_function("document.querySelectorAll('.slap-card').length === 10")


def test_a_first_filter_of_one_value_is_its_choice(page, library):
    mount(page, SearchBench(library, query="slow", where={"style": ["reel"]}))
    menu = page.get_by_role("combobox", name="style")
    chosen, *others = (option for option in menu.locator("option").all_inner_texts() if option.startswith("reel"))
    assert not others and menu.evaluate("menu => menu.selectedOptions[0].text") == chosen


def test_a_file_can_be_chosen_again(page, library, tmp_path):
    (tmp_path / "tone.wav").write_bytes(tone())
    mount(page, SearchBench(library, query="slow"))
    button = page.get_by_role("button", name="by an audio file")
    with page.expect_file_chooser() as chooser:
        button.click()
    chooser.value.set_files(tmp_path / "tone.wav")
    page.locator(".slap-term").wait_for()
    with page.expect_file_chooser():
        button.click()
    # A browser tells nothing of a file that is chosen already.
    assert page.locator("input[type=file]").input_value() == ""


def test_words_can_be_dropped_into_the_query(page, library):
    mount(page, SearchBench(library, query="slow"))
    drop = """box => {
        const dataTransfer = new DataTransfer();
        dataTransfer.setData("text/plain", "flute");
        return box.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
    }"""
    assert page.get_by_role("searchbox").evaluate(drop), "the browser writes dropped words into the box"


def test_a_search_waits_for_one_picture_at_most(page, library):
    mount(page, SearchBench(library))
    hold(page, "picture")
    ask(page, "slow")
    assert page.evaluate("window.sent.filter(m => m.type === 'picture').length") == 1
    page.evaluate("window.release()")
    page.wait_for_function("document.querySelectorAll('[data-state=drawn]').length === 10")


def test_a_plot_that_is_gone_leaves_the_graphics_to_others(page):
    mount(page, Scheme())
    page.evaluate("new Promise(requestAnimationFrame)")
    lost = """async () => {
        const box = document.createElement("div"), canvas = box.appendChild(document.createElement("canvas"));
        const gl = canvas.getContext("webgl");
        document.body.append(box);
        await new Promise(requestAnimationFrame);
        const before = gl.isContextLost();
        box.remove();
        await new Promise(requestAnimationFrame);
        return [before, gl.isContextLost()];
    }"""
    assert page.evaluate(lost) == [False, True]


def test_a_map_as_a_page_is_scrolled_on_a_telephone(page, models, tmp_path):
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(MapView(models, FakeStore()).save_html(tmp_path / "map.html", clips=1, seconds=0.2).as_uri())
    page.locator("body[data-ready=true]").wait_for()
    widths = "[document.documentElement.scrollWidth, document.querySelector('.main-svg').clientWidth]"
    assert page.evaluate(widths) == [390, 760], "titles and panels stay readable"
