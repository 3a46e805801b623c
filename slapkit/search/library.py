"""A library: a folder of music, embedded window by window by one model, that is searched by words, sounds or tracks."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from slapkit._io import locate
from slapkit.audio.frontend import FrontendConfig
from slapkit.audio.windows import tiled_starts
from slapkit.errors import LibraryError
from slapkit.models import OBJECTIVE_NAMES
from slapkit.search import identity
from slapkit.search.filters import Filters
from slapkit.search.index import Kind, open_index
from slapkit.search.index.exact import check_k
from slapkit.search.listen import Picture, Sounds
from slapkit.search.query_encoder import Asking, Track
from slapkit.search.ranking import Hits, Pooling, Ranking
from slapkit.search.results import as_frame
from slapkit.search.store import Entry, Store

if TYPE_CHECKING:
    import pandas as pd

    from slapkit.models.inference import Model


class Library:
    """Tracks on disk and what finds them. Made by `build` and `open`.

    Attributes:
        name: name of the folder of music.
        out: folder that keeps the library.
        folder: folder of music.
        model_name: what trained the model, such as "SLAP".
        fingerprint: names the model's weights.
        embedding: "q" or "z"; vectors of width `dim`, which only mean something together in one `space`.
        window_s: length of a window in s.
        counts: what the last update by this object did, as `update` returns it.
    """

    def __init__(
        self, store: Store, model: Model | None, *, index: Kind = "exact", location: str | Path | None = None
    ) -> None:
        self._store, self._model, self._kind, self._location = store, model, index, location
        header = store.header
        self.out, self.folder, self.name = store.out, Path(header.folder), Path(header.folder).name
        self.model_name, self.fingerprint = OBJECTIVE_NAMES.get(header.objective, header.objective), header.model
        self.embedding, self.dim, self.space = header.embedding, header.dim, f"{header.model} {header.embedding}"
        self.frontend = FrontendConfig.from_dict(header.frontend)
        self.window_s = (header.window - 1) * self.frontend.hop_s
        self.counts: dict[str, int] = {}
        self._asking = Asking(self)
        self._refresh()

    @classmethod
    def build(
        cls,
        folder: str | Path,
        model: Model | str | Path,
        *,
        out: str | Path | None = None,
        embedding: Literal["q", "z"] = "q",
        hop_s: float | None = None,
        index: Kind = "exact",
        location: str | Path | None = None,
        cache_dir: str | Path | None = None,
        workers: int = 0,
        progress: bool = True,
    ) -> Library:
        """Embed a folder of music, or bring its library up to date; what was done before is not done again.

        Args:
            folder: sound files in any depth, or a data set with its table.
            model: a model that was loaded, or the folder of its run.
            out: folder that keeps the library; default `data/libraries/<name>-<hash>` in the project.
            embedding: prediction "q" or projection "z".
            hop_s: from one window to the next, in s; default the window's length, as in evaluation.
            index, location: how it is searched, see `slapkit.search.index.open_index`.
            cache_dir: folder with features that training kept: known sounds are not decoded again.
            workers: helper processes that decode; 0 chooses.

        Raises:
            LibraryError: the folder is missing, or `out` holds the library of another model or folder.
            StorageError: the disk is full; the same call goes on later.
        """
        folder = locate(folder).resolve()
        if not folder.is_dir():
            raise LibraryError(f"no folder of music at {folder}: name one that holds sound files")
        loaded, path = identity.load(model)
        header = identity.header(loaded, path, folder, embedding, hop_s)
        out = Path(out) if out is not None else identity.default_folder(header)
        if (out / "library.json").exists():
            store = Store.open(out)
            identity.check_same(store.header, header, out)
            if path is not None and path != store.header.model_path:
                store.set_model_path(path)
        else:
            store = Store.create(out, header)
        library = cls(store, loaded, index=index, location=location)
        library.update(progress=progress, cache_dir=cache_dir, workers=workers)
        return library

    @classmethod
    def open(
        cls,
        out: str | Path,
        model: Model | str | Path | None = None,
        *,
        index: Kind = "exact",
        location: str | Path | None = None,
    ) -> Library:
        """Open a library as it was left. Without `model`, the one it was built with is loaded when words are sought.

        Raises:
            LibraryError: there is no library, or it was built with another model.
        """
        store = Store.open(locate(out))
        loaded = None
        if model is not None:
            loaded, _ = identity.load(model)
            identity.check_model(store.header, loaded)
        return cls(store, loaded, index=index, location=location)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<Library {self.name}: {len(self)} tracks, {self.model_name} {self.embedding}, in {self.out}>"

    @property
    def model(self) -> Model:
        """The model that the library was built with.

        Raises:
            LibraryError: it is not known where it lies, or what lies there is another one by now.
        """
        if self._model is None:
            path = self._store.header.model_path
            if path is None:
                raise LibraryError(
                    f"the library {self.out} does not say where its model {self.fingerprint} lies: open it with "
                    "Library.open(..., model=...)"
                )
            loaded, _ = identity.load(path)
            identity.check_model(self._store.header, loaded)
            self._model = loaded
        return self._model

    def update(self, progress: bool = True, *, cache_dir: str | Path | None = None, workers: int = 0) -> dict[str, int]:
        """Bring the library up to date with its folder.

        Returns:
            numbers of tracks "added", "changed", "removed" and "unchanged", and of files that "failed".
        """
        from slapkit.search.sync import synchronise

        cache = Path(cache_dir) if cache_dir is not None else None
        counts = synchronise(self._store, self.model, cache_dir=cache, workers=workers, progress=progress)
        self._refresh()
        self.counts = counts
        return counts

    def _refresh(self) -> None:
        """Set up what searches from what is on the disk."""
        entries = dict(sorted(self._store.entries.items()))
        self._entries: list[Entry] = list(entries.values())
        self._number = {id: number for number, id in enumerate(entries)}
        vectors = self._store.vectors()
        index = None
        if self._kind != "exact" and len(vectors):
            location = self._location if self._location is not None else self.out / "index"
            # Libraries of one name may share a location, where each replaces its own graphs only.
            own = hashlib.sha256(str(self.out.resolve()).encode()).hexdigest()[:8]
            index = open_index(vectors, self._kind, location=location, name=f"{self.name}-{own}")
        self._ranking = Ranking(self._entries, vectors, index)
        self._filters = Filters([entry.facts for entry in self._entries])
        self._sounds = Sounds(self.folder, entries, self.frontend, self.window_s)
        self._tracks: pd.DataFrame | None = None

    @property
    def tracks(self) -> pd.DataFrame:
        """One row a track, in the order of ids: id, title, duration_s, captions, file, and facts or tags."""
        return self._table().copy()

    def _table(self) -> pd.DataFrame:
        import pandas as pd

        if self._tracks is None:
            columns = ["id", "title", "duration_s", "captions", "file"]
            rows = [{name: getattr(entry, name) for name in columns} | entry.facts for entry in self._entries]
            facts = [name for name in self._filters.columns if name not in columns]
            self._tracks = pd.DataFrame(rows, columns=columns + facts)
        return self._tracks

    @property
    def failures(self) -> pd.DataFrame:
        """Files that the last update could not use: file and reason."""
        import pandas as pd

        return pd.DataFrame([asdict(failure) for failure in self._store.failures], columns=["file", "reason"])

    def search(
        self,
        query: Any,
        *,
        k: int = 10,
        where: Mapping[str, Any] | None = None,
        pooling: Pooling = "best",
        plus: Sequence[Any] = (),
        minus: Sequence[Any] = (),
        literal: bool = False,
    ) -> pd.DataFrame:
        """Find tracks.

        Args:
            query: words, in which " + strings" adds and " - drums" takes away; a list of queries, which are averaged;
                the `Path` of a sound file; a track, by `like(id)`, which then is not among the results; or a vector.
            k: how many results at most.
            where: values that the facts must have, such as `{"style": "jig", "instruments": ["flute", "violin"]}`: one
                of those listed, in every column named.
            pooling: a track counts by its "best" window or by the "mean" of all.
            plus, minus: more to add or take away, each as `query` may be.
            literal: take " + " and " - " in words as they stand.

        Returns:
            rank, id, title, score_percentile (share of the library that scores at least as high: 0.003 is the top
            0.3 %), window_start_s and window_s (the best window), duration_s, captions, file, and the facts. `attrs`
            holds the cosines ("scores") and the time taken without embedding the query ("search_s", in s).

        Raises:
            LibraryError: an empty query, an empty library, an unknown track, column or pooling.
            AudioError: the sound file cannot be used.
        """
        k = check_k(k)
        terms = self._asking.terms(query, plus, minus, literal)
        if not len(self):
            raise LibraryError(f"the library {self.name!r} is empty: add sound files to {self.folder} and update it")
        vector, began = self._asking.vector(terms), time.perf_counter()
        hidden = {self._number.get(term.value.id) for term in terms if isinstance(term.value, Track)} - {None}
        allowed = self._filters.mask(where)
        hits = self._ranking.search(vector, k + len(hidden), pooling=pooling, allowed=allowed)
        shown = np.flatnonzero(~np.isin(hits.tracks, list(hidden)))[:k]
        hits = Hits(*(values[shown] for values in hits))
        frame = as_frame(hits, self._table(), self._entries, self._starts, self.window_s)
        frame.attrs |= {"scores": [float(score) for score in hits.scores], "search_s": time.perf_counter() - began}
        return frame

    def embed_text(self, text: str) -> np.ndarray:
        """Return the embedding of a text as it stands, float32 `[D]`; the last ones are kept."""
        return self._asking.embed_text(text)

    def like(self, id: str, start_s: float | None = None) -> Track:
        """Return a track to search by: the mean of its windows, or the one that begins nearest to `start_s`.

        Raises:
            LibraryError: there is no such track.
        """
        starts = self._starts(self._sounds.entry(id))
        number = self._number[id]
        if start_s is None:
            return Track(id, self._ranking.mean(number), self.space)
        return Track(id, self._ranking.windows(number)[np.argmin(np.abs(starts - start_s))], self.space, start_s)

    def _starts(self, entry: Entry) -> np.ndarray:
        """Return where the windows of a track begin, `[windows]` in s, as far as they can within it."""
        header = self._store.header
        starts = tiled_starts(entry.frames, header.window, header.hop) * self.frontend.hop_s
        return np.minimum(starts, max(0.0, entry.duration_s - self.window_s))

    def facets(self, max_values: int = 30) -> dict[str, list[tuple[Any, int]]]:
        """Return what can be filtered by: columns of 2 to `max_values` values, each with its number of tracks."""
        return self._filters.facets(max_values)

    def path(self, id: str) -> Path:
        """Return the file of a track. This and the three below: see `slapkit.search.listen.Sounds`."""
        return self._sounds.path(id)

    def span(self, id: str, start_s: float | None = None, seconds: float | None = None) -> tuple[float, float]:
        """Return which part of a track `sound` and `log_mel` give: start and duration in s."""
        return self._sounds.span(id, start_s, seconds)

    def sound(self, id: str, start_s: float | None = None, seconds: float | None = None) -> tuple[bytes, str]:
        """Return bytes that a browser plays, and their type."""
        return self._sounds.sound(id, start_s, seconds)

    def log_mel(self, id: str, start_s: float | None = None) -> Picture:
        """Return a small picture of what `sound` gives, uint8 `[n_mels, <= 160]`, with its start and duration in s."""
        return self._sounds.log_mel(id, start_s)

    def warn(self, query: Any) -> str | None:
        """Say what about a query the model does not take in; None where it takes all."""
        return self._asking.warn(query)
