"""Points of a map in a browser: where they are, what is said over them, what they play."""

import time

import numpy as np

from slapkit._io import sha256_file
from tests.viz.browser.lab import shown
from tests.viz.payloads import visible

# Where the points of a trace are, in px of the window.
PLACES = """(plot, [panel, role]) => {
    const trace = plot._fullData.find(t => t.meta && t.meta.panel === panel && t.meta.role === role);
    const axis = name => plot._fullLayout[name.replace(/^([xy])/, '$1axis')];
    const [x, y, box] = [axis(trace.xaxis), axis(trace.yaxis), plot.getBoundingClientRect()];
    return Array.from(trace.x, (value, i) =>
        [box.left + x._offset + x.c2p(value), box.top + y._offset + y.c2p(trace.y[i])]);
}"""
LABELS = "plot => [...plot.querySelectorAll('.hoverlayer .hovertext')].map(label => label.textContent)"
# SHA-256 of what an audio element plays.
DIGEST = """async audio => {
    const bytes = await (await fetch(audio.src)).arrayBuffer();
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
    return Array.from(digest, value => value.toString(16).padStart(2, '0')).join('');
}"""


def places(plot, role, panel=0):
    """Return `[N, 2]`: where the points of a role ("audio", "text") of a panel are in the window, in px."""
    wait(plot, "([plot]) => plot._fullLayout && plot._fullData.length")
    return np.array(plot.evaluate(PLACES, [panel, role]), dtype=float).reshape(-1, 2)


def loneliest(plot, role):
    """Return index and place of the point of a role that is farthest from all others."""
    points = places(plot, role)
    everything = np.concatenate([points, places(plot, "text" if role == "audio" else "audio")])
    distance = np.linalg.norm(points[:, None] - everything[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    index = int(distance.min(axis=1).argmax())
    return index, points[index]


def hover(page, plot, place, *, expect="", patience_s=3):
    """Move the pointer onto a place and return the labels there, as soon as `expect` is part of them."""
    page.mouse.move(place[0] - 30, place[1] - 30)
    page.mouse.move(*place)
    end = time.monotonic() + patience_s
    while True:
        said = plot.evaluate(LABELS)
        if (said and expect in visible(" ".join(said), 10**6)) or time.monotonic() > end:
            return said
        page.wait_for_timeout(30)


def play_a_clip(view, plot, split):
    """Click on the loneliest clip, and check that the player shows its title and plays its file."""
    index, place = loneliest(plot, "audio")
    title = " ".join(split[index].facts["title"].split())
    hover(view.page, plot, place, expect=visible(title))
    view.page.mouse.click(*place)
    card = view.locator(".slap-player[data-state=ready]").filter(has_text=title)
    card.wait_for()
    assert shown(card.locator(".slap-player-title")) == [title]
    assert card.locator("audio").evaluate(DIGEST) == sha256_file(split[index].path)


def settle(view, plot):
    """Scroll a view to the top of the window and wait until its plot moves no more."""
    view.evaluate("view => view.scrollIntoView({block: 'start'})")
    before = None
    while before != (before := plot.bounding_box()):
        view.page.wait_for_timeout(200)


def wait(root, condition, *arguments):
    """Wait until a condition of an element holds."""
    root.page.wait_for_function(condition, arg=[root.element_handle(), *arguments], timeout=60_000)
