"""What is made of a library's tracks: playlists, a journey from one to another, and duplicates."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from slapkit._io import atomic_write_text, printable, project_root
from slapkit.errors import LibraryError, short

if TYPE_CHECKING:
    import pandas as pd

    from slapkit.search.library import Library

_ROWS = 4096  # tracks compared with all others at a time


def write_tracks(found: pd.DataFrame, folder: str | Path, out: str | Path) -> Path:
    """Write tracks, as `Library.search` returns them, as a playlist (`.m3u8`) or a table (`.csv`), in their order.

    Args:
        folder: the library's, from which `file` is named.
        out: the playlist names files relative to its own folder, where both are on one disk.

    Raises:
        LibraryError: another suffix.
    """
    out, folder = Path(out), Path(folder).resolve()
    if out.suffix.lower() == ".csv":
        return atomic_write_text(out, found.to_csv(index=False))
    if out.suffix.lower() not in (".m3u8", ".m3u"):
        raise LibraryError(f"{short(out.name)}: name a playlist (.m3u8) or a table (.csv)")
    import pandas as pd

    lines, base = ["#EXTM3U"], out.resolve().parent
    lengths = pd.to_numeric(found["duration_s"], errors="coerce") if "duration_s" in found else [math.nan] * len(found)
    for row, length in zip(found.itertuples(), lengths):
        path = folder / row.file
        name = path.as_posix()
        with contextlib.suppress(ValueError):  # another drive
            name = Path(os.path.relpath(path, base)).as_posix()
        if not name.isprintable():
            name = path.as_uri()  # a line of the playlist holds no line break
        lasts = -1 if math.isnan(length) else round(length)  # -1: unknown
        lines += [f"#EXTINF:{lasts},{printable(row.title)}", f"./{name}" if name[0] == "#" else name]
    return atomic_write_text(out, "\n".join(lines) + "\n")


def save_tracks(found: pd.DataFrame, folder: str | Path, name: str) -> Path:
    """Write tracks as `data/playlists/<name>.m3u8` in the project and as a table beside it, under a name that is free;
    raise `LibraryError` where there are none.

    Returns the playlist's path; arguments as of `write_tracks`.
    """
    if found.empty:
        raise LibraryError("no tracks to save: find or choose some first")
    name = "-".join(re.findall(r"\w+", name))[:40] or "tracks"
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    paths = (project_root() / "data" / "playlists" / f"{name}.m3u8" for name in names)
    out = next(path for path in paths if not path.exists() and not path.with_suffix(".csv").exists())
    write_tracks(found, folder, out.with_suffix(".csv"))
    return write_tracks(found, folder, out)


def journey(library: Library, start: str, end: str, *, k: int = 10) -> pd.DataFrame:
    """Return a walk of `k` tracks from one to another: at each step the nearest track that was not met before.

    Steps divide the way between both tracks' means evenly. The columns are those of `Library.search`; both ends begin
    at 0 s, with a percentile of 1 / N among N tracks. A `LibraryError` refuses unknown or equal tracks and `k` < 2.
    """
    import pandas as pd

    if start == end or k < 2:
        raise LibraryError(f"a journey from {short(start)} to {short(end)} in {k} tracks: name two, and k of 2 or more")
    ends = [library.like(id).vector for id in (start, end)]
    rows, met = [], {start, end}
    for share in np.linspace(0, 1, min(k, len(library)))[1:-1]:
        found = library.search((1 - share) * ends[0] + share * ends[1], k=len(met) + 1)
        row = found[~found["id"].isin(met)].head(1)
        met |= set(row["id"])
        rows.append(row)
    walk = pd.concat([library.row(start), *rows, library.row(end)], ignore_index=True)
    return walk.assign(rank=np.arange(1, len(walk) + 1))


def duplicates(library: Library, *, least: float = 0.999, progress: bool = True) -> pd.DataFrame:
    """Return pairs of tracks that are the same, the most alike first.

    Columns: `first`, `second`, `cosine` of their means, `same`: "file"; "sound", where tags alone differ; or "", where
    only a cosine of at least `least`, above 0, says so.
    """
    import pandas as pd
    from tqdm.auto import tqdm

    if not 0 < least <= 1:
        raise LibraryError(f"least={least!r} must be a cosine above 0, up to 1")
    entries = list(library.entries.values())
    means = np.stack([library.like(entry.id).vector for entry in entries]) if entries else np.zeros((0, 1), np.float32)
    pairs: dict[tuple[int, int], str] = {}
    for kind, key in (("sound", "sound"), ("file", "sha")):
        groups: dict[str, list[int]] = {}
        for row, entry in enumerate(entries):
            groups.setdefault(getattr(entry, key), []).append(row)
        groups.pop("", None)
        pairs |= {(a, b): kind for rows in groups.values() for i, a in enumerate(rows) for b in rows[i + 1 :]}
    starts = range(0, len(means), _ROWS)
    for start in tqdm(starts, "Comparing tracks", unit="block", disable=not progress or len(starts) < 2, leave=False):
        for a, b in np.argwhere(means[start : start + _ROWS] @ means.T >= least):
            if start + a < b:
                pairs.setdefault((int(start + a), int(b)), "")
    rows = [(entries[a].id, entries[b].id, float(means[a] @ means[b]), same) for (a, b), same in pairs.items()]
    table = pd.DataFrame(rows, columns=["first", "second", "cosine", "same"])
    return table.sort_values(["cosine", "first", "second"], ascending=[False, True, True], ignore_index=True)
