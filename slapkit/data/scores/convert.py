"""Scores to notes: verovio reads each work in a worker process under a time limit; the notes are kept on disk.

verovio can crash or hang on single files, so it never runs in the caller's process. It also carries things over from
one work to the next (a key signature, for one), so each work is converted in a fork of a process that has read none. A
work that cannot be converted is listed with its reason and left out.
"""

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
from slapkit._pool import run_tasks
from slapkit.data.scores.score import Score, from_midi
from slapkit.data.scores.works import Work, decode_text

# The slowest work takes 2 s: this limit cuts off those that hang only, whatever else the machine does.
TIMEOUT_S = 40.0
_FORMAT = 3  # raise it when the stored arrays change
_LONGEST = 80  # measures of a MusicXML file that are read: two excerpts of ten seconds need a dozen


@functools.cache
def _toolkit() -> Any:
    import symusic  # noqa: F401  forks that import it themselves would take twice as long
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


def shorten_xml(text: str) -> str:
    """Return MusicXML with the first measures of each part: whole movements take seconds to read."""

    def first(part: re.Match[str]) -> str:
        return part[1] + "\n".join(re.findall(r"(?s)<measure\b.*?</measure>", part[2])[:_LONGEST]) + "</part>"

    return re.sub(r"(?s)(<part\s[^>]*>)(.*?)</part>", first, text)


def _source(work: Work) -> str:
    """Return the text of a work as verovio takes it."""
    if work.text is not None:
        return prepare_abc(work.text)
    if not work.path.endswith(".mxl"):
        text = decode_text(Path(work.path).read_bytes())
        return text if work.path.endswith(".krn") else shorten_xml(text)
    with zipfile.ZipFile(work.path) as archive:  # verovio's own archive loader refuses what is not UTF-8
        names = [n for n in archive.namelist() if not n.startswith("META-INF") and n.endswith((".xml", ".musicxml"))]
        return shorten_xml(decode_text(archive.read(names[0])))


def _notes(work: Work) -> bytes:
    """Return the notes of a work as an npz archive; raises ValueError when verovio refuses it."""
    toolkit = _toolkit()
    if not toolkit.loadData(_source(work)):
        raise ValueError("verovio cannot read it")
    return from_midi(base64.b64decode(toolkit.renderToMIDI())).to_bytes()


def cache_path(work: Work, cache: Path) -> Path:
    """Return where the notes of a work are kept; the name holds its content and the converter's version."""
    content = work.text.encode() if work.text is not None else Path(work.path).read_bytes()
    key = hashlib.sha256(f"{_FORMAT} {version('verovio')} {work.id}\n".encode() + content).hexdigest()[:20]
    return cache / f"{key}.npz"


def _in_fork(function: Callable[[Any], bytes], argument: Any) -> bytes:
    """Return what `function` gives in a fork of this process; raises ValueError where it raises or crashes."""
    if not hasattr(os, "fork"):
        return function(argument)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        signal.alarm(round(TIMEOUT_S) + 5)  # ends a hanging conversion when nobody waits for it any more
        with os.fdopen(writer, "wb") as pipe:
            try:
                answer = b"+" + function(argument)
            except BaseException as error:
                answer = b"-" + (str(error) or type(error).__name__).encode()[:300]
            pipe.write(answer)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    if not answer.startswith(b"+"):
        raise ValueError(answer[1:].decode() or "the process crashed")
    return answer[1:]


def _convert(task: tuple[Work, Path]) -> None:
    """Convert one work into its file in the cache (in a worker process)."""
    work, path = task
    _toolkit()  # loaded here once for all forks; it reads nothing here
    atomic_write_bytes(path, _in_fork(_notes, work))


def _readable(path: Path) -> bool:
    try:
        return len(Score.read(path)) > 0
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError):
        return False


def convert_works(
    works: Sequence[Work], cache: Path, *, workers: int, progress: bool = True
) -> tuple[dict[str, Path], dict[str, str]]:
    """Convert works to notes, keeping them under `cache`; notes that are there already are not converted again.

    Returns:
        (paths, failures): the stored notes by work id, and the reason for each work that cannot be converted.

    Raises:
        StorageError: the cache cannot be written.
    """
    from tqdm.auto import tqdm

    paths = {work.id: cache_path(work, cache) for work in works}
    tasks = [(work, paths[work.id]) for work in works if not _readable(paths[work.id])]
    failures: dict[str, str] = {}
    done = run_tasks(_convert, tasks, workers=workers, timeout_s=TIMEOUT_S, quiet=True)
    for index, _, problem in tqdm(done, "convert scores", len(tasks), unit="work", disable=not progress or not tasks):
        if problem is not None:
            failures[tasks[index][0].id] = problem
    return {id: path for id, path in paths.items() if id not in failures}, dict(sorted(failures.items()))
