"""What a library is opened with: the folder and store that it is in, and the model that it was built with."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from slapkit._io import locate, project_root
from slapkit.errors import LibraryError
from slapkit.search.store import Header, LibraryStore

if TYPE_CHECKING:  # what a search by words does without is imported where it is used
    from slapkit.models.inference import Model
    from slapkit.search.library import Library


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

    return EngineStore(out, header)


def loaded(model: Model | str | Path, tokenizer: str | Path | None = None) -> tuple[Model, str | None]:
    """Return a model, loaded where its run's folder or file is given, and that place, as far as it is known."""
    from slapkit.hub.load import load_model
    from slapkit.models.inference import Model

    if isinstance(model, Model):
        return model, None
    if not isinstance(model, (str, Path)):
        raise LibraryError(f"model={type(model).__name__} is no model: give slapkit.load(run) or the run's folder")
    path = locate(model).resolve()
    return load_model(path, tokenizer=tokenizer), str(path)


def default_folder(header: Header) -> Path:
    """Return the folder of a library that is given none: one for each folder, model and setting."""
    key = json.dumps([header.folder, header.model, header.embedding, header.window, header.hop])
    name = f"{Path(header.folder).name}-{hashlib.sha256(key.encode()).hexdigest()[:10]}"
    return project_root() / "data" / "libraries" / name
