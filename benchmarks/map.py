"""Maps: UMAP of 5,000 x 512 after import; a figure of 20,000 points built, painted and hovered over in Chromium.

    python benchmarks/map.py

Prints JSON. The browser part is left out, and says why, where no Chromium is installed.
"""

from __future__ import annotations

import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from slapkit.viz.figures.maps import Panel, joint_map
from slapkit.viz.maps.umap import fit_map

# As in the tests of the notebooks: no graphics card, WebGL in software.
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
POINTS = 20_000
HOVERS = 15


def clustered(rows: int, width: int, clusters: int = 40, seed: int = 0) -> np.ndarray:
    """Return vectors `[rows, width]` around random centres."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(clusters, width))
    return centres[rng.integers(clusters, size=rows)] + 0.6 * rng.normal(size=(rows, width))


def umap_time() -> dict[str, Any]:
    """Fit 5,000 x 512 once, UMAP imported before; its functions are compiled, or read from numba's cache, within."""
    import umap  # noqa: F401

    vectors = clustered(5000, 512)
    begin = time.perf_counter()
    fit_map(vectors, progress=False)
    first = time.perf_counter() - begin
    begin = time.perf_counter()
    fit_map(vectors, progress=False)
    return {"umap_5000x512_s": round(first, 1), "umap_5000x512_again_s": round(time.perf_counter() - begin, 1)}


def big_panel(points: int = POINTS) -> Panel:
    """Return a map of `points` points, a sixth of them clips, with cards of the usual length."""
    rng = np.random.default_rng(0)
    clips = points // 6
    owner = np.concatenate([np.arange(clips), np.arange(points - clips) % clips])
    places = (clustered(clips, 2)[owner] + 0.1 * rng.normal(size=(points, 2))).astype(np.float32)
    card = "<b>a slow melody on a flute and a harp, {}</b><br>rank 12 of 3,333 (0.4 %): A tune<br>jig · slow · flute"
    table = pd.DataFrame(
        {
            "kind": np.where(np.arange(points) < clips, "audio", "text"),
            "clip": owner,
            "rank": np.where(np.arange(points) < clips, np.nan, rng.integers(1, clips, points)),
            "x": places[:, 0],
            "y": places[:, 1],
            "card": [card.format(i) for i in range(points)],
        }
    )
    return Panel("SLAP", "slap", table, 0.1, 0.01, clips)


def browser_time(page_file: Path, panel: Panel) -> dict[str, Any]:
    """Open the figure in headless Chromium: from the data's arrival to the first painted frame, and the hovers."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        return {"browser": "left out: no chromium on the PATH"}
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS.split())
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(page_file.as_uri())
        page.wait_for_function("window.painted > 0", timeout=60_000)
        found = {"first_paint_ms": round(page.evaluate("window.painted - window.begun"))}
        spots = page.evaluate(HOVER_SPOTS, [panel.coordinates[:: len(panel.points) // HOVERS].tolist()])
        times = [_hover(page, spot) for spot in spots[:HOVERS]]
        answered = [t for t in times if t is not None]
        found |= {
            "hovers_answered": f"{len(answered)} of {len(times)}",
            "hover_median_ms": round(statistics.median(answered)),
        }
        found["hover_worst_ms"] = round(max(answered))
        browser.close()
    return found


HOVER_SPOTS = """([places]) => {
  const map = document.getElementById("map"), layout = map._fullLayout, box = map.getBoundingClientRect();
  return places.map(([x, y]) => [box.left + layout.xaxis._offset + layout.xaxis.l2p(x),
                                 box.top + layout.yaxis._offset + layout.yaxis.l2p(y)]);
}"""


def _hover(page: Any, spot: list[float]) -> float | None:
    """Return the time in ms from moving the mouse to the card being in the page, None if none came in 2 s."""
    page.mouse.move(5, 5)
    page.wait_for_timeout(120)
    page.evaluate("window.hovered = 0; window.moved = performance.now()")
    page.mouse.move(*spot)
    try:
        page.wait_for_function("window.hovered > 0", timeout=2000, polling="raf")
    except Exception:  # a timeout of playwright's own class
        return None
    return page.evaluate("window.hovered - window.moved")


PAGE = """<!DOCTYPE html><meta charset="utf-8"><body style="margin:0"><div id="map"></div><script>{plotly}</script>
<script id="data" type="application/json">{data}</script><script>
const text = document.getElementById("data").textContent;
const map = document.getElementById("map");
window.begun = performance.now();
const figure = JSON.parse(text);
Plotly.newPlot(map, figure.data, figure.layout).then(() => {{
  requestAnimationFrame(() => requestAnimationFrame(() => {{ window.painted = performance.now(); }}));
  map.on("plotly_hover", () => requestAnimationFrame(() => {{
    if (document.querySelector(".hoverlayer .hovertext")) window.hovered = performance.now();
  }}));
}});
</script>"""


def main() -> None:
    from plotly.offline import get_plotlyjs

    from slapkit.viz.text import json_for_script

    result = umap_time()
    panel = big_panel()
    begin = time.perf_counter()
    figure = joint_map([panel])
    data = figure.to_json()
    result |= {"figure_20000_s": round(time.perf_counter() - begin, 2), "figure_20000_mb": round(len(data) / 1e6, 1)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "map.html"
        path.write_text(PAGE.format(plotly=get_plotlyjs(), data=json_for_script(data)), encoding="utf-8")
        result |= browser_time(path, panel)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
