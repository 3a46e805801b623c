"""A picture of a notebook's cell in JupyterLab: python -m tests.viz.browser.shots 04_search bench search.png

The notebook runs as it is, in the project of the working folder.
"""

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.viz.browser.lab import Notebook, launch, serve


def main(name: str, cell: str, path: str) -> None:
    """Run a notebook and photograph the output of one of its cells."""
    with (
        tempfile.TemporaryDirectory() as home,
        serve(Path.cwd(), Path(home)) as server,
        sync_playwright() as playwright,
    ):
        page = launch(playwright.chromium).new_page(viewport={"width": 1280, "height": 800})
        page.on("dialog", lambda box: box.accept())
        notebook = Notebook(page, server, f"notebooks/{name}.ipynb")
        page.keyboard.press("Control+b")  # the list of files takes room
        notebook.run_all()
        notebook.finish(timeout_s=600)
        area = notebook.cell(cell).locator(".jp-OutputArea").first
        page.set_viewport_size({"width": 1280, "height": max(800, round(area.bounding_box()["height"]) + 220)})
        area.evaluate("area => area.scrollIntoView({block: 'start'})")
        page.wait_for_timeout(2500)
        area.screenshot(path=path)


if __name__ == "__main__":
    main(*sys.argv[1:])
