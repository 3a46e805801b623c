"""A map as one file that opens anywhere: no Python, no network; hover, click, and some of the sounds inside it."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from slapkit._io import atomic_write_text
from slapkit.errors import AudioError
from slapkit.metrics.embedded import Embedded, require_same_clips
from slapkit.viz import theme
from slapkit.viz.figures.cards import plain
from slapkit.viz.figures.map_frame import scheme
from slapkit.viz.figures.maps import MODALITY, Panel, joint_map, worst_rows
from slapkit.viz.maps.points import fact_words, rank_words, title_of
from slapkit.viz.maps.sound import excerpt

EXCERPT_S = 8.0  # of the sounds in the page
OBJECTIVES = (theme.OBJECTIVE, theme.DARK_OBJECTIVE)
_LARGER = 4  # px that a clip with sound is wider than one without


def save_html(
    models: Sequence[Embedded],
    panels: Sequence[Panel],
    path: str | Path,
    *,
    clips: int = 60,
    color: str = MODALITY,
    worst: int = 0,
    seed: int = 0,
    seconds: float = EXCERPT_S,
    progress: bool = False,
) -> Path:
    """Write the map of `models` as one HTML file, and return its path.

    A click on a clip plays it, on a caption its clip, where its sound is among the `clips` that the page holds: first
    those of the worst captions of each model, then clips drawn at random. Their circles are larger.

    Args:
        models: what was mapped.
        panels: their maps, in the same order.
        path: of the page.
        clips: sounds to put into it, as excerpts; a sound that cannot be read is left out.
        color: "modality" or a column of the points.
        worst: lines from this many of the worst captions to their clips.
        seed: of the choice of clips.
        seconds: length of an excerpt.
        progress: show the excerpts being made.

    Raises:
        StorageError: the page cannot be written.
    """
    import jinja2
    from plotly.offline import get_plotlyjs

    from slapkit.runs.report import json_for_script

    require_same_clips(models)
    chosen = chosen_clips(panels, clips, seed)
    sounds = _sounds(models[0], chosen, seconds, progress)
    figure = joint_map(panels, color=color, worst=worst)
    sizes = np.isin(np.arange(len(models[0].frame)), list(sounds)) * _LARGER
    for trace in figure.data:
        if (trace.meta or {}).get("role") == "audio":
            trace.marker.size = (sizes + trace.marker.size).astype(np.float32)
    dark = {**scheme(True), "template": scheme(True)["template"].to_plotly_json()}
    data = {
        "figure": json.loads(figure.to_json()),
        "dark": dark,
        "ink": [theme.LIGHT["text"], theme.DARK["text"]],
        "names": [[colors.get(m.objective, theme.NEUTRAL) for m in models] for colors in OBJECTIVES],
        "clips": _clip_texts(models[0]),
        "captions": [_caption_texts(model, panel) for model, panel in zip(models, panels)],
        "clipOf": models[0].track_of_text.tolist(),
        "places": [np.round(panel.coordinates, 4).tolist() for panel in panels],
        "sounds": sounds,
        "seconds": seconds,
    }
    environment = jinja2.Environment(autoescape=True)
    template = environment.from_string((files("slapkit.viz.maps") / "export.html").read_text(encoding="utf-8"))
    page = template.render(
        title=" and ".join(plain(model.name, 40) for model in models),
        css=theme.css_variables(),
        plotly=get_plotlyjs(),
        script=(files("slapkit.viz.maps") / "export.js").read_text(encoding="utf-8"),
        data=json_for_script(data),
        sounds=len(sounds),
        points=len(models[0]),
    )
    return atomic_write_text(path, page)


def chosen_clips(panels: Sequence[Panel], clips: int, seed: int = 0) -> list[int]:
    """Return the numbers of at most `clips` clips: half from the worst captions of each model by turns, then random."""
    count = int((~panels[0].is_text).sum())
    clips = min(max(0, clips), count)
    worst = [panel.points["clip"].to_numpy()[worst_rows(panel, clips)] for panel in panels]
    turns = [int(clip) for pair in zip(*worst) for clip in pair]
    rest = np.random.default_rng(seed).permutation(count).tolist()
    return list(dict.fromkeys([*list(dict.fromkeys(turns))[: clips // 2], *rest]))[:clips]


def _sounds(model: Embedded, chosen: Sequence[int], seconds: float, progress: bool) -> dict[int, str]:
    """Return clip number -> its excerpt in base64."""
    from tqdm.auto import tqdm

    found = {}
    for clip in tqdm(chosen, desc="excerpts", unit="clip", disable=not progress, leave=False):
        try:
            data, _ = excerpt(model.frame["path"].iloc[clip], seconds=seconds)
        except AudioError:
            continue
        found[int(clip)] = base64.b64encode(data).decode()
    return found


def _clip_texts(model: Embedded) -> list[dict[str, Any]]:
    """Return title and lines of each clip, as plain text: the page sets them as text."""
    rows = model.frame.to_dict("records")
    return [
        {
            "title": plain(title_of(row), 120),
            "lines": [plain(line, 200) for line in (*fact_words(row), *list(row["captions"])[:1]) if line],
        }
        for row in rows
    ]


def _caption_texts(model: Embedded, panel: Panel) -> dict[str, Any]:
    """Return the captions of one model's map with the words about their rank."""
    ranks = panel.points["rank"].to_numpy()[panel.text_rows]
    return {
        "model": plain(model.name, 40),
        "texts": [plain(text, 300) for text in model.captions],
        "ranks": [rank_words(float(rank), model.candidates) for rank in ranks],
    }
