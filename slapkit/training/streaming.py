"""Training without a feature cache: audio files are decoded when a batch asks for them.

Which clip, caption and window form a pair is the same pure function of seed and step as with cached features.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from slapkit._io import available_cores
from slapkit.audio import features
from slapkit.audio.features import PLACES, FeatureStore
from slapkit.audio.frontend import FrontendConfig
from slapkit.config import Config, require
from slapkit.data.dataset import AudioTextDataset, Clip
from slapkit.data.shards import member
from slapkit.errors import AudioError, DataError
from slapkit.training.batches import AudioSource


@dataclass(frozen=True)
class StreamConfig(Config):
    """How sounds are decoded while a model trains; none of this changes what it trains on.

    `workers` are processes that decode, for each device (None: all CPUs that this process may use, shared among the
    devices of the machine; 0: the training process itself). Each prepares up to `ahead` micro-batches.
    """

    workers: int | None = None
    ahead: int = 4

    def check(self) -> None:
        require(self.workers is None or self.workers >= 0, "workers", self.workers, "0 or more, or None")
        require(self.ahead >= 1, "ahead", self.ahead, "at least 1 micro-batch")

    def processes(self, local_devices: int = 1) -> int:
        """Return how many processes decode for one device out of `local_devices` on this machine."""
        return max(1, available_cores() // max(1, local_devices)) if self.workers is None else self.workers


class StreamStore:
    """The sounds of a data set for training: those of the split "train" are streamed; those of "validation", which are
    few and used again and again, are kept as features in `cache_dir`.

    Attributes:
        ids: clips that can be asked for. Whether a streamed one can be decoded shows when it is.
        mean, std: of the values of one random window of each of up to 256 training clips, in dB for log-mel.
        fingerprint: SHA-256 of names, sizes, captions and splits: files of this many bytes are not read to know them.

    Raises:
        DataError: none of the clips that are tried for `mean` and `std` can be used.
    """

    sample = 256

    def __init__(
        self,
        dataset: AudioTextDataset,
        frontend: FrontendConfig,
        window_frames: int,
        cache_dir: str | Path,
        *,
        progress: bool = True,
    ) -> None:
        self.frontend = frontend
        streamed = [clip for clip in dataset.clips if clip.split == "train"]
        held = dataset.with_clips(clip for clip in dataset.clips if clip.split == "validation")
        self.held = (
            features.build(held.audio_files(progress=progress), frontend, cache_dir, progress=progress)
            if len(held)
            else None
        )
        self._streamed = {clip.id: clip for clip in streamed}
        self.ids = list(self._streamed) + (self.held.ids if self.held else [])
        self.mean, self.std = self._moments(streamed, window_frames, progress) if streamed else (0.0, 1.0)
        self.fingerprint = _fingerprint(dataset)

    def source(self, ids: Sequence[str], window_frames: int) -> AudioSource | StreamAudio:
        """Return the windows of clips: streamed, or out of the features of the validation split."""
        if all(id in self._streamed for id in ids):
            return StreamAudio(self, [self._streamed[id] for id in ids], window_frames)
        return AudioSource(self.held, ids, window_frames)

    def _moments(self, clips: Sequence[Clip], window_frames: int, progress: bool) -> tuple[float, float]:
        from tqdm.auto import tqdm

        rng = np.random.default_rng(0)
        chosen = rng.choice(len(clips), size=min(self.sample, len(clips)), replace=False)
        source, sums, failure = StreamAudio(self, clips, window_frames), np.zeros(3), None
        for clip in tqdm(chosen, "Measuring levels", unit="clip", disable=not progress, delay=1):
            try:
                values = source.window_of(clip, rng.integers(PLACES)).astype(np.float64)
            except AudioError as error:
                failure = error
                continue
            sums += values.size, values.sum(), np.square(values).sum()
        if not sums[0]:
            raise DataError(f"none of {len(chosen)} sounds tried is usable, such as: {failure}") from failure
        mean = sums[1] / sums[0]
        return float(mean), float(max(sums[2] / sums[0] - mean**2, 1e-12) ** 0.5)


class StreamAudio:
    """Windows of clips, decoded when asked for. Places are fractions of a clip in units of 2**-53, for no file is
    opened before its turn."""

    def __init__(self, store: StreamStore, clips: Sequence[Clip], window_frames: int) -> None:
        self.store, self.window, self.hop_s = store, window_frames, store.frontend.hop_s
        self.ids = [clip.id for clip in clips]
        self._paths = [str(clip.path) for clip in clips]

    def __getstate__(self) -> dict:
        # A decoding process needs to know the front end only.
        return self.__dict__ | {"store": _FrontEnd(self.store.frontend)}

    def __len__(self) -> int:
        return len(self.ids)

    def places(self, clips: np.ndarray) -> np.ndarray:
        """Number of places `[B]` where a window of each clip can start."""
        return np.full(len(clips), PLACES, dtype=np.int64)

    def window_of(self, clip: int, place: int) -> np.ndarray:
        """Return a window of features, float16 `[frames, width]`.

        Raises:
            AudioError: the clip cannot be used.
        """
        path, name = self._paths[clip], self.ids[clip]
        try:
            content = member(path)
            source = path if content is None else content
            return features.window(source, self.store.frontend, self.window, place, name=name)
        except AudioError as error:  # lists of failures name clips, not where they lie here
            raise type(error)(str(error).replace(path, name)) from error

    def take(self, clips: np.ndarray, starts: np.ndarray) -> torch.Tensor:
        """Return windows `[B, frames, width]` that begin at the places `starts [B]`; see `window_of`."""
        windows = [self.window_of(clip, start) for clip, start in zip(clips, starts, strict=True)]
        return torch.from_numpy(np.stack(windows)).float()

    def freeze(self, encoder: torch.nn.Module, device: torch.device, *, progress: bool = True) -> None:
        """Keep nothing: what a frozen encoder makes of all sounds has no room either, so it runs in every step."""


@dataclass(frozen=True)
class _FrontEnd:
    frontend: FrontendConfig


def _fingerprint(dataset: AudioTextDataset) -> str:
    digest = hashlib.sha256(b"slapkit stream 1\n")
    for clip in dataset.clips:
        try:
            size = clip.path.stat().st_size
        except OSError:  # inside a shard, or gone, which training finds out
            size = None
        digest.update(json.dumps([clip.id, size, clip.captions, clip.group, clip.split]).encode() + b"\n")
    return digest.hexdigest()


def open_store(
    dataset: AudioTextDataset,
    frontend: FrontendConfig,
    window_frames: int,
    cache_dir: str | Path,
    streaming: StreamConfig | None,
    *,
    progress: bool = True,
) -> FeatureStore | StreamStore:
    """Return the features of all clips, from `cache_dir` or computed into it; or, streaming, what decodes them."""
    if streaming is not None:
        return StreamStore(dataset, frontend, window_frames, cache_dir, progress=progress)
    trained = {clip.id for clip in dataset if clip.split == "train"}
    files = dataset.audio_files(progress=progress)
    return features.build(files, frontend, cache_dir, moments_of=trained, progress=progress)
