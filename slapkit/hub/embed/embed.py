"""Every process embeds its share of the chunks; the one that finds all of them finished joins them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from slapkit._io import available_cores
from slapkit.data.scan import Failure, Source
from slapkit.errors import ConfigError
from slapkit.hub.embed.parts import Parts, Rows, finished, read_failures
from slapkit.hub.embed.plan import Chunk, Settings, chunks, collect, identity
from slapkit.hub.embed.processes import Place, place
from slapkit.models.embed import BATCH, Embedded, Embedder
from slapkit.models.inputs import mean_by_clip

if TYPE_CHECKING:
    from slapkit.data import AudioTextDataset
    from slapkit.models.inference import Model

CHUNK = 256  # sounds; what a kill loses at most, for each process


@dataclass(frozen=True)
class Outcome:
    """What became of a call: the result's path, whether it is `complete`, how many sounds were found and can be
    used as far as is known, what failed, the parts that this call made and found, and how many parts are missing."""

    out: Path
    complete: bool
    sounds: int
    failures: tuple[Failure, ...]
    made: int
    kept: int
    missing: int


def embed_collection(
    model: Model,
    data: AudioTextDataset | str | Path,
    out: str | Path,
    *,
    pooled: bool = True,
    hop_s: float | None = None,
    chunk: int = CHUNK,
    workers: int = 0,
    where: Place | None = None,
    progress: bool = True,
) -> Outcome:
    """Embed all sounds of a collection, and their captions, into one Parquet file (see `slapkit.hub.embed.parts`).

    Under a launcher each process calls this and does its share; whichever finishes last writes `out`. Killed or
    stopped, the same call goes on, under as many processes as one likes, and ends with the same bytes on the same
    kind of machine with as many threads. Sounds that cannot be used are listed in `<out>.failures.jsonl`, and their
    captions left out.

    Args:
        data: a data set, the table of one, or a folder of sounds (with a table or without).
        out: the Parquet file; `<out>.parts/` keeps finished chunks meanwhile.
        pooled: one row a sound, the mean over windows that cover it; else one row a window.
        hop_s: from one window to the next, in s; default: the window's length.
        chunk: sounds that are kept together. Other values cut the work otherwise, so what is finished is made again.
        workers: helper processes that decode; 0 chooses.
        where: this process's place; default: what the launcher's environment says.

    Raises:
        ConfigError: a setting out of range, or `out` holds something else.
        DataError, LibraryError: there is no sound.
        StorageError: the disk is full; what was finished is kept.
    """
    out, where = Path(out), place() if where is None else where
    before = finished(out)
    settings = _settings(model, pooled=pooled, hop_s=hop_s)
    sources, failures = collect(data)
    plan = chunks(sources, settings, chunk)
    result = identity(plan)
    if before == result:
        return _outcome(out, sources, made=0, kept=len(where.share(plan)))
    parts = Parts(out, settings)
    share = where.share(plan)
    todo = [item for item in share if parts.read(item) is None]
    _work(model, todo, parts, where, workers, progress and where.rank == 0)
    missing = parts.missing(plan)
    if not missing and not parts.join(plan, result, failures):
        missing = parts.missing(plan)
    complete = not missing or finished(out) == result  # another process may have joined the parts meanwhile
    if complete:
        parts.clear()
    return _outcome(out, sources, made=len(todo), kept=len(share) - len(todo), missing=0 if complete else missing)


def _outcome(out: Path, sources: Sequence[Source], *, made: int, kept: int, missing: int = 0) -> Outcome:
    listed = () if missing else tuple(read_failures(out))
    failed = {failure.file for failure in listed}
    sounds = sum(source.file not in failed for source in sources)
    return Outcome(out, not missing, sounds, listed, made, kept, missing)


def _settings(model: Model, *, pooled: bool, hop_s: float | None) -> Settings:
    audio = model.config.audio
    hop = audio.window_frames if hop_s is None else round(hop_s / audio.frontend.hop_s)
    if not 1 <= hop <= audio.window_frames:
        raise ConfigError(f"hop_s={hop_s!r}: take more than 0 s, up to the window's {audio.window_s} s")
    return Settings(
        model=model.fingerprint() + ("" if model.precision == "no" else f"-{model.precision}"),
        dim=model.dim, window=audio.window_frames, hop=hop, hop_s=audio.frontend.hop_s, pooled=pooled,
    )  # fmt: skip


def _work(model: Model, todo: Sequence[Chunk], parts: Parts, where: Place, workers: int, progress: bool) -> None:
    """Embed chunks and keep each as soon as it is finished."""
    from tqdm.auto import tqdm

    expected = sum(len(item.sources) for item in todo)
    hop = parts.settings.hop
    if not workers and where.local_world > 1 and expected:
        workers = max(1, available_cores() // where.local_world)  # the processes of a machine share its CPUs
    bar = tqdm(total=expected, desc="Embedding sounds", unit="file", disable=not progress or not todo)
    with bar, Embedder(model, hop=hop, expected=expected, workers=workers) as embedder:
        for item in todo:
            rows, failures = _embed(model, item.sources, embedder, parts.settings, bar)
            parts.write(item, rows, failures)


def _embed(
    model: Model, sources: Sequence[Source], embedder: Embedder, settings: Settings, bar
) -> tuple[Rows, list[Failure]]:
    """Return the rows of some sounds and their captions, in order, and what failed."""
    heard: dict[str, Embedded] = {}
    for source, found in zip(sources, embedder.embed([source.path for source in sources]), strict=True):
        heard[source.id] = found
        bar.update()
    failures = [Failure(s.file, heard[s.id].failure) for s in sources if heard[s.id].failure is not None]
    good = [source for source in sources if heard[source.id].failure is None]
    texts = iter(_captions(model, [caption for source in good for caption in source.captions]))
    rows = Rows.none()
    for source in good:
        for start_s, end_s, z, q in _windows(heard[source.id], settings):
            rows.add(source, "audio", z, q, start_s=start_s, end_s=end_s)
        for caption in source.captions:
            rows.add(source, "text", *next(texts), caption=caption)
    return rows, failures


def _windows(found: Embedded, settings: Settings) -> Iterator[tuple[float, float, np.ndarray, np.ndarray]]:
    """Yield start and end in s, `z` and `q`, of each window of a sound, or of their mean."""
    z, q = found.outputs
    if settings.pooled:
        owner = np.zeros(len(z), dtype=np.int64)
        yield 0.0, found.duration_s, mean_by_clip(z, owner, 1)[0], mean_by_clip(q, owner, 1)[0]
        return
    for row, start in enumerate(found.starts.tolist()):
        # Frames stand in the middle of their hop's sound, so the last one lies at the window's end.
        end = (start + settings.window - 1) * settings.hop_s
        yield start * settings.hop_s, min(end, found.duration_s), z[row], q[row]


def _captions(model: Model, captions: list[str]) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """Return `z` and `q` of captions, each embedded once."""
    if not captions:
        return []
    unique = sorted(set(captions))
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for rows, tokens in model.joint.text.encoder.batches(unique, BATCH):
        both = (value.numpy() for value in model.encode(tokens, "text"))
        found |= {unique[row]: pair for row, pair in zip(rows, zip(*both, strict=True), strict=True)}
    return [found[caption] for caption in captions]
