"""From audio files to features, float16 `[frames, width]`, computed once and kept.

`extract` is the one way from a file or an array to features, and `window` to a part of a file's; both round and refuse
alike. `build` keeps the features of many files in a cache for each front end, by the SHA-256 of the files.
"""

import contextlib
import hashlib
import json
import os
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from slapkit._cores import available_cores
from slapkit._pool import outcome, process_pool
from slapkit._rows import Found, Passing, RowCache
from slapkit.audio import decode
from slapkit.audio.frontend import FrontendConfig, make_transform
from slapkit.audio.windows import fill, take
from slapkit.errors import AudioError, ConfigError, DataError, SlapkitError, short

PLACES = 2**53  # a window's start is a whole number below this: a fraction of all places where it can start
LONG_S = 900.0  # s: a longer file is transformed in pieces, since the spectrum of an hour takes gigabytes
PIECE_S = 60.0
TIMEOUT_S = 600.0  # s, for one file
_RESAMPLE_S = 0.02  # s beside a window for the resampler's filter to be full
_WORTH_WORKERS = 40  # files: fewer are done before a worker has started
_MOST_WORKERS = 16
_AHEAD = 8  # files given out for each worker before the first of them is taken back


class SilentWindow(AudioError):
    """A window that is silent; the rest of its clip may be fine."""


@lru_cache(maxsize=4)
def _transform(frontend: FrontendConfig) -> torch.nn.Module:
    return make_transform(frontend).eval()


def extract(
    sound: str | os.PathLike[str] | np.ndarray, frontend: FrontendConfig, *, sample_rate: int | None = None,
    name: str | None = None,
) -> np.ndarray:  # fmt: skip
    """Return the features, float16 `[frames, width]`, of an audio file or array; they depend on its content only.

    `sound` is a path, or samples `[T]` or `[C, T]` in [-1, 1] of `sample_rate` (Hz). A clip shorter than the front
    end's `min_s` is filled up to it as its `padding` says. Messages call it `name`, by default its path. An
    `AudioError` says that it cannot be read, is silent, or gives values that are not finite.
    """
    rate = frontend.sample_rate
    if isinstance(sound, np.ndarray):
        name = name or "the array"
        if sample_rate is None:
            raise AudioError(f"{name} has shape {sound.shape} and no rate: give its sample_rate in Hz")
        wave = decode.from_array(sound, sample_rate, rate, reject_silent=True, name=name)
    else:
        with decode.opened(sound, name=name) as file:
            if file.estimated_s > LONG_S:
                return _in_pieces(file, frontend)
            wave, name = file.read(sample_rate=rate, reject_silent=True), file.name
    return _features(fill(wave, round(frontend.min_s * rate), frontend.padding), frontend, name)


def _features(wave: np.ndarray, frontend: FrontendConfig, name: str) -> np.ndarray:
    values = _transform(frontend)(torch.from_numpy(wave)[None])[0].numpy().astype(np.float16)
    if not np.isfinite(values).all():
        raise AudioError(f"{name} gives features that are not finite")
    return values


def _in_pieces(file: decode.OpenSound, frontend: FrontendConfig) -> np.ndarray:
    """Return the features of a long file; frames at the seams of the pieces are near, not equal."""
    piece = round(PIECE_S / frontend.hop_s)  # frames, so that pieces join on the grid of frames
    parts, silent = [], True
    for wave in file.pieces(sample_rate=frontend.sample_rate, seconds=piece * frontend.hop_s):
        silent = silent and decode.is_silent(wave)
        wave = fill(wave, round(frontend.min_s * frontend.sample_rate), frontend.padding)
        parts.append(_features(wave, frontend, file.name))
    if silent:
        raise AudioError(file.silence())
    return np.concatenate([*(values[:piece] for values in parts[:-1]), parts[-1]])


def window(path: str | os.PathLike[str], frontend: FrontendConfig, length: int, place: int, *, name: str) -> np.ndarray:
    """Return a window of features, float16 `[length, width]`, without decoding the rest of the file.

    It is the window that the features of the whole file have at the same start, but for what resampling makes of a
    start between two samples. A clip shorter than the window goes on at its start.

    `place` says where it lies, from 0 (the first place where it can start) to `PLACES - 1` (the last). Messages call
    the file `name`.

    Raises:
        AudioError: the file cannot be used.
        SilentWindow: the window's peak stays under -80 dB of full scale.
    """
    with decode.opened(path, name=name) as file:
        try:
            return _window(file, frontend, length, place)
        except decode.Ended:  # the length of the file is known by now
            return _window(file, frontend, length, place)


