"""What a click on the map plays: a clip; for a caption its own clip, then what the model finds for it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from slapkit.metrics.embedded import Embedded, Kind
from slapkit.viz.maps.points import fact_words, rank_words, title_of
from slapkit.viz.maps.sound import sound_of
from slapkit.viz.widgets.player import PlayerItem

HITS = 3  # clips played after the true one of a caption


def items_of(model: Embedded, kind: Kind, role: str, index: int) -> list[PlayerItem]:
    """Return the sounds of one point of `model`.

    Args:
        model: whose hits are played.
        kind: the space that they are nearest in.
        role: "audio" for clip number `index`, "text" for caption number `index`.
    """
    if role == "audio":
        row = model.frame.iloc[index].to_dict()
        return [_item(model, index, title_of(row), [*row["captions"]][:3])]
    clip, rank = int(model.track_of_text[index]), float(model.text_ranks[kind][index])
    said = [f"“{model.captions[index]}”", f"{model.name}: {rank_words(rank, model.candidates)}"]
    items = [_item(model, clip, f"True clip: {title_of(model.frame.iloc[clip].to_dict())}", said)]
    for place, hit in enumerate(model.hits(index, HITS, kind=kind).tolist(), start=1):
        row = model.frame.iloc[hit].to_dict()
        title = f"{model.name}, hit {place}{' (the true clip)' if hit == clip else ''}: {title_of(row)}"
        items.append(_item(model, hit, title, [*row["captions"]][:1]))
    return items


def _item(model: Embedded, clip: int, title: str, lines: Sequence[str]) -> PlayerItem:
    row = model.frame.iloc[clip].to_dict()
    known = " · ".join(filter(None, fact_words(row)))
    return PlayerItem(title, [*filter(None, [known]), *lines], partial(sound_of, row["path"]))
