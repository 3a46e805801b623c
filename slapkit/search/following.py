"""How a library follows its folder: what is new, changed, moved or gone."""

from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import asdict, replace
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from slapkit._io import atomic_write_json_lines, sha256_file
from slapkit.audio import media
from slapkit.data.scan import Failure, Source, has_table, scan, tags
from slapkit.errors import TABLE, LibraryError
from slapkit.models.embed import BATCH, Embedder
from slapkit.models.inference import Model
from slapkit.search.store import Entry, LibraryStore

_CHUNK = 128  # files hashed before they are embedded
_PLACE = ("file", "size", "mtime_ns")  # what of a file says that it was touched
_FOLDERS = ("folder", "subfolder")  # facts


def synchronise(
    store: LibraryStore, model: Model, cache_dir: str | Path | None, progress: bool, forget_missing: bool = False
) -> dict[str, int]:
    """Bring a library up to date with its folder and return counts, as `Library.update` does.

    A file is unchanged when its size and time are those of its entry, or else when its content is. A file that moved,
    or whose tags alone changed, keeps its vectors. Failed files are tried again every time. Tracks stay that may not be
    looked at, as in a folder that cannot be read.
    """
    folder = Path(store.header.folder)
    sources, failures = scan(folder)
    if not forget_missing:
        _require_present(store, folder, sources, failures)
    with store.writing(progress=progress):
        update = _Update(store, has_table(folder), failures, _folders(sources))
        before = {id: entry.sha for id, entry in update.entries.items()}
        touched = update.sort_out(sources)
        bar = tqdm(total=len(touched), desc="Embedding audio", unit="file", disable=not progress or not touched)
        with bar, Embedder(model, hop=store.header.hop, expected=len(touched), cache_dir=cache_dir) as embedder:
            for start in range(0, len(touched), _CHUNK):
                update.take_in(touched[start : start + _CHUNK], embedder, bar)
        failed = {failure.file for failure in failures}
        kept = {source.id for source in sources if source.file not in failed}
        gone = [id for id in store.items.keys() - kept if not _is_hidden(folder, update.entries[id].file, failed)]
        store.log({"id": id, "gone": True} for id in gone)
        failures = sorted(failures, key=lambda failure: failure.file)
        atomic_write_json_lines(store.folder / "failures.jsonl", map(asdict, failures))
    after = {id: item["sha"] for id, item in store.items.items()}
    return {
        "added": len(after.keys() - before),
        "changed": sum(before.get(id, sha) != sha for id, sha in after.items()),
        "removed": len(before.keys() - after),
        "unchanged": len(before.items() & after.items()),
        "failed": sum(failure.file != TABLE for failure in failures),
    }


def _require_present(store: LibraryStore, folder: Path, sources: Sequence[Source], failures: Sequence[Failure]) -> None:
    """Ask before letting go of all tracks at once, or of all that lay in a folder which is there and empty: a disk that
    is not mounted looks like this, and embedding its music again takes hours."""
    seen = {_top(one.file) for one in (*sources, *failures)} | {failure.file for failure in failures}
    new = {source.size for source in sources if source.id not in store.items}
    gone = [item for item in store.items.values() if _top(item["file"]) not in seen]
    lost = Counter(_top(item["file"]) for item in gone)
    for top in {_top(item["file"]) for item in gone if item["size"] in new}:  # moved within the collection
        del lost[top]
    whole = len(gone) == len(store.items)
    empty = {top: n for top, n in lost.items() if whole or (top and (folder / top).is_dir())}
    if empty:
        where = ", ".join(str(folder / top) for top in sorted(empty)[:3]) + (" ..." if len(empty) > 3 else "")
        raise LibraryError(
            f"all {sum(empty.values()):,} tracks of {where} are gone at once: is the disk mounted? Nothing was "
            "changed. If they are deleted, update with forget_missing=True (`slapkit library --forget-missing`); if "
            "the collection moved, build with moved=True (`--moved`) from where it is now"
        )


def _is_hidden(folder: Path, file: str, failed: Container[str]) -> bool:
    """Say whether the system does not let us see if a file is there."""
    try:
        (folder / file).lstat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError:
        return True
    return any(parent.as_posix() in failed for parent in PurePosixPath(file).parents)


def _top(file: str) -> str:
    """Return the first folder of a file's name, "" where it lies in none."""
    return file.split("/")[0] if "/" in file else ""


