"""Scores to notes: verovio reads each work in a worker process under a time limit; what came out is kept on disk.

verovio can crash or hang on single files, so it never runs in the caller's process. It also carries things over from
one work to the next (a key signature, for one), so each work is converted in a fork of a process that has read none. A
work that cannot be converted is listed with its reason and left out.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import os
import re
import signal
import zipfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from slapkit._io import atomic_write_bytes
from slapkit.data.scores import score as scores
from slapkit.data.scores.pool import run_tasks
from slapkit.data.scores.works import Work, decode_text

# The slowest work of the collection takes 2 s, so that a work is cut off by this limit only when it hangs, whatever
# else the machine does: what fails must not depend on the day.
TIMEOUT_S = 40.0
_FORMAT = 2  # raise it when the stored arrays change


@functools.cache
def _toolkit() -> Any:
    import verovio

    verovio.enableLog(verovio.LOG_OFF)
    toolkit = verovio.toolkit()
    toolkit.setOptions({"breaks": "none"})
    return toolkit


def prepare_abc(text: str) -> str:
    """Return abc text that verovio reads safely: repeat signs after an upbeat crash it, and excerpts need none."""
    text = re.sub(r"(?m)%.*$", "", text)
    text = re.sub(r"(?m)^[^XTMLKV\W\d]:.*\n?", "", text)  # fields that carry no notes (titles of sources, tempo, notes)
    head, key, body = text.partition("\nK:")
    return head + key + re.sub(r"\|:|:\||::|:\|:", "|", body)


def _unzip(path: str) -> str:
    """Return the score inside a compressed MusicXML file."""
    with zipfile.ZipFile(path) as archive:
        names = [n for n in archive.namelist() if not n.startswith("META-INF") and n.endswith((".xml", ".musicxml"))]
        return decode_text(archive.read(names[0]))


def _to_midi(work: Work) -> bytes:
    """Return one work as MIDI bytes; raises ValueError when verovio refuses it."""
    toolkit = _toolkit()
    if work.text is not None:
        loaded = toolkit.loadData(prepare_abc(work.text))
    elif work.path.endswith(".mxl"):
        loaded = toolkit.loadData(_unzip(work.path))  # verovio's own archive loader refuses what is not UTF-8
    else:
        loaded = toolkit.loadData(decode_text(Path(work.path).read_bytes()))
    if not loaded:
        raise ValueError("verovio cannot read it")
    return base64.b64decode(toolkit.renderToMIDI())


def cache_path(work: Work, cache: Path) -> Path:
    """Return where the notes of a work are kept; the name holds its content and the converter's version."""
    content = work.text.encode() if work.text is not None else Path(work.path).read_bytes()
    key = hashlib.sha256(f"{_FORMAT} {version('verovio')} {work.id}\n".encode() + content).hexdigest()[:20]
    return cache / f"{key}.npz"


def _notes(work: Work) -> bytes:
    return scores.from_midi(_to_midi(work)).to_bytes()


def _isolated(function: Callable[[Any], bytes], argument: Any) -> bytes:
    """Return what `function` gives in a fork of this process, which stays as it is.

    Raises:
        ValueError: the function raised, or its process crashed.
    """
    if not hasattr(os, "fork"):
        return function(argument)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        signal.alarm(round(TIMEOUT_S) + 5)  # ends a hanging conversion when nobody waits for it any more
        with os.fdopen(writer, "wb") as pipe:
            try:
                said = b"+" + function(argument)
            except BaseException as error:
                said = b"-" + (str(error) or type(error).__name__).encode()[:300]
            pipe.write(said)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    if not said.startswith(b"+"):
        raise ValueError(said[1:].decode() or "the process crashed")
    return said[1:]


def _convert(task: tuple[Work, Path]) -> None:
    import symusic  # noqa: F401

    work, path = task
    _toolkit()  # made, like the import, once before the forks instead of in each; it reads nothing here
    atomic_write_bytes(path, _isolated(_notes, work))


def _readable(path: Path) -> bool:
    try:
        return path.is_file() and len(scores.Score.read(path)) > 0
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError):
        return False


def convert_works(
    works: Sequence[Work], cache: Path, *, workers: int, timeout_s: float = TIMEOUT_S, progress: bool = True
) -> tuple[dict[str, Path], dict[str, str]]:
    """Convert works to notes, keeping them under `cache`; what is there already is not converted again.

    Returns:
        (paths, failures): the stored notes by work id, and the reason for each work that cannot be had.

    Raises:
        StorageError: the cache cannot be written.
    """
    from tqdm.auto import tqdm

    paths = {work.id: cache_path(work, cache) for work in works}
    missing = [work for work in works if not _readable(paths[work.id])]
    failures: dict[str, str] = {}
    tasks = [(work, paths[work.id]) for work in missing]
    done = run_tasks(_convert, tasks, workers=workers, timeout_s=timeout_s, quiet=True)
    bar = tqdm(done, total=len(tasks), desc="convert scores", unit="work", disable=not progress or not tasks)
    for index, _, problem in bar:
        if problem is not None:
            failures[missing[index].id] = problem
    return {work.id: paths[work.id] for work in works if work.id not in failures}, dict(sorted(failures.items()))
