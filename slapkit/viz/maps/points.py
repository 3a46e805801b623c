"""A run's split as its model embeds it, kept beside the model, and as one table of points: what figures draw."""

import contextlib
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from slapkit._io import read_arrays, sha256_file, write_arrays
from slapkit.data import AudioTextDataset
from slapkit.data.frames import fact_name
from slapkit.errors import CheckpointError, StorageError
from slapkit.hub.load import find, load_model
from slapkit.metrics.embedded import Embedded, Kind, embed_split, make
from slapkit.metrics.intervals import estimate
from slapkit.viz.figures.maps import MODALITY, Panel, worst_rows
from slapkit.viz.text import card, facts, items, rank_words, title_of

_OWN = {"kind", "clip", "caption", "rank", "x", "y", "z", "card", "model"}  # columns of points beside the facts
# Columns that are not worth colouring by.
_NOT_COLORS = _OWN | {
    "id", "path", "captions", "caption_registers", "caption_frames", "caption_facts", "group", "sha256", "bytes",
    "peak_db", "rms_db", "title",
}  # fmt: skip
_FORMAT = 3
_ARRAYS = tuple(f"{kind}_{what}" for kind in "qz" for what in ("audio", "text", "first", "last"))


def weights_of(run: str | Path) -> Path:
    """Return the file of weights that is loaded of a run or checkpoint; raise `CheckpointError` where there is none."""
    weights = find(run).place / "model.safetensors"
    if not weights.is_file():
        raise CheckpointError(f"{run} holds no trained model ({weights.name}): name a run whose training has ended")
    return weights


def embed_run(
    run: str | Path, dataset: AudioTextDataset, *, split: str = "test", cache_dir: str | Path, progress: bool = True
) -> Embedded:
    """Embed one split of `dataset` with the model in a run's or checkpoint's folder; the second time it is read. Raise
    `CheckpointError` or `DataError` where there is no usable model, or no usable clip in the split."""
    weights, part = weights_of(run), dataset.split(split)
    key = hashlib.sha256(json.dumps([_FORMAT, sha256_file(weights), part.fingerprint, split]).encode()).hexdigest()
    path = weights.parent / "maps" / f"embedded-{key[:16]}.safetensors"
    if found := read_arrays(path):
        arrays, about = found
        known = set(about["ids"])
        clips = part.with_clips(clip for clip in part if clip.id in known)
        return make(clips, arrays, objective=about["objective"], split=split)
    model = load_model(run, device="cpu")
    embedded = embed_split(model, dataset, split=split, cache_dir=cache_dir, progress=progress)
    with contextlib.suppress(StorageError):  # a run in a place that cannot be written to can still be shown
        about = {"ids": [clip.id for clip in embedded.clips], "objective": embedded.objective}
        write_arrays(path, {name: embedded.arrays[name] for name in _ARRAYS}, about)
    return embedded


def panel(embedded: Embedded, coordinates: np.ndarray, kind: Kind = "q") -> Panel:
    """Return the map, `[N + M, 2 or 3]` of N clips and M captions, with the gap measured in the model's own space."""
    gap = estimate(embedded.space(kind).along_gap)
    table = points_table(embedded, coordinates, kind)
    return Panel(embedded.name, embedded.objective, table, gap.value, gap.half_width, embedded.candidates)


def points_table(embedded: Embedded, coordinates: np.ndarray, kind: Kind = "q") -> pd.DataFrame:
    """Return one row per point: kind, clip (row number), id, title, caption, rank, x, y(, z), facts, card.

    `rank` is that of a caption's clip among all clips of the split, missing for clips, which have their first caption.
    A fact that is named like one of these columns is kept as "rank (table)".
    """
    n, clip_of_caption = len(embedded.frame), embedded.clip_of_caption
    clips = np.concatenate([np.arange(n), clip_of_caption])
    rows = embedded.frame.to_dict("records")
    firsts = [next(iter(row["captions"]), "") for row in rows]
    ranks = embedded.text_ranks[kind]
    facts_of = embedded.frame.drop(columns="captions").rename(columns=lambda name: fact_name(name, _OWN))
    table = facts_of.assign(title=[title_of(row) for row in rows])
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
    """Return the columns worth colouring by: the usual ones first, none with one value or about one per clip."""
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
    parts = [panel.points.iloc[worst_rows(panel, worst)].assign(model=panel.name) for panel in panels]
    wanted = ["model", "rank", "caption", "title", "style", "instruments", "tempo_class"]
    return pd.concat(parts, ignore_index=True).filter(wanted)