def _window(file: decode.OpenSound, frontend: FrontendConfig, length: int, place: int) -> np.ndarray:
    name, rate, hop = file.name, frontend.sample_rate, frontend.hop
    shortest = round(frontend.min_s * rate)
    samples = round(file.duration_s * rate)
    frames = frontend.frames(max(samples, shortest) / rate)
    start = int(place) * (max(frames - length, 0) + 1) // PLACES
    # So many frames beside the window have a share in what it holds: half an analysis window, and the resampler.
    margin = -(-(frontend.reach + round(_RESAMPLE_S * rate)) // hop)
    whole = samples <= shortest + hop or frames <= length + 2 * margin
    first = 0 if whole else max(0, start - margin) // frontend.step * frontend.step
    needed = None if whole else (start + length + margin - first) * hop / rate
    wave = file.read(sample_rate=rate, start_s=first * hop / rate, duration_s=needed)
    if decode.is_silent(wave):
        where = f" from {start * hop / rate:.1f} s on, for the length of a window"
        part = (round(first * hop / rate * file.rate), None if needed is None else round(needed * file.rate))
        raise SilentWindow(file.silence(*part, where))
    values = _features(fill(wave, shortest, frontend.padding) if whole else wave, frontend, name)
    if not whole and len(values) < length:
        raise decode.Ended(f"{name} is cut off: {len(values)} frames of a window of {length} can be decoded")
    start = max(0, min(start - first, len(values) - length))  # a header may promise a few samples more than there are
    return take(values.T, start, length).T


def _attempt(path: str, frontend: FrontendConfig) -> np.ndarray | str:
    """Return the features of a file, or in words why there are none, without naming where the file lies."""
    try:
        return extract(path, frontend)
    except AudioError as error:
        kind = Passing if isinstance(error.__cause__, (OSError, MemoryError)) else str
        return kind(str(error).replace(str(path), "the file"))
    except SlapkitError:
        raise
    except Exception as error:  # no fault of the file: it stops the work
        raise SlapkitError(f"{path}: {type(error).__name__}: {error}") from error


def _work(path: str, frontend: FrontendConfig) -> np.ndarray | str:
    """Do `_attempt` in a worker process, whose torch must not use the threads that the fork left behind."""
    torch.set_num_threads(1)
    return _attempt(path, frontend)


class Extractor(contextlib.ExitStack):
    """Features of many files, by worker processes (0: one for each core where `expected` files are worth it).

    A context manager; one worker is this process itself. A file that crashes a worker, or takes longer than
    `TIMEOUT_S`, fails alone; it is tried once more first.
    """

    def __init__(self, frontend: FrontendConfig, workers: int = 0, *, expected: int = 0) -> None:
        super().__init__()
        self.frontend, self._pool = frontend, None
        self.workers = workers or (min(available_cores(), _MOST_WORKERS) if expected >= _WORTH_WORKERS else 1)

    def map(self, paths: Iterable[str]) -> Iterator[np.ndarray | str]:
        """Yield the features of each file, or in words why there are none, in order."""
        if self.workers == 1:
            yield from (_attempt(path, self.frontend) for path in paths)
            return
        waiting: deque = deque()
        for path in paths:
            waiting.append((path, self._schedule(path)))
            if len(waiting) >= _AHEAD * self.workers:
                yield self._take(*waiting.popleft())
        while waiting:
            yield self._take(*waiting.popleft())

    def _schedule(self, path: str):
        if self._pool is None:
            _transform(self.frontend)  # made once, before the processes fork
            self._pool = self.enter_context(process_pool(self.workers, quiet=True))
        return self._pool.schedule(_work, args=(path, self.frontend), timeout=TIMEOUT_S)

    def _take(self, path: str, future) -> np.ndarray | str:
        result, reason = outcome(future, TIMEOUT_S)
        if reason is not None:
            result, reason = outcome(self._schedule(path), TIMEOUT_S)
        return result if reason is None else f"the file cannot be decoded: {reason}, twice"


def cache_path(cache_dir: str | os.PathLike[str], frontend: FrontendConfig) -> Path:
    """Return where the features of a front end are kept."""
    settings = json.dumps(frontend.to_dict(), sort_keys=True).encode()
    return Path(cache_dir) / f"{hashlib.sha256(settings).hexdigest()[:12]}.features"


class FeatureCache(RowCache):
    """The features that a folder keeps for one front end, float16 `[frames, width]`, by the SHA-256 of the file."""

    def __init__(self, cache_dir: str | os.PathLike[str], frontend: FrontendConfig) -> None:
        super().__init__(cache_path(cache_dir, frontend), frontend.width, "<f2")
        self.frontend = frontend


def build(
    sounds: Mapping[str, tuple[Path, str]], frontend: FrontendConfig, cache_dir: str | os.PathLike[str], *,
    moments_of: Collection[str] | None = None, progress: bool = True, workers: int = 0,
) -> "FeatureStore":  # fmt: skip
    """Return the features of audio files, from `cache_dir` or computed into it.

    Files whose content is known already cost nothing, whatever their names. Those that cannot be used are skipped and
    listed in `failures`. One process computes, others wait for it.

    Args:
        sounds: path and SHA-256 of each file by the clip's id, as `AudioTextDataset.audio_files` gives them.
        moments_of: ids whose values give `mean` and `std`; None takes all.
        workers: processes; 0 takes one for each core, or none beside this one for little work.

    Raises:
        DataError: no file is usable.
        StorageError: the disk is full or forbidden; what is finished is kept.
    """
    paths = {key: str(path) for path, key in sounds.values()}

    def compute(missing: list[str]) -> Found:
        with Extractor(frontend, workers, expected=len(missing)) as extractor:
            yield from zip(missing, extractor.map(paths[key] for key in missing))

    cache = FeatureCache(cache_dir, frontend)
    cache.fill(paths, compute, what="Computing features", progress=progress)
    return FeatureStore(cache, {id: key for id, (_, key) in sounds.items()}, moments_of)


class FeatureStore:
    """The features of clips: a row for each of `ids`, of `lengths` frames (int64 `[rows]`) of `width` values.

    `failures` says by id why clips have none. `mean` and `std` are of all values of the clips that were asked for (of
    all where none of them is usable), in dB for log-mel. `keys` are the SHA-256 of the files.
    """

    def __init__(self, cache: FeatureCache, keys: Mapping[str, str], moments_of: Collection[str] | None) -> None:
        self.data, self.frontend, self.width = cache.data, cache.frontend, cache.frontend.width
        found = {id: cache.rows[key] for id, key in keys.items()}
        self.failures = {id: row.failure for id, row in found.items() if row.failure is not None}
        rows = {id: row for id, row in found.items() if row.failure is None}
        if not rows:
            example = next((f", such as {id}: {reason}" for id, reason in self.failures.items()), "")
            raise DataError(f"none of {len(keys)} audio files is usable{example}")
        self.ids, self.keys = list(rows), [row.key for row in rows.values()]
        self.lengths = np.array([row.length for row in rows.values()], dtype=np.int64)
        self._starts = np.array([row.start for row in rows.values()], dtype=np.int64)
        self._row_of = {id: row for row, id in enumerate(self.ids)}
        chosen = [row for id, row in rows.items() if moments_of is None or id in moments_of] or list(rows.values())
        count = sum(row.length for row in chosen) * self.width
        self.mean = sum(row.total for row in chosen) / count
        self.std = max(sum(row.squares for row in chosen) / count - self.mean**2, 1e-12) ** 0.5

    def __len__(self) -> int:
        return len(self.ids)

    def row_of(self, id: str) -> int:
        """Return the row of a clip; raise `DataError` where it has no features."""
        if id not in self._row_of:
            raise DataError(
                f"there are no features of {short(id)}: {self.failures.get(id, 'it is not in the data set')}"
            )
        return self._row_of[id]

    def row(self, row: int) -> np.ndarray:
        """Return all features, float16 `[frames, width]`, of one row, without copying."""
        return self.data[self._starts[row] : self._starts[row] + self.lengths[row]]

    def crop(self, rows: Sequence[int], starts: Sequence[int], frames: int) -> torch.Tensor:
        """Return windows of features, float32 `[B, frames, width]`.

        `starts [B]` are the first frames of windows in `rows [B]`; a window that passes its clip's end goes on at its
        start. A `ConfigError` refuses rows and starts that are not there, and windows without frames.
        """
        rows, starts = np.asarray(rows, dtype=np.int64), np.asarray(starts, dtype=np.int64)
        if rows.shape != starts.shape or rows.ndim != 1 or frames < 1:
            raise ConfigError(f"cannot crop {frames} frames at starts {starts.shape} of rows {rows.shape}: [B] needed")
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self)):
            raise ConfigError(f"rows {rows.min()} to {rows.max()} asked for: there are rows 0 to {len(self) - 1}")
        lengths = self.lengths[rows]
        if (starts < 0).any() or (starts >= lengths).any():
            raise ConfigError(f"starts {starts.min()} to {starts.max()} asked for: clips have {lengths.min()}+ frames")
        out = np.empty((len(rows), frames, self.width), dtype=np.float16)
        for i, (row, start) in enumerate(zip(rows.tolist(), starts.tolist())):
            out[i] = take(self.row(row).T, start, frames).T
        return torch.from_numpy(out).float()
