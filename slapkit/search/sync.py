"""Bringing a library up to date with its folder: what is new is heard, what changed is heard again, the rest stays."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from slapkit._io import sha256_file
from slapkit.data.scan import Failure, Source, has_table, scan, tags
from slapkit.models.embed import BATCH, Embedder
from slapkit.models.inference import Model
from slapkit.search.store import Entry, Store

_CHUNK = 128  # files hashed, heard and written before the next are looked at


def synchronise(
    store: Store, model: Model, *, cache_dir: Path | None = None, workers: int = 0, progress: bool = True
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
        return _Update(store, has_table(folder), failures).run(sources, model, cache_dir, workers, progress)


class _Update:
    """One pass over the files of a library."""

    def __init__(self, store: Store, table: bool, failures: list[Failure]) -> None:
        self.store, self.table, self.failures = store, table, list(failures)
        self.by_sha = {entry.sha: entry for entry in store.entries.values()}
        self.counts = {"added": 0, "changed": 0, "removed": 0, "unchanged": 0, "failed": 0}

    def run(
        self, sources: Sequence[Source], model: Model, cache_dir: Path | None, workers: int, progress: bool
    ) -> dict[str, int]:
        from tqdm.auto import tqdm

        self._describe_again([source for source in sources if self._untouched(source)])
        touched = [source for source in sources if not self._untouched(source)]
        header = self.store.header
        embedder = Embedder(model, hop=header.hop, expected=len(touched), cache_dir=cache_dir, workers=workers)
        bar = tqdm(total=len(touched), desc="Embedding sounds", unit="file", disable=not progress or not touched)
        with bar, embedder:
            for start in range(0, len(touched), _CHUNK):
                self._chunk(touched[start : start + _CHUNK], embedder, bar)
        failed = {failure.file for failure in self.failures}
        kept = {source.id for source in sources if source.file not in failed}
        gone = [id for id in self.store.entries if id not in kept]
        self.store.remove(gone)
        self.store.write_failures(sorted(self.failures, key=lambda failure: failure.file))
        self.store.compact()
        self.counts["removed"], self.counts["failed"] = len(gone), len(self.failures)
        self.counts["unchanged"] = len(self.store.entries) - self.counts["added"] - self.counts["changed"]
        return self.counts

    def _untouched(self, source: Source) -> bool:
        entry = self.store.entries.get(source.id)
        found = (source.file, source.size, source.mtime_ns)
        return entry is not None and (entry.file, entry.size, entry.mtime_ns) == found

    def _describe_again(self, sources: Sequence[Source]) -> None:
        """Take over what a table says now about files that did not change."""
        if not self.table:
            return
        entries = [(self.store.entries[source.id], source) for source in sources]
        self.store.refresh(
            new for entry, source in entries if (new := dataclasses.replace(entry, **_words(source))) != entry
        )

    def _chunk(self, sources: Sequence[Source], embedder: Embedder, bar) -> None:
        """Take in some files that are new or were touched."""
        new: list[tuple[Source, str]] = []
        with ThreadPoolExecutor(4) as pool:  # hashing lets other threads run
            hashes = list(pool.map(_hash, (source.path for source in sources)))
        copies, same = [], []
        for source, sha in zip(sources, hashes, strict=True):
            old, twin = self.store.entries.get(source.id), self.by_sha.get(sha)
            if isinstance(sha, OSError):
                self.failures.append(Failure(source.file, f"the file cannot be read: {sha.strerror}"))
            elif old is not None and old.sha == sha:
                same.append(self._entry(source, sha, old.duration_s, old.frames, first=old.first, windows=old.windows))
            elif twin is not None:
                copies.append((self._entry(source, sha, twin.duration_s, twin.frames), self.store.vectors_of(twin)))
            else:
                new.append((source, sha))
        self.store.refresh(same)
        self._take(copies)
        bar.update(len(sources) - len(new))
        output = ("z", "q").index(self.store.header.embedding)
        fresh, windows = [], 0
        found = embedder.embed([source.path for source, _ in new], [sha for _, sha in new])
        for (source, sha), one in zip(new, found, strict=True):
            bar.update()
            if one.failure is not None:
                self.failures.append(Failure(source.file, one.failure))
                continue
            fresh.append((self._entry(source, sha, one.duration_s, one.frames), one.outputs[output]))
            windows += len(one.starts)
            if windows >= BATCH:  # what a kill loses at most
                self._take(fresh)
                fresh, windows = [], 0
        self._take(fresh)

    def _take(self, tracks: list[tuple[Entry, Any]]) -> None:
        """Add tracks, counting those that replace one of the same id as changed."""
        for entry, _ in tracks:
            self.counts["changed" if entry.id in self.store.entries else "added"] += 1
        self.store.append(tracks)
        self.by_sha |= {entry.sha: self.store.entries[entry.id] for entry, _ in tracks}

    def _entry(
        self, source: Source, sha: str, duration_s: float, frames: int, first: int = 0, windows: int = 0
    ) -> Entry:
        """Return the journal's entry for a file; `append` sets the place of its rows."""
        words = _words(source)
        if not self.table:
            found = tags(source.path)
            words["title"], words["facts"] = found.pop("title", source.title), found
        return Entry(
            source.id, source.file, source.size, source.mtime_ns, sha, duration_s=duration_s, frames=frames,
            first=first, windows=windows, **words,
        )  # fmt: skip


def _words(source: Source) -> dict[str, Any]:
    return {"title": source.title, "captions": list(source.captions), "facts": source.facts}


def _hash(path: Path) -> str | OSError:
    try:
        return sha256_file(path)
    except OSError as error:
        return error
