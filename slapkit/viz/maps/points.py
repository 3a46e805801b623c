"""A model's split and its map as one table of points: what figures draw, what a lasso returns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from slapkit.metrics.embedded import Embedded, Kind
from slapkit.metrics.recentre import gap_interval
from slapkit.viz.figures.cards import BREAK, card, fact, lines
from slapkit.viz.figures.maps import MODALITY, Panel, worst_rows

if TYPE_CHECKING:
    import pandas as pd

# Facts that a card tells, in this order, where the data set has them.
TOLD = ("style", "genre", "tempo_class", "key", "artist", "album")
LISTED = ("instruments", "tags")
_NOT_FACTS = ("id", "path", "captions", "caption_frames", "group", "sha256", "bytes", "peak_db", "rms_db")


def panel(embedded: Embedded, coordinates: np.ndarray, kind: Kind = "q", **columns: Any) -> Panel:
    """Return the map of one model with the gap measured in its own space, one pair a clip.

    Args:
        embedded: N clips and M captions.
        coordinates: `[N + M, 2 or 3]`, clips first.
        kind: which embedding the map and the gap are of.
        columns: further columns by name, `[N]` values, one a clip.
    """
    gap = gap_interval(audio=embedded.audio(kind), text=embedded.text(kind)[embedded.first_captions])
    table = points_table(embedded, coordinates, kind, **columns)
    return Panel(embedded.name, embedded.objective, table, gap.value, gap.half_width, embedded.candidates)


def points_table(embedded: Embedded, coordinates: np.ndarray, kind: Kind = "q", **columns: Any) -> pd.DataFrame:
    """Return one row per point: kind, clip (row number), id, title, caption, rank, x, y(, z), facts, card.

    `rank` is the rank of a caption's clip among all clips of the split, 1 the best, missing for clips; `caption` is a
    caption's own text, and the first caption of a clip.
    """
    clips = np.concatenate([np.arange(len(embedded.frame)), embedded.track_of_text])
    n = len(embedded.frame)
    facts = embedded.frame.drop(columns=["captions"], errors="ignore").assign(**columns)
    facts["title"] = [title_of(row) for row in embedded.frame.to_dict("records")]
    table = facts.iloc[clips].reset_index(drop=True)
    firsts = [captions[0] if len(captions) else "" for captions in embedded.frame["captions"]]
    table.insert(0, "kind", np.where(np.arange(len(clips)) < n, "audio", "text"))
    table.insert(1, "clip", clips)
    table.insert(2, "caption", firsts + list(embedded.captions))
    table.insert(3, "rank", np.concatenate([np.full(n, np.nan), embedded.text_ranks[kind]]))
    for axis, values in zip("xyz", np.asarray(coordinates, dtype=np.float32).T):
        table[axis] = values
    table["card"] = _cards(embedded, kind, facts)
    return table


def title_of(row: dict[str, Any]) -> str:
    """Return what a clip is called: its title, or the name of its file."""
    title = row.get("title")
    return title if isinstance(title, str) and title.strip() else PurePosixPath(str(row["id"])).stem


def rank_words(rank: float, candidates: int) -> str:
    """Return "rank 12 of 400 (3.0 %)"; an expected rank among ties keeps its half."""
    return f"rank {rank:g} of {candidates:,} ({100 * rank / candidates:.1f} %)"


def fact_words(row: dict[str, Any]) -> tuple[str, str]:
    """Return what is known of a clip in two texts: single facts, and lists (instruments)."""
    single = " · ".join(filter(None, (fact(row.get(name)) for name in TOLD)))
    if tempo := fact(row.get("tempo_bpm")):
        single = f"{single} · {tempo} bpm" if single else f"{tempo} bpm"
    return single, " · ".join(filter(None, (fact(row.get(name)) for name in LISTED)))


def _cards(embedded: Embedded, kind: Kind, facts: pd.DataFrame) -> list[str]:
    """Return the hover text of clips, then of captions: six lines at most."""
    rows = facts.to_dict("records")
    known = [fact_words(row) for row in rows]
    captions = embedded.frame["captions"].tolist()
    cards = [
        card(row["title"], [(single, 1), (listed, 1), (texts[0] if len(texts) else "", 2)])
        for row, (single, listed), texts in zip(rows, known, captions)
    ]
    for text, clip, rank in zip(embedded.captions, embedded.track_of_text, embedded.text_ranks[kind]):
        found = f"{rank_words(rank, embedded.candidates)}: {rows[clip]['title']}"
        single, listed = known[clip]
        cards.append(caption_card(text, found, " · ".join(filter(None, (single, listed)))))
    return cards


def caption_card(text: str, found: str, known: str) -> str:
    """Return the hover text of a caption: the caption in bold, then its clip's rank and facts."""
    head = [f"<b>{line}</b>" for line in lines(text, most=3)]
    return BREAK.join(head + lines(found, most=1) + (lines(known, most=2) if known else []))


def color_columns(table: pd.DataFrame) -> list[str]:
    """Return the columns that are worth colouring by: the usual ones first, none that has one value or one a clip."""
    clips = table[table["kind"] == "audio"]
    usual = ["style", "instruments", "tempo_class", "tempo_bpm", "split"]
    skipped = {"kind", "clip", "caption", "rank", "title", "x", "y", "z", "card", *_NOT_FACTS}
    names = [c for c in usual if c in clips] + [c for c in clips if c not in usual and c not in skipped]
    good = []
    for name in names:
        values = clips[name].map(lambda v: (v[0] if len(v) else None) if isinstance(v, list | tuple) else v)
        hashable = values.map(lambda v: isinstance(v, str | int | float | bool) or v is None)
        distinct = values.nunique() if hashable.all() else 0
        many = values.map(lambda v: isinstance(v, str)).any() and distinct > max(40, len(clips) // 4)
        if distinct > 1 and not many:
            good.append(name)
    return [MODALITY, *good]


def worst_table(panels: Sequence[Panel], worst: int = 5) -> pd.DataFrame:
    """Return each model's captions of the worst rank, worst first: model, rank, caption, the title and facts of its
    clip."""
    import pandas as pd

    parts = [panel.points.iloc[worst_rows(panel, worst)].assign(model=panel.name) for panel in panels]
    wanted = ("model", "rank", "caption", "title", "style", "instruments", "tempo_class")
    table = pd.concat(parts, ignore_index=True)
    return table[[name for name in wanted if name in table]]
