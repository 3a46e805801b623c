"""What goes wrong while searching is said in words within the bench, and sounds come from the library alone."""

from __future__ import annotations

import shutil

import nbformat
import pytest

from tests.training.tones import make_tones
from tests.viz.browser.bench import Bench

# While `window.__swap` is set, what the page sends to the kernel names another track: both names are of one length.
SWAP = """() => {
    const send = WebSocket.prototype.send;
    WebSocket.prototype.send = function (data) {
        if (!window.__swap || typeof data === 'string') return send.call(this, data);
        const text = new TextDecoder('latin1').decode(data).replaceAll(...window.__swap);
        return send.call(this, Uint8Array.from(text, letter => letter.charCodeAt(0)).buffer);
    };
}"""
CELLS = {
    "imports": """
        from pathlib import Path
        from slapkit.search import Library
        from slapkit.runs import choose_runs
        from slapkit.viz.widgets import SearchBench
        run, other = choose_runs("latest", runs_dir="../runs")
        build = lambda name: Library.build(f"../data/{name}", run, out=f"../data/libraries/{name}", progress=False)
    """,
    "tones": """
        SearchBench(build("tones"), query="a low tone", k=5)
    """,
    "empty": """
        SearchBench(build("silence"), query="a low tone")
    """,
    "other": """
        import json, shutil
        build("tones")
        about = Path("../data/libraries/tones/library.json")
        shutil.copytree(about.parent, "../data/libraries/moved", dirs_exist_ok=True)
        moved = Path("../data/libraries/moved/library.json")
        _ = moved.write_text(json.dumps(json.loads(about.read_text()) | {"model_path": str(other.resolve())}))
        SearchBench(Library.open(moved.parent), query="a low tone", k=5)
    """,
}


@pytest.fixture(scope="module")
def notebook(project, open_notebook):
    """Benches over twelve tones, over nothing, and over the library of another model."""
    data = project / "data"
    make_tones(data / "tones", clips=12, seconds=1)
    (data / "tones" / "metadata.jsonl").unlink()
    shutil.copy(data / "tones" / "tone-000.wav", data / "x-key.wav")
    (data / "silence").mkdir(exist_ok=True)
    node = nbformat.v4.new_notebook()
    for id, source in CELLS.items():
        lines = [line[8:] for line in source.strip("\n").splitlines()]
        node.cells.append(nbformat.v4.new_code_cell("\n".join(lines).strip(), id=id))
    node.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(node, project / "notebooks" / "messages.ipynb")
    opened = open_notebook("messages")
    opened.page.evaluate(SWAP)
    opened.run_all()
    opened.finish()
    return opened


@pytest.fixture
def bench(notebook):
    found = Bench(notebook.cell("tones").locator(".slap-bench"))
    found.search("a low tone")
    found.cards.nth(4).wait_for()
    found.rest()
    return found


def test_an_empty_query(bench):
    bench.search("   ")
    bench.says("Write what the music should sound like")
    assert bench.cards.count() == 5, "what was found before stays"


def test_a_query_longer_than_the_text_encoder_reads(bench):
    bench.search("slow low tone " * 200)
    assert "text encoder reads" in bench.says("tokens")
    assert bench.cards.count() == 5
    bench.search("x" * 10_001)
    assert "10,000" in bench.says("characters")


def test_only_something_to_take_away(bench):
    bench.search("- drums")
    bench.says("subtract")
    assert bench.notice.get_attribute("role") == "alert"


def test_a_deleted_file(bench, project):
    card = bench.cards.nth(2)
    path = project / "data" / "tones" / card.get_attribute("data-id")
    aside = path.rename(path.with_suffix(".aside"))
    card.locator(".slap-round").click()
    card.locator(".slap-card-note", has_text="was deleted").wait_for()
    aside.rename(path)
    card.locator(".slap-round").click()
    bench.plays()
    assert card.locator(".slap-card-note").text_content() == ""


def test_a_crafted_id_gets_no_sound(bench):
    """The page asks for a file beside the library: what comes back is a sentence."""
    card = bench.cards.first
    id = card.get_attribute("data-id")
    crafted = "../x-key.wav"
    assert len(id) == len(crafted)
    bench.page.evaluate("swap => { window.__swap = swap }", [id, crafted])
    card.locator(".slap-round").click()
    card.locator(".slap-card-note", has_text="has no track").wait_for()
    bench.page.evaluate("() => { delete window.__swap }")


def test_an_empty_library(notebook):
    bench = Bench(notebook.cell("empty").locator(".slap-bench"))
    bench.says("holds no track yet")
    bench.search("anything")
    bench.says("holds no track yet")


def test_a_library_of_another_model(notebook):
    bench = Bench(notebook.cell("other").locator(".slap-bench"))
    assert "build a library with this one" in bench.says("was built with model")
    assert bench.notice.get_attribute("role") == "alert"
