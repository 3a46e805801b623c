"""Whose library it is: the model by its fingerprint, the folder, the windows; and refusing what does not belong."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from slapkit._io import locate, project_root
from slapkit.errors import ConfigError, LibraryError
from slapkit.hub.load import load_model
from slapkit.models.inference import Model
from slapkit.search.store import Header


def load(model: Model | str | Path) -> tuple[Model, str | None]:
    """Return a model, loaded where it is given as a run's folder, and where it lies, as far as that is known."""
    if isinstance(model, Model):
        return model, None
    if not isinstance(model, (str, Path)):
        raise LibraryError(f"model={type(model).__name__} is no model: give slapkit.load(run) or the run's folder")
    path = locate(model).resolve()
    return load_model(path), str(path)


def header(model: Model, path: str | None, folder: Path, embedding: str, hop_s: float | None) -> Header:
    """Return what is to be written about a library of `folder`, embedded by `model`; see `Library.build`.

    Raises:
        ConfigError: an embedding or hop that there is not.
    """
    if embedding not in ("q", "z"):
        raise ConfigError(f"embedding={embedding!r}: take 'q' (prediction) or 'z' (projection)")
    audio = model.config.audio
    hop = audio.window_frames if hop_s is None else round(hop_s / audio.frontend.hop_s)
    if not 1 <= hop <= audio.window_frames:
        raise ConfigError(f"hop_s={hop_s!r}: take more than 0 s, up to the window's {audio.window_s} s")
    return Header(
        folder=str(folder),
        model=model.fingerprint(),
        model_path=path,
        objective=model.joint.objective,
        embedding=embedding,
        dim=model.dim,
        frontend=audio.frontend.to_dict(),
        window=audio.window_frames,
        hop=hop,
    )


def default_folder(header: Header) -> Path:
    """Return the folder that keeps a library where none is named: one for each folder, model and setting."""
    key = json.dumps([header.folder, header.model, header.embedding, header.window, header.hop])
    name = f"{Path(header.folder).name}-{hashlib.sha256(key.encode()).hexdigest()[:10]}"
    return project_root() / "data" / "libraries" / name


def check_model(header: Header, model: Model) -> None:
    """Raise `LibraryError` unless `model` is the one that the library was built with."""
    found = model.fingerprint()
    if found != header.model:
        where = f" ({header.model_path})" if header.model_path else ""
        raise LibraryError(
            f"the library was built with model {header.model}{where}, and this is {found}: open it with the model it "
            "was built with, or build a library with this one in another folder"
        )


def check_same(there: Header, wanted: Header, out: Path) -> None:
    """Raise `LibraryError` where the library that exists is not the one that is wanted."""
    for name in ("folder", "model", "embedding", "window", "hop"):
        old, new = getattr(there, name), getattr(wanted, name)
        if old != new:
            raise LibraryError(f"{out} holds a library of {name} {old}, not {new}: build this one in another folder")
