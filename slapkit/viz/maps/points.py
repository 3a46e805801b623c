"""A model's split and its map as one table of points: what figures draw, what a lasso returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from slapkit.metrics.embedded import Embedded, Kind
from slapkit.metrics.intervals import estimate
from slapkit.viz.figures.maps import MODALITY, Panel, worst_rows
from slapkit.viz.text import card, facts, items, rank_words, title_of

if TYPE_CHECKING:
    import pandas as pd

# Columns that are not worth colouring by.
_NOT_COLORS = {
    "id", "path", "captions", "caption_frames", "group", "sha256", "bytes", "peak_db", "rms_db",
    "kind", "clip", "caption", "rank", "title", "x", "y", "z", "card",
}  # fmt: skip


def panel(embedded: Embedded, coordinates: np.ndarray, kind: Kind = "q") -> Panel:
    """Return the map of one model with the gap measured in its own space, one pair per clip.

    `coordinates` are `[N + M, 2 or 3]`, of N clips and then M captions.
    """
    gap = estimate(embedded.space(kind).along_gap)
    table = points_table(embedded, coordinates, kind)
    return Panel(embedded.name, embedded.objective, table, gap.value, gap.half_width, embedded.candidates)


def points_table(embedded: Embedded, coordinates: np.ndarray, kind: Kind = "q") -> pd.DataFrame:
    """Return one row per point: kind, clip (row number), id, title, caption, rank, x, y(, z), facts, card.

    `rank` is the rank of a caption's clip among all clips of the split, 1 the best, missing for clips; `caption` is a
    caption's own text, and the first caption of a clip.
    """
    n, clip_of_caption = len(embedded.frame), embedded.clip_of_caption
    clips = np.concatenate([np.arange(n), clip_of_caption])
    rows = embedded.frame.to_dict("records")
    firsts = [next(iter(row["captions"]), "") for row in rows]
    ranks = embedded.text_ranks[kind]
    table = embedded.frame.drop(columns="captions").assign(title=[title_of(row) for row in rows])
    table = table.iloc[clips].reset_index(drop=True)
    table.insert(0, "kind", np.where(np.arange(len(clips)) < n, "audio", "text"))
    table.insert(1, "clip", clips)
    table.insert(2, "caption", firsts + list(embedded.captions))
    table.insert(3, "rank", np.concatenate([np.full(n, np.nan), ranks]))
    for axis, values in zip("xyz", np.asarray(coordinates, dtype=np.float32).T):
        table[axis] = values
    known = [" · ".join(facts(row)) for row in rows]
    cards = [card(title_of(row), [(known[i], 2), (firsts[i], 2)]) for i, row in enumerate(rows)]
    for text, clip, rank in zip(embedded.captions, clip_of_caption, ranks):
        found = f"{rank_words(rank, embedded.candidates)}: {title_of(rows[clip])}"
        cards.append(card(text, [(found, 1), (known[clip], 2)], most=3))
    table["card"] = cards
    return table


def color_columns(table: pd.DataFrame) -> list[str]:
    """Return the columns that are worth colouring by: the usual ones first, none with one value or one per clip."""
    clips = table[table["kind"] == "audio"]
    usual = ["style", "instruments", "tempo_class", "tempo_bpm", "split"]
    names = [c for c in usual if c in clips] + [c for c in clips if c not in usual and c not in _NOT_COLORS]
    good = []
    for name in names:
        values = {next(iter(items(value)), None) for value in clips[name]} - {None}
        texts = any(isinstance(value, str) for value in values)
        if len(values) > 1 and not (texts and len(values) > max(40, len(clips) // 4)):
            good.append(name)
    return [MODALITY, *good]


def worst_table(panels: Sequence[Panel], worst: int = 5) -> pd.DataFrame:
    """Return each model's captions of the worst rank, worst first, with title and facts of their clips."""
    import pandas as pd

    parts = [panel.points.iloc[worst_rows(panel, worst)].assign(model=panel.name) for panel in panels]
    wanted = ("model", "rank", "caption", "title", "style", "instruments", "tempo_class")
    table = pd.concat(parts, ignore_index=True)
    return table[[name for name in wanted if name in table]]
