"""A map as one HTML file without Python or network: hover, click, and excerpts of some clips."""

import base64
import contextlib
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from slapkit._io import atomic_write_text
from slapkit.errors import AudioError
from slapkit.metrics.embedded import Embedded, require_same_clips
from slapkit.search.listen import excerpt
from slapkit.viz import theme
from slapkit.viz.figures.map_frame import scheme
from slapkit.viz.figures.maps import MODALITY, Panel, joint_map, worst_rows
from slapkit.viz.text import facts, json_for_script, plain, rank_words, title_of

EXCERPT_FORM = {"rate": 24_000, "compression": 0.8}
_LARGER = 4  # px that a clip with an excerpt is wider than others


def save_html(
    models: Sequence[Embedded], panels: Sequence[Panel], path: str | Path, *, clips: int = 60, color: str = MODALITY,
    worst: int = 0, seed: int = 0, seconds: float = 8.0,
) -> Path:  # fmt: skip
    """Write the map of `models` as one HTML file, and return its path.

    A click on a clip plays it, on a caption its clip, if it is among the `clips` of which the page holds `seconds`:
    first those of the worst captions of each model, then clips drawn at random. Their circles are larger. A file that
    cannot be decoded is left out. `color` and `worst` are those of `figures.joint_map`. A page that cannot be written
    is a `StorageError`.
    """
    import jinja2
    from plotly.offline import get_plotlyjs

    require_same_clips(models)
    sounds = _sounds(models[0], chosen_clips(panels, clips, seed), seconds)
    figure = joint_map(panels, color=color, worst=worst)
    sizes = np.isin(np.arange(len(models[0].frame)), list(sounds)) * _LARGER
    for trace in figure.data:
        if (trace.meta or {}).get("role") == "audio":
            trace.marker.size = (sizes + trace.marker.size).astype(np.float32)
    data = {
        "figure": json.loads(figure.to_json()),
        "dark": {**scheme(True), "template": scheme(True)["template"].to_plotly_json()},
        "ink": [theme.LIGHT["text"], theme.DARK["text"]],
        "names": [[theme.objective_color(m.objective, dark=dark) for m in models] for dark in (False, True)],
        "clips": _clip_texts(models[0]),
        "captions": [_caption_texts(model, panel) for model, panel in zip(models, panels)],
        "clipOf": models[0].clip_of_caption.tolist(),
        "places": [np.round(panel.coordinates, 4).tolist() for panel in panels],
        "sounds": sounds,
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
    """Return the indices of at most `clips` clips: half belong to the worst captions of each model, half are random."""
    count = int((~panels[0].is_text).sum())
    worst = [panel.points["clip"].to_numpy()[worst_rows(panel, clips)] for panel in panels]
    turns = [int(clip) for pair in zip(*worst) for clip in pair]
    rest = np.random.default_rng(seed).permutation(count).tolist()
    return list(dict.fromkeys([*list(dict.fromkeys(turns))[: clips // 2], *rest]))[:clips]


def _sounds(model: Embedded, chosen: Sequence[int], seconds: float) -> dict[int, str]:
    found = {}
    for clip in chosen:
        with contextlib.suppress(AudioError):
            data = excerpt(model.frame["path"].iloc[clip], seconds=seconds, **EXCERPT_FORM)
            found[clip] = base64.b64encode(data).decode()
    return found


def _clip_texts(model: Embedded) -> list[dict[str, Any]]:
    texts = []
    for row in model.frame.to_dict("records"):
        lines = (" · ".join(facts(row)), *list(row["captions"])[:1])
        texts.append({"title": plain(title_of(row), 120), "lines": [plain(line, 200) for line in lines if line]})
    return texts


def _caption_texts(model: Embedded, panel: Panel) -> dict[str, Any]:
    ranks = panel.points["rank"].to_numpy()[panel.is_text]
    return {
        "model": plain(model.name, 40),
        "texts": [plain(text, 300) for text in model.captions],
        "ranks": [rank_words(float(rank), model.candidates) for rank in ranks],
    }