class _Update:
    """One pass over the files of a library."""

    def __init__(
        self, store: LibraryStore, table: bool, failures: list[Failure], folders: dict[str, dict[str, str]]
    ) -> None:  # fmt: skip
        self.store, self.table, self.failures, self.folders = store, table, failures, folders
        self.entries = store.entries
        self.by_sha = {entry.sha: entry for entry in self.entries.values()}
        self.by_sound = {entry.sound: entry for entry in self.entries.values() if entry.sound}
        self.output = ("z", "q").index(store.header.embedding)
        self.embedded_s = 0.0

    def sort_out(self, sources: Sequence[Source]) -> list[Source]:
        """Return files that are new or were touched; of the others, take over what table and folders say by now."""
        touched, again = [], []
        for source in sources:
            entry = self.entries.get(source.id)
            if entry is None or any(getattr(entry, name) != getattr(source, name) for name in _PLACE):
                touched.append(source)
                continue
            if self.table:
                new = self._entry(source, entry, entry.tags)
            else:
                own = {name: value for name, value in entry.facts.items() if name not in _FOLDERS}
                facts = self._placed(source, own)
                new = entry if facts == entry.facts else replace(entry, facts=facts)
            if new != entry:
                again.append(asdict(new))
        self.store.log(again)
        return touched

    def take_in(self, sources: Sequence[Source], embedder: Embedder, bar: tqdm) -> None:
        """Take in some files that are new or were touched."""
        new, tracks, same = [], [], []
        for source in sources:
            try:
                sha = sha256_file(source.path)
            except OSError as error:
                self.failures.append(Failure(source.file, f"the file cannot be read: {error.strerror}"))
                continue
            old, twin = self.entries.get(source.id), self.by_sha.get(sha)
            sound = media.sound_digest(source.path) if twin is None else ""
            if twin is None and sound in self.by_sound:  # other tags
                twin = replace(self.by_sound[sound], sha=sha)
            if twin is None:
                new.append((source, sha, sound))
            elif old is not None and old.sha == sha:
                same.append(asdict(self._entry(source, old)))
            else:
                tracks.append((self._entry(source, twin), self.store.vectors_of(twin.first, twin.windows)))
        self.store.log(same)
        bar.update(len(sources) - len(new))
        found = embedder.embed([source.path for source, *_ in new], [sha for _, sha, _ in new])
        for (source, sha, sound), one in zip(new, found, strict=True):
            self.embedded_s += one.duration_s
            bar.set_postfix_str(f"{self.embedded_s / 3600:.1f} h of audio", refresh=False)
            bar.update()
            if one.failure is not None:
                self.failures.append(Failure(source.file, one.failure))
                continue
            entry = Entry(source.id, "", 0, 0, sha, "", one.duration_s, one.frames, sound=sound)
            tracks.append((self._entry(source, entry), one.outputs[self.output]))
            if sum(len(vectors) for _, vectors in tracks) >= BATCH:  # what a kill loses at most
                self._append(tracks)
                tracks = []
        self._append(tracks)

    def _append(self, tracks: list[tuple[Entry, np.ndarray]]) -> None:
        self.store.append((asdict(entry), vectors) for entry, vectors in tracks)
        for entry, _ in tracks:
            self.entries[entry.id] = self.by_sha[entry.sha] = Entry(**self.store.items[entry.id])
            if entry.sound:
                self.by_sound[entry.sound] = self.entries[entry.id]

    def _entry(self, source: Source, known: Entry, found: dict[str, Any] | None = None) -> Entry:
        """Return the entry of a file with the content of `known`, and its tags, `found` or read, where its table says
        nothing of the same name."""
        found = tags(source.path) if found is None else found
        said = {name: value for name, value in source.facts.items() if value not in (None, "")}
        titled = source.title == Path(source.id).stem and "title" in found  # the table gives no title
        facts = source.facts | {name: value for name, value in found.items() if name != "title"} | said
        words = {"title": found["title"] if titled else source.title, "captions": list(source.captions)}
        words |= {"facts": self._placed(source, facts), "tags": found}
        return replace(known, id=source.id, **{name: getattr(source, name) for name in _PLACE}, **words)

    def _placed(self, source: Source, facts: dict[str, Any]) -> dict[str, Any]:
        """Return facts, and those of the folders that a file is in where people gave none of the same name."""
        return facts | self.folders[source.id] | facts


def _folders(sources: Sequence[Source]) -> dict[str, dict[str, str]]:
    """Return the facts "folder" and "subfolder" by id: the first level at which the files lie in different folders
    (artists in Music/Artist/Album), and the next."""
    ways = {source.id: tuple(source.file.split("/")[:-1]) for source in sources}
    levels = enumerate(zip_longest(*ways.values()))
    first = next((level for level, names in levels if len({*names} - {None}) > 1), None)
    return {id: {} if first is None else dict(zip(_FOLDERS, way[first:])) for id, way in ways.items()}
