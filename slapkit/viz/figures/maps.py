"""The joint map: clips and captions of one model, or of several side by side, with their gap and worst pairs.

A panel is a table of points. Its first rows are clips (`kind` "audio"), the others captions ("text"); `clip` is the row
of a point's clip; `x`, `y` (and `z`) its place; `card` its hover text, ready for plotly; `rank` that of a caption's
clip. Points can be coloured by all other columns.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from slapkit.config import nearest
from slapkit.errors import DataError, short
from slapkit.viz import theme
from slapkit.viz.figures.map_frame import ENTRIES, add_legend, frame
from slapkit.viz.figures.style import finish, grid, joined
from slapkit.viz.text import BREAK, MOST_LINES, items, label, plain

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

MODALITY = "modality"
ROLES = ("text", "audio", "worst", "gap", "line", "ring")  # the traces of a panel, from the back to the front
SIZES = {2: {"audio": 8, "text": 6}, 3: {"audio": 4, "text": 3}}
MANY = 6000  # points of a panel: beyond this they are drawn smaller
OPACITY = 0.6


@dataclasses.dataclass(frozen=True)
class Panel:
    """One model's map, the gap with half its 95 % interval, and the number of clips that ranks are among."""

    name: str
    objective: str
    points: pd.DataFrame
    gap: float
    gap_half_width: float = float("nan")
    candidates: int = 0

    @property
    def dimensions(self) -> int:
        return 3 if "z" in self.points else 2

    @property
    def coordinates(self) -> np.ndarray:
        return self.points[["x", "y", "z"][: self.dimensions]].to_numpy(dtype=np.float32)

    @property
    def is_text(self) -> np.ndarray:
        return (self.points["kind"] == "text").to_numpy()


@dataclasses.dataclass(frozen=True)
class Coloring:
    """How points are coloured: a number for each row of each panel, their names and colours."""

    column: str
    codes: list[np.ndarray]
    names: list[str]
    colors: list[str]


def coloring(panels: Sequence[Panel], column: str = MODALITY) -> Coloring:
    """Return colours by modality, or by a column of the points: its nine largest values, then "other".

    Lists count by their first entry; numbers of many values are put into quarters. A column that is not there is a
    `DataError`, which names the nearest.
    """
    if column == MODALITY:
        codes = [panel.is_text.astype(np.uint8) for panel in panels]
        return Coloring(column, codes, ["audio", "text"], [theme.AUDIO, theme.TEXT])
    for panel in panels:
        if column not in panel.points:
            raise DataError(f"points have no column {short(column)} to be coloured by: {nearest(column, panel.points)}")
    values = [_categories(panel.points[column]) for panel in panels]
    counts = values[0].value_counts(sort=True)
    ordered = sorted(counts.index, key=lambda name: (-counts[name], name))
    rest = len(ordered) > ENTRIES
    names = ordered[: ENTRIES - 1] if rest else ordered
    colors = [*theme.CATEGORIES, theme.OTHER][: len(names)]
    codes = [series.map({name: i for i, name in enumerate(names)}) for series in values]
    if rest or any(code.isna().any() for code in codes):
        names, colors = [*names, f"{len(ordered) - len(names)} others" if rest else "unknown"], [*colors, theme.OTHER]
    numbers = [code.fillna(len(names) - 1).to_numpy(dtype=np.uint8) for code in codes]
    return Coloring(column, numbers, names, colors)


def _categories(series: pd.Series) -> pd.Series:
    import pandas as pd

    series = series.map(lambda value: next(iter(items(value)), None) if not isinstance(value, bool) else value)
    numbers = pd.to_numeric(series, errors="coerce").astype(float)
    series, numbers = (column.where(~np.isinf(numbers)) for column in (series, numbers))  # no quarter holds infinity
    if numbers.notna().sum() == series.notna().sum() and numbers.nunique() > ENTRIES:
        edges = np.unique(np.nanquantile(numbers, [0, 0.25, 0.5, 0.75, 1]))
        # As many digits as tell the quarters apart.
        digits = next(n for n in range(6, 18) if len({f"{edge:.{n}g}" for edge in edges}) == len(edges))
        names = [f"{low:.{digits}g} to {high:.{digits}g}" for low, high in zip(edges[:-1], edges[1:])]
        return pd.cut(numbers, edges, labels=names, include_lowest=True).astype(object)
    return series.map(plain, na_action="ignore")


