"""A folder of music whose texts try to run, and what a page that shows them must not have done."""

import json

import numpy as np
import soundfile

from tests.viz.payloads import PAYLOADS, file_name, visible

# What ran, and what became an element though it was text.
RAN = "() => window.__pwned ?? null"
GREW = """() => [...document.querySelectorAll('[onerror], [onload], [onfocus], [ontoggle], [onbegin], [onmouseover],'
    + '[href^="javascript" i], iframe[srcdoc], iframe[src^="javascript" i], img[src="x"], mglyph')]
    .map(element => element.outerHTML.slice(0, 200))"""


def make_hostile(project):
    """Write a folder of forty tones whose names and facts try to run."""
    rate = 24_000
    time = np.arange(8 * rate) / rate
    rows = []
    (project / "data" / "hostile").mkdir(parents=True, exist_ok=True)
    for number, payload in enumerate(PAYLOADS):
        wave = (0.3 * np.sin(2 * np.pi * 110 * 1.07**number * time)).astype(np.float32)
        name = file_name(payload)
        soundfile.write(project / "data" / "hostile" / name, wave, rate)
        facts = {"title": payload, "style": PAYLOADS[number % 8], "instruments": [payload, "flute"], "artist": payload}
        rows.append({"file_name": name, "captions": [payload], "split": "test", **facts})
    (project / "data" / "hostile" / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def missing(texts):
    """Return the payloads of which none of the texts shows anything."""
    shown = " ".join(visible(text, 10**6) for text in texts)
    return [payload[:60] for payload in PAYLOADS if visible(payload) not in shown]


def clean(page):
    """Check that nothing ran, nothing became an element, and nothing was fetched."""
    assert [frame.evaluate(RAN) for frame in page.frames] == [None] * len(page.frames)
    assert page.evaluate(GREW) == []
    assert page.seen["dialogs"] == page.seen["markup"] == page.seen["remote"] == []
