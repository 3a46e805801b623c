"""Clips as tables of other libraries: pandas, and `datasets`, which is imported when it is asked for."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from slapkit.errors import DataError, need_extra

if TYPE_CHECKING:
    import datasets
    import pandas as pd

    from slapkit.data.dataset import Clip

_FIRST = ["id", "path", "split", "group", "captions"]  # columns


def plain(value: Any, depth: int = 0) -> Any:
    """Return a value as strict JSON that any reader takes.

    NaN and infinity become None, NumPy's numbers and arrays plain ones, sets sorted lists, and other objects text;
    broken surrogates are replaced, and what is nested more than 50 deep is left out.
    """
    if depth > 50:
        return None
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, Mapping):
        return {plain(str(key)): plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((plain(item, depth + 1) for item in value), key=repr)
    return plain(str(value))


def group_of(facts: Mapping[str, Any], id: str) -> str:
    """Return what a clip must not be divided from: its fact `group`, else its `work`, else the clip itself."""
    named = (str(facts[key]) for key in ("group", "work") if facts.get(key) is not None)
    return next((name for name in named if name.strip().lower() not in ("", "nan")), id)


def fact_name(name: str, taken: Container[str]) -> str:
    """Return the name that a fact has beside columns called `taken`: "id" is "id (table)" there."""
    return f"{name} (table)" if name in taken else name


def cells(clip: Clip, *taken: str) -> dict[str, Any]:
    """Return the cells of a row, beside the sound and other columns called `taken`, from which this clip is read."""
    row = {"captions": list(clip.captions), "split": clip.split}
    facts = {fact_name(key, (*row, "file_name", *taken)): value for key, value in plain(clip.facts).items()}
    group = {} if group_of(clip.facts, clip.id) == clip.group else {"group": clip.group}
    return row | facts | group


def to_pandas(clips: Sequence[Clip]) -> pd.DataFrame:
    """Return a table with one row per clip: id, path, split, group, captions and its facts."""
    import pandas as pd

    rows = [
        {"id": clip.id, "path": str(clip.path), "split": clip.split, "group": clip.group}
        | {"captions": list(clip.captions)}
        | {fact_name(name, _FIRST): value for name, value in clip.facts.items() if name != "group"}
        for clip in clips
    ]
    return pd.DataFrame(rows, columns=None if rows else _FIRST)


def package() -> Any:
    """Return the library `datasets`; raise `MissingExtraError` where it is not installed."""
    need_extra("hf", "datasets")
    import datasets

    return datasets


def to_datasets(clips_of: Mapping[str, Sequence[Clip]]) -> datasets.DatasetDict:
    """Return the clips of each split as `datasets` has them; see `AudioTextDataset.to_datasets`."""
    library, splits = package(), {}
    for split, clips in clips_of.items():
        rows = [{"audio": {"bytes": None, "path": str(clip.path)}, **cells(clip, "audio")} for clip in clips]
        names = dict.fromkeys(name for row in rows for name in row if name != "split")
        try:
            made = library.Dataset.from_dict({name: [row.get(name) for row in rows] for name in names})
        except (ValueError, TypeError, OverflowError) as error:  # pyarrow's are among them
            raise DataError(f"a fact of the clips in {split!r} fits no column: {str(error)[:200]}") from error
        # Without decoding first, so that torchcodec is not asked to note a path.
        made = made.cast_column("audio", library.Audio(decode=False))
        splits[split] = made.cast_column("audio", library.Audio())
    return library.DatasetDict(splits)
