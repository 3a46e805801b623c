"""Plots and sounds on a page as the tests look at them: where a point stands, which bytes a player holds."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from tests.viz.browser.payloads import visible

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

# Where the points of a trace stand, in px of the window.
PLACES = """(plot, [panel, role]) => {
    const trace = plot._fullData.find(t => t.meta && t.meta.panel === panel && t.meta.role === role);
    const axis = name => plot._fullLayout[name.replace(/^([xy])/, '$1axis')];
    const [x, y, box] = [axis(trace.xaxis), axis(trace.yaxis), plot.getBoundingClientRect()];
    return Array.from(trace.x, (value, i) =>
        [box.left + x._offset + x.c2p(value), box.top + y._offset + y.c2p(trace.y[i])]);
}"""
# What plotly shows beside the pointer, each label's lines as one text.
LABELS = "plot => [...plot.querySelectorAll('.hoverlayer .hovertext')].map(label => label.textContent)"
# Of a sound that a page holds: the SHA-256 of its bytes.
DIGEST = """async audio => {
    const bytes = await (await fetch(audio.src)).arrayBuffer();
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
    return Array.from(digest, value => value.toString(16).padStart(2, '0')).join('');
}"""


def places(plot: Locator, role: str, panel: int = 0) -> np.ndarray:
    """Return `[N, 2]`: where the points of a role ("audio", "text") of a panel stand in the window, in px."""
    return np.array(plot.evaluate(PLACES, [panel, role]), dtype=float).reshape(-1, 2)


def apart(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return for each of `points [N, 2]` its distance in px to the nearest other point of both sets."""
    everything = np.concatenate([points, others])
    distance = np.linalg.norm(points[:, None] - everything[None], axis=-1)
    distance[np.arange(len(points)), np.arange(len(points))] = np.inf
    return distance.min(axis=1)


def hover(page: Page, plot: Locator, place: np.ndarray, *, expect: str = "", patience_s: float = 3) -> list[str]:
    """Move the pointer onto a place and return what the plot says there, as soon as `expect` is part of it.

    Letters alone count, see `visible`. What stands there after `patience_s` is returned whatever it is.
    """
    page.mouse.move(place[0] - 30, place[1] - 30)
    page.mouse.move(*place)
    end = time.monotonic() + patience_s
    while True:
        said = plot.evaluate(LABELS)
        if (said and expect in visible(" ".join(said), 10**6)) or time.monotonic() > end:
            return said
        page.wait_for_timeout(30)
