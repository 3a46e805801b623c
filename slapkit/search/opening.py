"""What a library is opened with: the folder and store that it is in, the model that it was built with, its towers."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from slapkit._io import locate, project_root
from slapkit.errors import LibraryError
from slapkit.search import graph
from slapkit.search.query import ModelTower, QueryEncoder, TextTower
from slapkit.search.store import Header, LibraryStore

if TYPE_CHECKING:  # what a search by words does without is imported where it is used
    import numpy as np

    from slapkit.models.inference import Model
    from slapkit.search.library import Library

_TEXT = "text"  # folder of the text tower


class WithModel:
    """The part of a library that embeds queries: its model, loaded when it is needed, or the text tower that it keeps.

    Attributes:
        out: folder that keeps the library.
        embed_text, warn: those of `QueryEncoder`.
    """

    def __init__(self, store: LibraryStore, model: Model | None, progress: bool) -> None:
        self._store, self._model, self._progress, self.out = store, model, progress, store.folder
        self._tower: TextTower | None = None
        self._loading = threading.Lock()
        header = store.header
        space = f"{header.model} {header.embedding}"
        self._queries = QueryEncoder(self._text_tower, self._sound, header.dim, space)
        self.embed_text, self.warn = self._queries.embed_text, self._queries.warn

    @property
    def model(self) -> Model:
        """The model that the library was built with; a `LibraryError` says that it is not known where it lies, or that
        what lies there is another one by now."""
        if self._model is None:
            path = self._store.header.model_path
            if path is None:
                raise LibraryError(f"where the model of {self.out} lies is not known: Library.open(..., model=...)")
            header = self._store.header
            self._model = header.require_model(loaded(path, header.tokenizer, self._progress)[0])
        return self._model

    @property
    def note(self) -> str:
        """What is to be said of the captions that the model learned from, once it is loaded; mostly nothing."""
        return "" if self._tower is None and self._model is None else self._text_tower().note

    def keep_text_tower(self, progress: bool = True) -> bool:
        """Keep the model's text tower as an ONNX graph in the folder, so that later searches by words need no torch.

        Takes some seconds, once. Says whether the graph is there; a tower without such a form stays with its model.
        """
        return graph.keep(self.model, self.out / _TEXT, progress=progress)

    def warm(self) -> None:
        """Load what embeds words, so that the first search does not wait for it; raise as `model`."""
        if self._store.items:
            self.embed_text("music")

    def _text_tower(self) -> TextTower:
        with self._loading:  # which `warm` may do in a thread
            if self._tower is None:
                header = self._store.header
                kept = None if self._model else graph.kept(self.out / _TEXT, header.embedding, header.model)
                self._tower = kept or ModelTower(self.model, header.embedding)
            return self._tower

    def _sound(self, path: Path) -> np.ndarray:
        return self.model.embed_audio([path], embedding=self._store.header.embedding)[0]


def by_model(libraries: Iterable[Library]) -> dict[str, Library]:
    """Return libraries by the name of their model, such as "SLAP"; where several have one name, by the run's too."""
    libraries = list(libraries)
    count = Counter(library.model_name for library in libraries)
    found: dict[str, Library] = {}
    for library in libraries:
        name, path = library.model_name, library._store.header.model_path
        if count[name] > 1:
            name = f"{name} {Path(path).name[-10:]}" if path else name
        while name in found:
            name += "'"
        found[name] = library
    return found


def store_at(out: Path, header: Header | None = None) -> LibraryStore:
    """Return the store of a library that is there, or of a new one."""
    known = Header.read(out) if header is None or (out / "library.json").exists() else header
    if known.engine is None:
        return LibraryStore(out, header)
    from slapkit.search.engine import EngineStore

    return EngineStore(out, known.engine, header)


def loaded(
    model: Model | str | Path, tokenizer: str | Path | None = None, progress: bool = True
) -> tuple[Model, str | None]:
    """Return a model, loaded where its run's folder, file or name is given, and that place, as far as it is known."""
    from tqdm.auto import tqdm

    if isinstance(model, (str, Path)):
        place = locate(model)
        path = place.resolve() if place.exists() else model  # a name of the hub
        with tqdm(desc="Loading the model ...", bar_format="{desc}", disable=not progress, leave=False):
            from slapkit.hub.load import load_model  # and torch, most of the wait

            return load_model(path, tokenizer=tokenizer), str(path)
    from slapkit.models.inference import Model

    if not isinstance(model, Model):
        raise LibraryError(f"model={type(model).__name__} is no model: give slapkit.load(run) or the run's folder")
    return model, None


def default_folder(header: Header) -> Path:
    """Return the folder of a library that is given none: one for each folder, model and setting."""
    key = json.dumps([header.folder, header.model, header.embedding, header.window, header.hop])
    name = f"{Path(header.folder).name}-{hashlib.sha256(key.encode()).hexdigest()[:10]}"
    return project_root() / "data" / "libraries" / name