def joint_map(
    panels: Sequence[Panel], *, color: str = MODALITY, worst: int = 0, height: int = 700, title: str | None = None,
    card_lines: int = MOST_LINES,
) -> go.Figure:  # fmt: skip
    """Do audio and text share one space? Clips (circles) and captions (diamonds) of each model, its gap drawn.

    Points are coloured by "modality" or a column; `worst` captions of the worst rank have lines to their clips. Without
    `card_lines` of hover cards the figure is small. A `DataError` refuses no panels, panels of 2 and of 3 dimensions,
    and a column that is not there.
    """
    if not panels or len({panel.dimensions for panel in panels}) > 1:
        raise DataError(f"{len(panels)} panels cannot be drawn: give one or more, all of 2 or all of 3 dimensions")
    dimensions = panels[0].dimensions
    kind = {"type": "scene" if dimensions == 3 else "xy"}
    figure = grid(cols=len(panels), horizontal_spacing=0.03, specs=[[kind] * len(panels)])
    colors = coloring(panels, color)
    for number, panel in enumerate(panels):
        for trace in _panel_traces(panel, number, colors, worst, card_lines):
            figure.add_trace(trace, row=1, col=number + 1)
    add_legend(figure, colors, dimensions)
    finish(figure, title or gap_answer(panels), height=height, wide=True)
    return frame(figure, panels, colors, [gap_words(panel) for panel in panels])


def _panel_traces(panel: Panel, number: int, colors: Coloring, worst: int, card_lines: int) -> list[go.Scattergl]:
    """Return the traces of one panel in the order of `ROLES`; "line" and "ring" are empty until a hover or a click."""
    nothing, worst_paths = paths(panel, []), paths(panel, worst_rows(panel, worst))
    thin = {"color": theme.NEUTRAL, "width": 1}
    ring = {"symbol": "circle-open", "size": 18, "color": theme.WARNING, "line": {"width": 3}}
    found = {
        **{role: _points_trace(panel, role, colors, colors.codes[number], card_lines) for role in ("text", "audio")},
        "worst": on_map(worst_paths, mode="lines", line=thin, opacity=0.55, hoverinfo="skip"),
        "gap": _gap_trace(panel),
        "line": on_map(nothing, mode="lines", line={"color": theme.WARNING, "width": 2}, hoverinfo="skip"),
        "ring": on_map(nothing, mode="markers", marker=ring, hoverinfo="skip"),
    }
    return [found[role].update(showlegend=False, name=role, meta={"panel": number, "role": role}) for role in ROLES]


def _points_trace(panel: Panel, role: str, colors: Coloring, codes: np.ndarray, card_lines: int) -> go.Scattergl:
    rows = np.flatnonzero(panel.is_text == (role == "text"))
    size = SIZES[panel.dimensions][role] * (0.65 if len(codes) > MANY else 1)
    marker = {"symbol": theme.SYMBOL[role], "size": size, "opacity": OPACITY, "line": {"width": 0}}
    marker |= marker_colors(colors, codes[rows])
    hover: dict[str, Any] = {"hoverinfo": "skip"}
    if card_lines:
        cards = [BREAK.join(card.split(BREAK)[:card_lines]) for card in panel.points["card"].to_numpy()[rows]]
        hover = {"hoverinfo": "text", "hovertext": cards}
    return on_map(panel.coordinates[rows], mode="markers", marker=marker, legendgroup=role, **hover)


def on_map(places: np.ndarray, **kwargs: Any) -> go.Scattergl:
    """Return a trace through `places [N, 2 or 3]` in WebGL, like the points: plotly draws it above all SVG."""
    import plotly.graph_objects as go

    kind = go.Scatter3d if places.shape[1] == 3 else go.Scattergl
    return kind(**dict(zip("xyz", places.T)), **kwargs)


def marker_colors(colors: Coloring, codes: np.ndarray) -> dict[str, Any]:
    """Return the part of a marker that colours it: one colour where all are alike, else numbers and their scale."""
    used = np.unique(codes)
    if len(used) == 1:
        return {"color": colors.colors[int(used[0])], "showscale": False}
    n = len(colors.colors)
    steps = [[edge, color] for i, color in enumerate(colors.colors) for edge in (i / n, (i + 1) / n)]
    return {"color": codes, "colorscale": steps, "showscale": False, "cmin": -0.5, "cmax": n - 0.5}


def worst_rows(panel: Panel, worst: int) -> np.ndarray:
    """Return the rows of the captions whose clip has the worst rank, worst first, at most `worst`."""
    rows = np.flatnonzero(panel.is_text)
    ranks = panel.points["rank"].to_numpy(dtype=np.float64)[rows]
    return rows[np.argsort(-ranks, kind="stable")[: max(0, worst)]]


def paths(panel: Panel, rows: Sequence[int]) -> np.ndarray:
    """Return the path `[3 * rows, 2 or 3]` from each row to the row of its clip, NaN after each and where no row is."""
    path = np.full((3 * len(rows) or 1, panel.dimensions), np.nan, dtype=np.float32)
    if len(rows):
        path[0::3], path[1::3] = panel.coordinates[rows], panel.coordinates[panel.points["clip"].to_numpy()[rows]]
    return path


