"""One browser, one project with two trained models, and one JupyterLab on it.

Without a browser these tests are skipped; where `CI=true` says that they must run, they fail instead.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from slapkit import data, presets, training
from tests.viz.browser.lab import FLAGS, Notebook, Server, find_browser, serve, set_parameters

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parents[3]
SMOKE = {"data": "data/scores-smoke", "steps": 40, "batch_size": 8, "micro_batch": 8, "device": "cpu", "seeds": 1}
MISSING = "no chromium on PATH: install it (Debian: apt-get install chromium) to run the browser tests"


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the browser."""
    path = find_browser()
    if path is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(MISSING)
    return path


# Of a module, not of the session: while Playwright is open nothing else in this process can run an event loop.
@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield started
        started.close()


@pytest.fixture(scope="session")
def project(chromium: str, smoke_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Notebooks with smoke parameters, the smallest score corpus, and SLAP and CLAP trained for a few steps."""
    root = tmp_path_factory.mktemp("lab") / "project"
    shutil.copytree(ROOT / "notebooks", root / "notebooks", ignore=shutil.ignore_patterns(".*"))
    shutil.copytree(smoke_corpus, root / SMOKE["data"])
    dataset, few = data.read(root / SMOKE["data"]), {"steps": 12, "batch_size": 8, "micro_batch": 8, "device": "cpu"}
    for objective in ("slap", "clap"):
        chosen = presets.preset("tiny", train=few | {"objective": objective})
        folders = {"out_dir": root / "models" / objective, "cache_dir": root / "data" / "cache"}
        training.train(model=chosen.model, config=chosen.train, dataset=dataset, progress=False, **folders)
    set_parameters(root / "notebooks" / "02_train.ipynb", **SMOKE)
    set_parameters(root / "notebooks" / "03_explore.ipynb", data=SMOKE["data"], runs="models/slap,models/clap")
    return root


@pytest.fixture(scope="session")
def server(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(project, tmp_path_factory.mktemp("jupyter")) as running:
        yield running


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    """A window of its own for each module, which notes what a page must not do: see `watched`."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(60_000)
    yield watched(context.new_page())
    context.close()


def watched(page: Page) -> Page:
    """Note dialogs, errors of scripts and requests that leave the machine in `page.seen`."""
    seen: dict[str, list[str]] = {"dialogs": [], "errors": [], "remote": [], "markup": []}

    def dialog(box) -> None:
        if box.type != "beforeunload":  # leaving an unsaved notebook asks, rightly
            seen["dialogs"].append(box.message)
        box.accept()

    def request(asked) -> None:
        if asked.url.startswith(("http", "ws")) and "//127.0.0.1:" not in asked.url:
            seen["remote"].append(asked.url)
        # The pictures and sounds of the hostile texts are named x.
        if asked.url.split("?")[0].endswith("/x"):
            seen["markup"].append(asked.url)

    page.on("dialog", dialog)
    page.on("request", request)
    page.on("pageerror", lambda error: seen["errors"].append(str(error)))
    page.seen = seen
    return page


@pytest.fixture
def open_notebook(page: Page, server: Server) -> Iterator:
    """Open one notebook of the project in the module's window."""
    yield lambda name: Notebook(page, server, f"notebooks/{name}.ipynb")
    page.goto("about:blank")
