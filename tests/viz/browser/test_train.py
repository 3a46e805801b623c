"""01_corpus and 02_train in JupyterLab: every cell runs, figures stand on the page, sounds load, curves grow."""

from __future__ import annotations

import json
import time

import pytest

from tests.viz.browser.lab import ERROR, shown

LENGTHS = "plots => plots.map(p => p._fullData.map(t => (t.x || []).length))"

# The length in s that the browser finds in a sound once it has loaded it.
DURATION = """audio => new Promise((done, failed) => {
    audio.onloadedmetadata = () => done(audio.duration);
    audio.onerror = () => failed(audio.error.message);
    audio.load();
})"""


def figures(cell):
    return cell.locator(".js-plotly-plot")


def test_looking_at_the_corpus(open_notebook, project):
    notebook = open_notebook("01_corpus")
    notebook.run_all()
    notebook.finish()
    cell = notebook.cell("facts")
    assert figures(cell).count() == 3
    assert figures(cell).first.locator(".bars .point").count() >= 5, "bars are drawn"
    sound = notebook.cell("listen").locator("audio").first
    assert notebook.cell("listen").locator("audio").count() == 2
    seconds = sound.evaluate(DURATION)
    assert seconds == pytest.approx(10, abs=0.2), "the browser can decode what the notebook holds"
    assert "120 clips" in shown(notebook.cell("found"))[0]
    assert notebook.page.seen["dialogs"] == notebook.page.seen["remote"] == []


def test_training_shows_curves_that_grow(open_notebook, project):
    notebook = open_notebook("02_train")
    notebook.run_all()
    cell = notebook.cell("train")
    figures(cell).wait_for(timeout=180_000)
    seen = []
    end = time.monotonic() + 120
    while not cell.locator(".jp-InputArea-prompt", has_text="[5]").count() and time.monotonic() < end:
        [lengths] = figures(cell).evaluate_all(LENGTHS)
        if not seen or seen[-1] != lengths[0]:
            seen.append(lengths[0])
        assert not cell.locator(f'[data-mime-type="{ERROR}"]').count(), cell.text_content()
        notebook.page.wait_for_timeout(100)
    notebook.finish()
    assert seen == sorted(seen) and len(set(seen)) >= 4, f"points shown while training: {seen}"
    [lengths] = figures(notebook.cell("train")).evaluate_all(LENGTHS)
    run = max((project / "runs" / "02_train").glob("lab-*"))
    rows = [json.loads(line) for line in (run / "checkpoint" / "train.jsonl").read_text().splitlines()]
    assert lengths[0] == sum("loss" in row for row in rows) and lengths[1] == sum("validation" in row for row in rows)
    drawn = figures(cell).locator(".scatterlayer .trace").first.locator(".point")
    assert drawn.count() == lengths[0] and drawn.first.is_visible()
    for id, count in {"curves": 3, "test": 2, "gap": 1}.items():
        assert figures(notebook.cell(id)).count() == count
    assert notebook.page.seen["dialogs"] == notebook.page.seen["remote"] == []
