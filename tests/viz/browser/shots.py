"""Pictures of a notebook's widgets in JupyterLab, in both themes and two widths.

    .venv/bin/python -m tests.viz.browser.shots 03_explore view pictures/            # cell "view" of the notebook
    .venv/bin/python -m tests.viz.browser.shots 04_search bench pictures/ --project DIR -p query="fast jig"

The notebook runs once per theme, as a copy in the project; pictures are named <notebook>-<cell>-<theme>-<width>.png.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import shutil
import tempfile
from pathlib import Path

from tests.viz.browser.lab import Notebook, launch, serve, set_parameters

SIZES = {1280: 800, 1920: 1080}


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("notebook", help="its name in notebooks/")
    parser.add_argument("cells", help="ids of cells, separated by commas")
    parser.add_argument("folder", type=Path, help="takes the pictures")
    parser.add_argument("--project", type=Path, default=Path(), help="folder with notebooks/, data/ and runs/")
    parser.add_argument("-p", dest="parameters", action="append", default=[], metavar="NAME=VALUE")
    args = parser.parse_args()
    values: dict[str, object] = dict(pair.split("=", 1) for pair in args.parameters)
    for name, text in values.items():
        with contextlib.suppress(ValueError, SyntaxError):  # a text that is no literal is itself
            values[name] = ast.literal_eval(str(text))
    root = args.project.resolve()
    args.folder.mkdir(parents=True, exist_ok=True)
    copy = root / "notebooks" / f"{args.notebook}-shots.ipynb"
    shutil.copy(root / "notebooks" / f"{args.notebook}.ipynb", copy)
    set_parameters(copy, **values)
    try:
        with tempfile.TemporaryDirectory() as home, serve(root, Path(home)) as server, sync_playwright() as playwright:
            page = launch(playwright.chromium).new_page(viewport={"width": 1280, "height": 800})
            page.on("dialog", lambda box: box.accept())
            for theme in ("Light", "Dark"):
                server.theme(f"JupyterLab {theme}")
                notebook = Notebook(page, server, f"notebooks/{copy.name}")
                page.keyboard.press("Control+b")  # the list of files takes room
                notebook.run_all()
                notebook.finish(timeout_s=600)
                for width, height in SIZES.items():
                    for cell in args.cells.split(","):
                        page.set_viewport_size({"width": width, "height": height})
                        area = notebook.cell(cell).locator(".jp-OutputArea").first
                        # What is longer than the window would be cut.
                        tall = max(height, round(area.bounding_box()["height"]) + 220)
                        page.set_viewport_size({"width": width, "height": tall})
                        area.evaluate("area => area.scrollIntoView({block: 'start'})")
                        page.wait_for_timeout(2500)
                        path = args.folder / f"{args.notebook}-{cell}-{theme.lower()}-{width}.png"
                        area.screenshot(path=path)
                        print(path)
                notebook.close()
    finally:
        copy.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