def _gap_trace(panel: Panel) -> go.Scattergl:
    places = panel.coordinates
    ends = np.stack([places[~panel.is_text].mean(axis=0), places[panel.is_text].mean(axis=0)])
    words = gap_words(panel)
    cards = [f"centroid of the {what}<br>in the embedding's own space: {words}" for what in ("clips", "captions")]
    marker = {"symbol": ["circle", "diamond"], "color": [theme.AUDIO, theme.TEXT], "opacity": 1.0}
    marker |= {"line": {"color": "#FFFFFF", "width": 2}}
    marker |= {"size": [22, 13] if panel.dimensions == 2 else [10, 7]}  # both are visible where they coincide
    line = {"color": theme.objective_color(panel.objective), "width": 3}
    return on_map(ends, mode="lines+markers", marker=marker, line=line, hovertext=cards, hoverinfo="text")


def gap_words(panel: Panel) -> str:
    """Return "gap 0.073 ± 0.010", without an interval where there is none."""
    interval = f" ± {panel.gap_half_width:.3f}" if np.isfinite(panel.gap_half_width) else ""
    return f"gap {panel.gap:.3f}{interval}"


def gap_answer(panels: Sequence[Panel]) -> str:
    ordered = sorted(panels, key=lambda panel: panel.gap)
    names, gaps = [label(p.name) for p in ordered], [gap_words(p).removeprefix("gap ") for p in ordered]
    if len(ordered) == 1:
        return f"{names[0]} leaves a gap of {gaps[0]} between audio and text"
    low, high = ordered[:2]
    if high.gap - low.gap <= np.nan_to_num([low.gap_half_width, high.gap_half_width]).sum():
        both = joined([f"{name} {gap}" for name, gap in zip(names, gaps)])
        return f"Their gaps between audio and text do not differ: {both}"
    others = joined([f"{name} keeps {gap}" for name, gap in zip(names[1:], gaps[1:])])
    return f"{names[0]} narrows the gap to {gaps[0]}; {others}"


def worst_pairs(panels: Sequence[Panel], *, worst: int = 20) -> go.Figure:
    """Where is each model most wrong? Lines from the captions of the worst ranks to their clips, with cards."""
    chosen = [worst_rows(panel, worst) for panel in panels]
    said = []
    for panel, rows in zip(panels, chosen):
        middle = np.median(panel.points["rank"].to_numpy()[rows]) / max(1, panel.candidates)
        said.append(f"{label(panel.name)} {100 * middle:.0f} %")
    title = f"Median rank of the clip for the {worst} worst captions: {joined(said)} of the candidates"
    figure = joint_map(panels, worst=worst, title=title, card_lines=0)
    figure.for_each_trace(
        lambda trace: trace.update(marker_opacity=0.22), lambda trace: (trace.meta or {}).get("role") in SIZES[2]
    )
    for column, (panel, rows) in enumerate(zip(panels, chosen), start=1):
        for role, points in (("audio", panel.points["clip"].to_numpy()[rows]), ("text", rows)):
            marker = {"symbol": theme.SYMBOL[role], "size": 5 if panel.dimensions == 3 else 10}
            cards = panel.points["card"].to_numpy()[points].tolist()
            hover = {"hovertext": cards, "hoverinfo": "text", "legendgroup": role, "showlegend": False}
            look = {"mode": "markers", "marker": marker | {"color": theme.MODALITY[role]}} | hover
            figure.add_trace(on_map(panel.coordinates[points], **look), row=1, col=column)
    return figure


def sentence_on_map(
    panels: Sequence[Panel], places: Sequence[np.ndarray], sentence: str, nearest: Sequence[str]
) -> go.Figure:
    """Where does a new sentence lie? A star at one of `places` in each map; `nearest` names its clip in each space."""
    said = [f"{label(title)} for {label(panel.name)}" for panel, title in zip(panels, nearest)]
    quoted = f"“{label(sentence, 60)}”"
    figure = joint_map(panels, title=f"The clip nearest to {quoted} is {joined(said)}", card_lines=0)
    symbol, size = ("star", 24) if panels[0].dimensions == 2 else ("cross", 8)
    edge = {"color": "#FFFFFF", "width": 2}
    marker = {"symbol": symbol, "size": size, "color": theme.CATEGORIES[2], "line": edge}
    look = {"mode": "markers", "marker": marker, "hovertext": [quoted], "hoverinfo": "text", "name": "the sentence"}
    for column, place in enumerate(places, start=1):
        star = on_map(np.asarray([place], dtype=np.float32), legendgroup="mark", showlegend=column == 1, **look)
        figure.add_trace(star, row=1, col=column)
    return figure
