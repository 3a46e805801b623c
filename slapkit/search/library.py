"""A library: a folder of music, embedded window by window by one model, and searched by words, audio or tracks."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from slapkit._io import locate, read_json_lines
from slapkit.config import nearest
from slapkit.data.scan import music_folder
from slapkit.errors import ConfigError, LibraryError, short
from slapkit.hub import heard
from slapkit.models import OBJECTIVE_NAMES
from slapkit.search import opening
from slapkit.search.filters import Filters
from slapkit.search.listen import AudioFiles
from slapkit.search.query import Track, all_terms, check_k
from slapkit.search.ranking import Hits, Pooling, Ranking
from slapkit.search.results import beside
from slapkit.search.store import Header, LibraryStore

if TYPE_CHECKING:  # what a search by words does without is imported where it is used
    import pandas as pd

    from slapkit.models.inference import Model
    from slapkit.search.engine import EngineRanking

Kind = Literal["exact", "approximate"]
_SMALL = 1000  # windows: up to here exact search is as fast
_HEARD = "heard.jsonl"  # what of a library was heard by a tagger


class Library(AudioFiles, opening.WithModel):
    """Tracks on disk and what finds them. Made by `build` and `open`.

    Attributes:
        name: name of the folder of music.
        out: folder that keeps the library.
        folder: folder of music.
        model_name: objective that trained the model, such as "SLAP".
        window_s: length of a window in s.
        counts: what the last update by this object did, as `update` returns it.
    """

    def __init__(self, store: LibraryStore, model: Model | None, index: Kind, progress: bool = True) -> None:
        if index not in get_args(Kind):
            raise LibraryError(f"there is no index of kind {short(index)}: {nearest(str(index), get_args(Kind))}")
        super().__init__(store, model, progress)
        header, self._kind = store.header, index
        self.folder, self.name = Path(header.folder), Path(header.folder).name
        self.model_name = OBJECTIVE_NAMES.get(header.objective, header.objective)
        self.frontend = header.frontend
        self._hop_s = header.frontend["hop"] / header.frontend["sample_rate"]
        self.window_s = (header.window - 1) * self._hop_s
        self.counts: dict[str, int] = {}
        self._refresh()

    @classmethod
    def build(
        cls, folder: str | Path, model: Model | str | Path, *, out: str | Path | None = None,
        embedding: Literal["q", "z"] = "q", index: Kind = "exact", engine: str | Path | None = None,
        cache_dir: str | Path | None = None, moved: bool = False, forget_missing: bool = False,
        tokenizer: str | Path | None = None, progress: bool = True,
    ) -> Library:  # fmt: skip
        """Embed a folder of music, or bring its library up to date; what was done before is not done again.

        Args:
            folder: audio files in any depth, or a data set with its table.
            model: a model that was loaded, or what `slapkit.load` takes.
            out: folder that keeps the library; default `data/libraries/<name>-<hash>` in the project.
            embedding: prediction "q" or projection "z".
            index: "exact", or "approximate" for many millions of windows: the best window is sought in the cells
                nearest to the query alone, see `slapkit.search.cells.Cells`.
            engine: address of a Milvus server or cluster that holds the vectors, such as "http://host:19530", or the
                name of a file beside the library; None keeps them in the library's folder. `open` knows it again.
            cache_dir: folder with features that training kept: known files are not decoded again.
            moved: the library in `out` follows its collection to `folder`; equal files keep their vectors.
            forget_missing: let tracks go that are all gone at once; see `update`.
            tokenizer: that of `slapkit.load`, for a `model` that is a LAION-CLAP file; `open` knows it again.

        Raises:
            LibraryError: the folder is missing, all that it held is, or `out` holds the library of another model or
                folder.
            StorageError: the disk is full; the same call goes on later.
        """
        folder = music_folder(folder)
        if embedding not in ("q", "z"):
            raise ConfigError(f"embedding={short(embedding)}: take 'q' (prediction) or 'z' (projection)")
        if tokenizer is not None and (place := locate(tokenizer)).exists():
            tokenizer = str(place.resolve())
        loaded, path = opening.loaded(model, tokenizer, progress)
        audio = loaded.config.audio
        header = Header(
            folder=str(folder), model=loaded.fingerprint(), model_path=path, objective=loaded.joint.objective,
            embedding=embedding, dim=loaded.dim, frontend=audio.frontend.to_dict(), window=audio.window_frames,
            hop=audio.window_frames, engine=None if engine is None else str(engine),
            collection=f"slapkit_{uuid.uuid4().hex}", tokenizer=tokenizer,
        )  # fmt: skip
        if moved and out is None:
            raise ConfigError("moved=True: name the library that follows its collection by `out`")
        out = Path(out) if out is not None else opening.default_folder(header)
        before = Header.read(out).folder if moved else header.folder
        store = opening.store_at(out, replace(header, folder=before))
        store.header = replace(store.header, folder=header.folder)
        heard.follow(before, folder)
        library = cls(store, loaded, index)
        library.update(progress, cache_dir=cache_dir, forget_missing=forget_missing)
        if moved:  # and nothing was missing
            store.keep_header()
        return library

    @classmethod
    def open(
        cls, out: str | Path, model: Model | str | Path | None = None, *, index: Kind = "exact",
        tokenizer: str | Path | None = None, progress: bool = True,
    ) -> Library:  # fmt: skip
        """Open a library as it was left. Without `model`, the one it was built with is loaded for the first query that
        needs it, which `progress` shows; `tokenizer` is that of `slapkit.load`, for a `model` that is a LAION-CLAP
        file. Raise `LibraryError` where there is no library, or it was built with another model."""
        store = opening.store_at(locate(out))
        loaded = None if model is None else store.header.require_model(opening.loaded(model, tokenizer, progress)[0])
        return cls(store, loaded, index, progress)

    def __len__(self) -> int:
        return len(self.entries)

    def __repr__(self) -> str:
        embedding = self._store.header.embedding
        return f"<Library {self.name}: {len(self)} tracks, {self.model_name} {embedding}, in {self.out}>"

    def update(
        self, progress: bool = True, *, cache_dir: str | Path | None = None, forget_missing: bool = False
    ) -> dict[str, int]:
        """Bring the library up to date with its folder, and with what `slapkit tag` heard in it.

        Tracks whose files are gone are let go of; where all of them are, or all of a folder that is still there, only
        with `forget_missing`.

        Returns:
            numbers of tracks "added", "changed", "removed" and "unchanged", and of files that "failed".

        Raises:
            LibraryError, DataError: the folder or its table is missing, or all files at once.
            StorageError: the disk is full; what was finished is kept.
        """
        from slapkit.search.following import synchronise

        self.counts = synchronise(self._store, self.model, cache_dir, progress, forget_missing)
        heard.keep_heard(self.folder, self.out / _HEARD)
        self._refresh()
        if self._store.header.engine is not None:
            self._store.follow(self._list)
        return self.counts

    def _refresh(self) -> None:
        """Set up what searches from what is on the disk."""
        import pandas as pd

        words = heard.read_heard(self.out / _HEARD)
        self.entries = self._store.entries
        for id, entry in self.entries.items() if words else ():  # facts that people gave win
            own = words.get(entry.sha) or words.get(entry.sound) or {}
            self.entries[id] = replace(entry, facts=entry.facts | own | entry.facts)
        self._list = list(self.entries.values())
        self._row = {id: row for row, id in enumerate(self.entries)}
        self._filters = Filters([entry.facts for entry in self._list])
        self.unmet = self._filters.unmet
        self._ranking = self._ranked()
        columns = ["id", "title", "duration_s", "captions", "file"]
        cells = {name: [getattr(entry, name) for entry in self._list] for name in columns}
        cells["beside"] = beside(self._list)
        for name in self._filters.columns:
            cells.setdefault(name, [entry.facts.get(name, np.nan) for entry in self._list])
        self._tracks = pd.DataFrame(cells)

    def _ranked(self) -> Ranking | EngineRanking:
        if self._store.header.engine is not None:
            from slapkit.search.engine import EngineRanking

            return EngineRanking(self._store, self._list, self._filters)
        halves, cells = self._store.halves(), None
        if self._kind == "approximate" and len(halves) > _SMALL:
            import torch

            from slapkit.search.cells import Cells

            cells = Cells(torch.from_numpy(halves), self.out / "cells.safetensors", self._progress)
        return Ranking(self._list, self._store.vectors(), halves, self._filters, cells)

    @property
    def tracks(self) -> pd.DataFrame:
        """One row a track, in the order of ids: id, title, duration_s, captions, file, beside, and facts or tags."""
        return self._tracks.copy()

    @property
    def failures(self) -> pd.DataFrame:
        """Files that the last update could not use: file and reason."""
        import pandas as pd

        return pd.DataFrame(read_json_lines(self.out / "failures.jsonl")[0], columns=["file", "reason"])

    def search(
        self, query: Any, *, k: int = 10, where: Mapping[str, Any] | None = None, pooling: Pooling = "best",
        plus: Sequence[Any] = (), minus: Sequence[Any] = (), literal: bool = False,
    ) -> pd.DataFrame:  # fmt: skip
        """Find tracks.

        Args:
            query: words, in which " + strings" adds and " - drums" subtracts; a list of queries, which are averaged;
                the `Path` of an audio file; a track, by `like(id)`, which then is not among the results; or a vector.
            k: how many results at most.
            where: values that the facts must have, such as `{"style": "jig", "instruments": ["flute", "violin"]}`: one
                of those listed, in every column named; "1990..1999" is a range of numbers.
            pooling: a track counts by its "best" window or by the "mean" of all.
            plus, minus: more to add or subtract, each as `query` may be.
            literal: take " + " and " - " as words.

        Returns:
            rank, id, title, score_percentile (share of the library that scores at least as high: 0.003 is the top
            0.3 %), window_start_s and window_s (the best window), duration_s, captions, file, beside (artist or file of
            a track whose title others have too, else ""), and the facts. `attrs` holds the cosines ("scores") and the
            time taken without embedding the query ("search_s", in s).

        Raises:
            LibraryError: an empty query, an empty library, an unknown track, column or pooling.
            AudioError: the audio file cannot be used.
        """
        k, terms = check_k(k), all_terms(query, plus, minus, literal)
        if not len(self):
            raise LibraryError(f"the library {self.name!r} is empty: add audio files to {self.folder} and update it")
        vector, began = self._queries.vector(terms), time.perf_counter()
        asked = {value.id for value, _ in terms if isinstance(value, Track)}
        hidden = [self._row[id] for id in asked if id in self._row]
        hits = self._ranking.search(vector, k + len(hidden), pooling=pooling, where=where)
        shown = np.flatnonzero(~np.isin(hits.tracks, hidden))[:k]
        frame = self._frame(Hits(*(values[shown] for values in hits)))
        frame.attrs["search_s"] = time.perf_counter() - began
        return frame

    def row(self, id: str) -> pd.DataFrame:
        """Return a track as the one row that `search` gives for what is most like it, itself, from its beginning."""
        place, one = [self._row[self.entry(id).id]], np.ones(1)
        return self._frame(Hits(np.array(place), one, one / len(self), np.zeros(1, dtype=np.int64)))

    def _frame(self, hits: Hits) -> pd.DataFrame:
        frame = self._tracks.iloc[hits.tracks].reset_index(drop=True)
        begins = [self._start_s(*place) for place in zip(hits.tracks, hits.windows)]
        frame.insert(0, "rank", np.arange(1, len(frame) + 1))
        frame.insert(3, "score_percentile", hits.percentiles)
        frame.insert(4, "window_start_s", np.array(begins, dtype=np.float64))
        frame.insert(5, "window_s", frame["duration_s"].clip(upper=self.window_s))
        frame.attrs["scores"] = hits.scores.tolist()
        return frame

    def _start_s(self, track: int, window: int) -> float:
        """Return where a window of a track begins: as tiled, but not so late that it would go on after it."""
        header, entry = self._store.header, self._list[track]
        frame = min(window * header.hop, max(0, entry.frames - header.window))
        return min(frame * self._hop_s, max(0.0, entry.duration_s - self.window_s))

    def like(self, id: str) -> Track:
        """Return a track to search by, the mean of its windows; a `LibraryError` if there is no such track."""
        return Track(self.entry(id).id, self._ranking.mean(self._row[id]), self._queries.space)

    def facets(self, max_values: int = 30) -> dict[str, list[tuple[Any, int]]]:
        """Return what can be filtered by: columns of 2 to `max_values` values, each with its number of tracks."""
        return self._filters.facets(max_values)
