"""Bringing a library up to date with its folder: new and changed files are embedded, the rest stays."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from slapkit._io import sha256_file
from slapkit.data.scan import Failure, Source, has_table, scan, tags
from slapkit.models.embed import BATCH, Embedder
from slapkit.models.inference import Model
from slapkit.search.store import Entry, LibraryStore

_CHUNK = 128  # files hashed before they are embedded


def synchronise(
    store: LibraryStore, model: Model, *, cache_dir: Path | None = None, progress: bool = True
) -> dict[str, int]:
    """Bring a library up to date.

    A file is unchanged when its size and time are those of its entry, or else when its content is. A file that moved
    keeps its vectors. Failed files are tried again every time.

    Returns:
        counts of tracks `added`, `changed`, `removed` and `unchanged`, and of files that `failed`.

    Raises:
        LibraryError, DataError: the folder or its table is missing.
        StorageError: the disk is full; what was finished is kept.
    """
    folder = Path(store.header.folder)
    sources, failures = scan(folder)
    with store.writing(progress=progress):
        update = _Update(store, has_table(folder), failures)
        before = {id: entry.sha for id, entry in update.entries.items()}
        touched = update.sort_out(sources)
        bar = tqdm(total=len(touched), desc="Embedding audio", unit="file", disable=not progress or not touched)
        with bar, Embedder(model, hop=store.header.hop, expected=len(touched), cache_dir=cache_dir) as embedder:
            for start in range(0, len(touched), _CHUNK):
                update.take_in(touched[start : start + _CHUNK], embedder, bar)
        failed = {failure.file for failure in failures}
        kept = {source.id for source in sources if source.file not in failed}
        store.log({"id": id, "gone": True} for id in [id for id in store.items if id not in kept])
        store.write_failures(sorted(failures, key=lambda failure: failure.file))
    after = {id: item["sha"] for id, item in store.items.items()}
    return {
        "added": len(after.keys() - before),
        "changed": sum(before.get(id, sha) != sha for id, sha in after.items()),
        "removed": len(before.keys() - after),
        "unchanged": len(before.items() & after.items()),
        "failed": len(failures),
    }


class _Update:
    """One pass over the files of a library."""

    def __init__(self, store: LibraryStore, table: bool, failures: list[Failure]) -> None:
        self.store, self.table, self.failures = store, table, failures
        self.entries = store.entries
        self.by_sha = {entry.sha: entry for entry in self.entries.values()}
        self.output = ("z", "q").index(store.header.embedding)

    def sort_out(self, sources: Sequence[Source]) -> list[Source]:
        """Return files that are new or were touched; of the others, take over what the table says by now."""
        touched, again = [], []
        for source in sources:
            entry = self.entries.get(source.id)
            if entry is None or (entry.file, entry.size, entry.mtime_ns) != (source.file, source.size, source.mtime_ns):
                touched.append(source)
            elif self.table and (new := replace(entry, **_words(source))) != entry:
                again.append(asdict(new))
        self.store.log(again)
        return touched

    def take_in(self, sources: Sequence[Source], embedder: Embedder, bar: tqdm) -> None:
        """Take in some files that are new or were touched."""
        with ThreadPoolExecutor(4) as pool:  # hashing lets other threads run
            hashes = list(pool.map(_hash, (source.path for source in sources)))
        new, copies, same = [], [], []
        for source, sha in zip(sources, hashes, strict=True):
            old, twin = self.entries.get(source.id), self.by_sha.get(sha)
            if isinstance(sha, OSError):
                self.failures.append(Failure(source.file, f"the file cannot be read: {sha.strerror}"))
            elif twin is None:
                new.append((source, sha))
                continue
            elif old is not None and old.sha == sha:
                same.append(asdict(self._entry(source, old)))
            else:
                copies.append((self._entry(source, twin), self.store.vectors_of(twin.first, twin.windows)))
            bar.update()
        self.store.log(same)
        self._append(copies)
        fresh, windows = [], 0
        found = embedder.embed([source.path for source, _ in new], [sha for _, sha in new])
        for (source, sha), one in zip(new, found, strict=True):
            bar.update()
            if one.failure is not None:
                self.failures.append(Failure(source.file, one.failure))
                continue
            entry = Entry(source.id, "", 0, 0, sha, "", one.duration_s, one.frames)
            fresh.append((self._entry(source, entry), one.outputs[self.output]))
            windows += len(one.starts)
            if windows >= BATCH:  # what a kill loses at most
                self._append(fresh)
                fresh, windows = [], 0
        self._append(fresh)

    def _append(self, tracks: list[tuple[Entry, np.ndarray]]) -> None:
        self.store.append((asdict(entry), vectors) for entry, vectors in tracks)
        for entry, _ in tracks:
            self.entries[entry.id] = self.by_sha[entry.sha] = Entry(**self.store.items[entry.id])

    def _entry(self, source: Source, known: Entry) -> Entry:
        """Return the entry of a file with the content of `known`."""
        words = _words(source)
        if not self.table:
            found = tags(source.path)
            words |= {"title": found.pop("title", source.title), "facts": found}
        place = {name: getattr(source, name) for name in ("id", "file", "size", "mtime_ns")}
        return replace(known, **place, **words)


def _words(source: Source) -> dict[str, Any]:
    return {"title": source.title, "captions": list(source.captions), "facts": source.facts}


def _hash(path: Path) -> str | OSError:
    try:
        return sha256_file(path)
    except OSError as error:
        return error
