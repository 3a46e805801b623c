"""Pictures of a notebook's widgets as they stand in JupyterLab, in both themes and two widths.

    .venv/bin/python -m tests.viz.browser.shots 03_explore view pictures/            # cell "view" of the notebook
    .venv/bin/python -m tests.viz.browser.shots 04_search bench pictures/ --project DIR -p query="fast jig"

The notebook runs in the project (a copy of it: what it writes under `runs` and `data` stays there) once for all
pictures; they are named <notebook>-<cell>-<theme>-<width>.png.
"""

from __future__ import annotations

import argparse
import ast
import shutil
import tempfile
from pathlib import Path

from tests.viz.browser.lab import Notebook, launch, serve, set_parameters

THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
SIZES = {1280: 800, 1920: 1080}


def value(text: str) -> object:
    """Return what a parameter written in a shell stands for: a literal, or else the text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def take(notebook: Notebook, cell: str, path: Path, *, window: bool) -> None:
    """Write one picture: the output of a cell, or the window with that output at its top."""
    page, area = notebook.page, notebook.cell(cell).locator(".jp-OutputArea").first
    width, height = page.viewport_size["width"], page.viewport_size["height"]
    if not window:
        # What is longer than the window would be cut by the notebook's own scrolling.
        page.set_viewport_size({"width": width, "height": max(height, round(area.bounding_box()["height"]) + 220)})
    area.evaluate("area => area.scrollIntoView({block: 'start'})")
    page.wait_for_timeout(2500)
    (page if window else area).screenshot(path=path)
    page.set_viewport_size({"width": width, "height": height})
    print(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("notebook", help="its name in notebooks/")
    parser.add_argument("cells", help="ids of cells, separated by commas")
    parser.add_argument("folder", type=Path, help="takes the pictures")
    parser.add_argument("--project", type=Path, default=Path(), help="folder with notebooks/, data/ and runs/")
    parser.add_argument("--window", action="store_true", help="the whole window, not the cell's output alone")
    parser.add_argument("-p", dest="parameters", action="append", default=[], metavar="NAME=VALUE")
    args = parser.parse_args()
    from playwright.sync_api import sync_playwright

    root = args.project.resolve()
    args.folder.mkdir(parents=True, exist_ok=True)
    copy = root / "notebooks" / f"{args.notebook}-shots.ipynb"
    shutil.copy(root / "notebooks" / f"{args.notebook}.ipynb", copy)
    set_parameters(copy, **{name: value(text) for name, text in (p.split("=", 1) for p in args.parameters)})
    try:
        with tempfile.TemporaryDirectory() as home, serve(root, Path(home)) as server, sync_playwright() as playwright:
            browser = launch(playwright.chromium)
            for theme, label in THEMES.items():
                server.theme(label)
                page = browser.new_page(viewport={"width": 1280, "height": 800})
                page.on("dialog", lambda box: box.accept())
                notebook = Notebook(page, server, f"notebooks/{copy.name}")
                # The list of files takes room that a reader gives to the notebook.
                page.keyboard.press("Control+b")
                notebook.run_all()
                notebook.finish(timeout_s=600)
                for width, height in SIZES.items():
                    page.set_viewport_size({"width": width, "height": height})
                    for cell in args.cells.split(","):
                        path = args.folder / f"{args.notebook}-{cell}-{theme}-{width}.png"
                        take(notebook, cell, path, window=args.window)
                notebook.close()
                page.close()
            browser.close()
    finally:
        copy.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
