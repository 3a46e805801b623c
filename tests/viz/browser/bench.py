"""The search bench on a page, used by keyboard and pointer as a person would."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tests.viz.browser.lab import shown

if TYPE_CHECKING:
    from playwright.sync_api import Locator

# The ids of the cards, column by column, in the order shown.
IDS = """root => [...root.querySelectorAll('.slap-column')].map(column =>
    [...column.querySelectorAll('.slap-card')].map(card => card.dataset.id))"""
SHOWS = f"([root, ids]) => JSON.stringify(({IDS})(root)) === JSON.stringify(ids)"
# The columns have stood as they are for a quarter of a second: no search is under way any more.
RESTS = """root => new Promise(done => {
    let timer = setTimeout(done, 250);
    const again = () => { clearTimeout(timer); timer = setTimeout(done, 250); };
    new MutationObserver(again).observe(root.querySelector('.slap-columns'), {childList: true, attributes: true});
})"""
PLAYS = "([audio, on]) => on ? !audio.paused && audio.currentTime > 0 : audio.paused"


class Bench:
    """One search bench of a page."""

    def __init__(self, root: Locator) -> None:
        self.root, self.page = root, root.page
        self.box = root.locator(".slap-query")
        self.cards = root.locator(".slap-card")
        self.notice = root.locator(".slap-notice")
        self.audio = root.locator("audio")

    def search(self, query: str) -> None:
        """Write a query and press enter."""
        self.box.fill(query)
        self.box.press("Enter")

    def choose(self, label: str, option: str) -> None:
        """Choose from a menu by what it is called and what the option says."""
        self.root.get_by_label(label, exact=True).select_option(label=option)

    def shows(self, *columns: Sequence[str], timeout_s: float = 60) -> None:
        """Wait until the cards are those of these ids, column by column, and in this order."""
        from playwright.sync_api import TimeoutError as TooLate

        expected = [list(ids) for ids in columns]
        with contextlib.suppress(TooLate):
            self._wait(SHOWS, [self.root.element_handle(), expected], timeout_s)
        cards = self.root.evaluate(IDS)
        assert cards == expected, f"{self.notice.text_content()!r} above {cards}"

    def rest(self) -> None:
        """Wait until the results stay as they are."""
        self.root.evaluate(RESTS)

    def says(self, words: str) -> str:
        """Wait until the line of messages holds `words`, and return all of it."""
        self.notice.filter(has_text=words).wait_for(timeout=60_000)
        return shown(self.notice)[0]

    def focused(self) -> str | None:
        """Return the id of the card that has the focus."""
        return self.page.evaluate("() => document.activeElement.dataset.id ?? null")

    def plays(self, on: bool = True) -> None:
        """Wait until the sound goes on, or rests."""
        self._wait(PLAYS, [self.audio.element_handle(), on], 60)

    def _wait(self, condition: str, arg: list, timeout_s: float) -> None:
        self.page.wait_for_function(condition, arg=arg, timeout=1000 * timeout_s)
