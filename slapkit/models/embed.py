"""From audio to the vectors of windows: the one way of inference, evaluation, search and export.

`embed_windows` puts the windows of any features through a model. Features, the same by every way, come from
`read_features` (files and arrays; the first fault raises), from `Embedder` (many files, cached or by worker processes;
faults are named), or from a `FeatureStore`. Results depend neither on the batch size nor on what is in the batch.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slapkit._cores import spread
from slapkit.audio import decode
from slapkit.audio.features import Extractor, FeatureCache, extract
from slapkit.audio.frontend import FrontendConfig
from slapkit.audio.windows import overlapping_starts, tiled_starts
from slapkit.config import require
from slapkit.models.encoders.config import AudioEncoderConfig
from slapkit.models.representations import audio_cache, standardised

Forward = Callable[[Tensor], tuple[Tensor, ...]]
Sound = str | Path | np.ndarray | Mapping[str, Any]  # or a decoder of torchcodec
SOUNDS = 'paths, arrays [T] or [C, T], or {"array": ..., "sampling_rate": ...}'
BATCH = 64  # windows that go through the encoder together
_AT_ONCE = 16  # files that are read before the next go through the encoder
_HEADER_ERRS = 2  # frames more or less than the header says are usual; else what was decoded counts
_MOST_WAVES = 4  # in memory at a time: an hour of music takes 700 MB


@dataclass(frozen=True)
class Embedded:
    """What became of one clip.

    Attributes:
        outputs: float32 `[W, D]` for each output of the model: `(z, q)` by default.
        starts: where its windows begin, int64 `[W]`, in frames.
        frames: length of its features.
        duration_s: length in s of the audio that was decoded.
        failure: why there are no outputs.
    """

    outputs: tuple[np.ndarray, ...] = ()
    starts: np.ndarray | None = None
    frames: int = 0
    duration_s: float = 0.0
    failure: str | None = None


def embed_windows(
    features: Iterable[np.ndarray | Tensor | str], forward: Forward, *, window: int, hop: int | None = None,
    batch_size: int = BATCH,
) -> Iterator[Embedded]:  # fmt: skip
    """Yield what a model makes of the windows that cover each clip, in order.

    Args:
        features: `[frames, width]` of each clip, or in words why it has none.
        forward: takes windows `[B, window, width]`, float32, and returns outputs `[B, D]`, such as z and q.
        window, hop: length of a window, and from one to the next (default: the length), in frames.
    """
    waiting: list[tuple[np.ndarray | Tensor | str, np.ndarray]] = []
    pending = 0
    for item in features:
        starts = np.zeros(0) if isinstance(item, str) else tiled_starts(len(item), window, hop)
        waiting.append((item, starts))
        pending += len(starts)
        if pending >= batch_size:
            yield from _embed(waiting, forward, window, batch_size)
            waiting, pending = [], 0
    yield from _embed(waiting, forward, window, batch_size)


def _embed(
    waiting: Sequence[tuple[np.ndarray | Tensor | str, np.ndarray]], forward: Forward, window: int, batch_size: int
) -> Iterator[Embedded]:
    cuts = [item[start : start + window] for item, starts in waiting for start in starts]
    parts = []
    for first in range(0, len(cuts), batch_size):
        batch = torch.stack([torch.from_numpy(np.array(cut, np.float32)) for cut in cuts[first : first + batch_size]])
        with torch.no_grad():
            parts.append([output.float().cpu().numpy() for output in forward(batch)])
    outputs = [np.concatenate(output) for output in zip(*parts)]
    row = 0
    for item, starts in waiting:
        if isinstance(item, str):
            yield Embedded(failure=item)
        else:
            yield Embedded(tuple(output[row : row + len(starts)] for output in outputs), starts, len(item))
            row += len(starts)


def mean_by_clip(windows: np.ndarray, clips: np.ndarray, count: int) -> np.ndarray:
    """Mean of unit-norm window embeddings `[W, D]` by index of the clip `[W]`, again of unit norm: `[count, D]`."""
    sums = np.zeros((count, windows.shape[1]), dtype=np.float64)
    np.add.at(sums, clips, windows)
    return (sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)).astype(np.float32)


def is_sound(value: Any) -> bool:
    """Say whether a value is one of `SOUNDS`."""
    said = isinstance(value, Mapping) and {"array", "sampling_rate"} <= value.keys()
    return isinstance(value, str | Path | np.ndarray) or said or hasattr(value, "get_all_samples")


def _with_rate(sound: Sound, rate: int | None) -> tuple[str | Path | np.ndarray, int | None]:
    """Return a path, or an array with its own rate where it has one."""
    if isinstance(sound, Mapping):
        return np.asarray(sound["array"]), sound["sampling_rate"]
    if hasattr(sound, "get_all_samples"):
        samples = sound.get_all_samples()
        return np.asarray(samples.data), samples.sample_rate
    return sound, rate


def read_features(
    sounds: Sequence[Sound], frontend: FrontendConfig, *, sample_rate: int | None = None
) -> Iterator[np.ndarray]:
    """Yield the features, float16 `[frames, width]`, of files or arrays; the cores take one each. `AudioError` names an
    input that cannot be used."""

    def read(index: int) -> np.ndarray:
        sound, rate = _with_rate(sounds[index], sample_rate)
        name = f"sounds[{index}]" if isinstance(sound, np.ndarray) else None
        return extract(sound, frontend, sample_rate=rate, name=name)

    for start in range(0, len(sounds), _AT_ONCE):
        yield from spread(read, range(start, min(start + _AT_ONCE, len(sounds))), most=_MOST_WAVES)


class Embedder(Extractor):
    """A model with helper processes and a cache of features, to embed many files; a context manager.

    Args:
        model: gives z and q by its `encode`.
        hop: frames from one window to the next; default: the window's length.
        expected: about how many files there are: a few are done before a helper has started.
        cache_dir: folder with features, and representations of frozen encoders, of earlier work; nothing is written.
        workers: helper processes that decode; 0 chooses.
    """

    def __init__(
        self, model, *, hop: int | None = None, expected: int = 0, cache_dir: Path | None = None, workers: int = 0
    ) -> None:
        super().__init__(model.config.audio.frontend, workers, expected=expected)
        self.model, self.hop = model, hop
        self._cache = FeatureCache(cache_dir, self.frontend) if cache_dir is not None else None
        tower, audio = model.joint.audio, model.config.audio
        self._known = None
        if cache_dir is not None and tower.frozen and hop in (None, audio.window_frames):
            self._known = audio_cache(cache_dir, tower.encoder, audio, model.precision)

    def embed(self, paths: Sequence[Path], hashes: Sequence[str] | None = None) -> Iterator[Embedded]:
        """Yield what became of each file, in order; by the SHA-256 of the files, the cache is searched."""
        durations, hashes = [decode.duration_s(path) for path in paths], hashes or [""] * len(paths)
        window, known = self.model.config.audio.window_frames, [self._from_known(key) for key in hashes]
        rest = [i for i, found in enumerate(known) if found is None]
        features = self._features([paths[i] for i in rest], [hashes[i] for i in rest])
        with contextlib.closing(features):
            embedded = embed_windows(features, lambda x: self.model.encode(x, "audio"), window=window, hop=self.hop)
            for found, length_s in zip(known, durations):
                found = found or next(embedded)
                if not all(np.isfinite(output).all() for output in found.outputs):
                    found = Embedded(failure="the model gives an embedding that is not finite")
                if abs(found.frames - self.frontend.frames(max(length_s, self.frontend.min_s))) > _HEADER_ERRS:
                    length_s = found.frames * self.frontend.hop_s
                yield replace(found, duration_s=length_s)

    def _from_known(self, key: str) -> Embedded | None:
        """Return what the heads make of representations that are known."""
        h = None if self._known is None else self._known.get(key)
        if h is None or key not in self._cache.rows:
            return None
        frames, window = self._cache.rows[key].length, self.model.config.audio.window_frames
        starts = tiled_starts(frames, window)
        h = torch.from_numpy(h[np.searchsorted(overlapping_starts(frames, window), starts)])
        h = standardised(self.model.joint.audio.encoder, h.to(self.model.device))
        return Embedded(tuple(output.numpy() for output in self.model.encode(h, "audio")), starts, frames)

    def _features(self, paths: Sequence[Path], hashes: Sequence[str]) -> Iterator[np.ndarray | str]:
        """Yield the features, float16 `[frames, width]`, of each file, or why there are none."""
        cached = [None if self._cache is None else self._cache.get(key) for key in hashes]
        missing = [str(path) for path, found in zip(paths, cached) if found is None]
        with contextlib.closing(self.map(missing)) as computed:
            for found in cached:
                yield next(computed) if found is None else found


def hop_frames(audio: AudioEncoderConfig, hop_s: float | None) -> int:
    """Return the frames from one window to the next; None is the window's length, which is the most."""
    hop = audio.window_frames if hop_s is None else round(hop_s / audio.frontend.hop_s)
    require(1 <= hop <= audio.window_frames, "hop_s", hop_s, f"more than 0 s, up to the window's {audio.window_s} s")
    return hop
