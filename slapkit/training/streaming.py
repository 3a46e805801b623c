"""Training without a feature cache: worker processes decode audio files ahead of their step.

Which clip, caption and window form a pair is the same pure function of seed and step as with cached features. A clip
that cannot be used is replaced by another one, drawn by seed, step and place in the batch, so that a broken file
neither stops a long run nor changes what follows it. It is listed; a collection that is mostly broken stops training.
"""

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from slapkit._cores import available_cores
from slapkit._io import size_and_time, write_guard
from slapkit._pool import start_worker
from slapkit.audio import features
from slapkit.audio.features import PLACES, FeatureStore, SilentWindow
from slapkit.audio.frontend import FrontendConfig
from slapkit.audio.windows import random_start
from slapkit.config import require
from slapkit.data.dataset import AudioTextDataset, Clip
from slapkit.errors import AudioError, DataError
from slapkit.training.batches import AudioSource, BatchSource, Pairs, TextSource
from slapkit.training.config import TrainConfig

logger = logging.getLogger(__name__)
_SAMPLE = 256  # training clips whose windows give mean and std
_AHEAD = 4  # micro-batches that a worker prepares
_TRIES = 12  # draws for one place in a batch
_WINDOWS = 3  # windows of one clip that may be silent before another clip takes its place
_LOGGED = 20  # unusable clips that are logged one by one; the list has all

Drawn = tuple[list[np.ndarray | None], dict[str, str]]  # the values of `Pairs`, and why clips failed


class StreamStore:
    """The sounds of a data set: the split "train" is streamed; "validation", which is small and used again and again,
    is kept as features in `cache_dir`.

    Attributes:
        ids: clips that can be asked for. Whether a streamed one can be decoded shows when it is.
        windows: one random window of each of up to 256 training clips, `[W, frames, width]`.
        mean, std: of their values, in dB for log-mel.
        fingerprint: SHA-256 of names, sizes, captions and splits: terabytes of files are not read to know them.

    Raises:
        DataError: none of the clips that are tried for `mean` and `std` can be used.
    """

    def __init__(
        self, dataset: AudioTextDataset, frontend: FrontendConfig, window_frames: int, cache_dir: str | Path, *,
        progress: bool = True,
    ) -> None:  # fmt: skip
        self.frontend, self.held = frontend, None
        held = dataset.with_clips(clip for clip in dataset.clips if clip.split == "validation")
        if len(held):
            self.held = features.build(held.audio_files(progress=progress), frontend, cache_dir, progress=progress)
        self._streamed = {clip.id: clip for clip in dataset.clips if clip.split == "train"}
        self.ids = list(self._streamed) + (self.held.ids if self.held else [])
        self.windows = self._sample(window_frames, progress)
        std, mean = torch.std_mean(self.windows.double(), correction=0)
        self.mean, self.std = mean.item(), std.item()
        self.fingerprint = _fingerprint(dataset)

    def source(self, ids: Sequence[str], window_frames: int) -> "AudioSource | StreamAudio":
        """Return the windows of clips: streamed, or out of the features of the validation split."""
        if all(id in self._streamed for id in ids):
            return StreamAudio(self.frontend, [self._streamed[id] for id in ids], window_frames)
        return AudioSource(self.held, ids, window_frames)

    def _sample(self, window_frames: int, progress: bool) -> Tensor:
        rng, windows, failure = np.random.default_rng(0), [], None
        source = StreamAudio(self.frontend, list(self._streamed.values()), window_frames)
        chosen = rng.choice(len(source), size=min(_SAMPLE, len(source)), replace=False)
        for clip in tqdm(chosen, "Measuring levels", unit="clip", disable=not progress, delay=1):
            try:
                windows.append(source.window_of(clip, rng.integers(PLACES)))
            except AudioError as error:
                failure = error
        if not windows:
            raise DataError(f"none of {len(chosen)} sounds tried is usable, such as: {failure}") from failure
        return torch.from_numpy(np.stack(windows)).float()


def _fingerprint(dataset: AudioTextDataset) -> str:
    digest = hashlib.sha256(b"slapkit stream 1\n")
    for clip in dataset.clips:
        try:
            size, _ = size_and_time(clip.path)
        except OSError:  # gone, which training finds out
            size = None
        digest.update(json.dumps([clip.id, size, clip.captions, clip.group, clip.split]).encode() + b"\n")
    if dataset.shares:
        digest.update(json.dumps(dataset.shares, sort_keys=True).encode())
    return digest.hexdigest()


class StreamAudio:
    """Windows of clips, decoded when asked for. Places are fractions of a clip in units of 2**-53, since no file is
    opened before its turn."""

    def __init__(self, frontend: FrontendConfig, clips: Sequence[Clip], window_frames: int) -> None:
        self.frontend, self.window = frontend, window_frames
        self.ids = [clip.id for clip in clips]
        self._paths = [str(clip.path) for clip in clips]

    def __len__(self) -> int:
        return len(self.ids)

    def places(self, clips: np.ndarray) -> np.ndarray:
        """Number of places `[B]` where a window of each clip can start."""
        return np.full(len(clips), PLACES, dtype=np.int64)

    def window_of(self, clip: int, place: int) -> np.ndarray:
        """Return a window of features, float16 `[frames, width]`; raise `AudioError` where the clip cannot be used."""
        path, name = self._paths[clip], self.ids[clip]
        try:
            return features.window(path, self.frontend, self.window, place, name=name)
        except AudioError as error:  # lists of failures name clips, not where they lie here
            raise type(error)(str(error).replace(path, name)) from error


class StreamBatches(BatchSource):
    """Micro-batches of a streamed training set, by step and number; see `BatchSource`.

    Args:
        workers: processes that decode (None: the CPUs, shared among the devices of the machine; 0: this process).
        listed: gets a line of JSON for each clip that cannot be used.
        devices, place: as in `BatchSource`.

    Attributes:
        failures: why, by id, clips could not be used so far.
    """

    def __init__(
        self, audio: StreamAudio, text: TextSource | None, clip_of_caption: np.ndarray, config: TrainConfig, *,
        workers: int | None = None, devices: int = 1, listed: Path | None = None, **place: Any,
    ) -> None:  # fmt: skip
        super().__init__(audio, text, clip_of_caption, config, devices=devices, **place)
        require(workers is None or workers >= 0, "workers", workers, "0 or more, or None")
        if workers is None:
            workers = max(1, available_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", devices)))
        self.drawing = Drawing(BatchSource(audio, None, clip_of_caption, config, devices=devices, **place))
        self.workers, self.listed = workers, listed
        self.failures: dict[str, str] = {}
        self._kept: dict[tuple[int, int], Pairs] = {}
        self._next: tuple[int, int] | None = None
        self._loader: Iterator[Drawn | DataError] = iter(())

    def pairs(self, step: int, k: int) -> Pairs:
        """Return the pairs of micro-batch k; raise `DataError` where nothing that was drawn for a place in it is
        usable.

        Those of the current step are kept, since a contrastive loss goes over them twice.
        """
        if (step, k) not in self._kept:
            self._kept = {key: value for key, value in self._kept.items() if key[0] == step}
            if self._next != (step, k):
                self._loader = self._load_from(step, k)
            drawn = next(self._loader)
            if isinstance(drawn, DataError):
                raise drawn
            (audio, captions, target, others), failures = drawn
            self._list(failures)
            target = None if target is None else torch.from_numpy(target).float()
            self._kept[step, k] = Pairs(torch.from_numpy(audio).float(), captions, target, others)
            self._next = (step, k + 1) if k + 1 < self.micro_batches else (step + 1, 0)
        return self._kept[step, k]

    def _load_from(self, step: int, k: int) -> Iterator[Drawn | DataError]:
        # Arrays, not tensors, go through the queue: containers often have little shared memory. A generator of its own
        # keeps the loader from drawing its seed from the one that decides dropout.
        steps = range(step, max(self.config.steps, step + 1))
        loader = DataLoader(
            self.drawing,
            batch_size=None,
            sampler=islice(product(steps, range(self.micro_batches)), k, None),
            num_workers=self.workers,
            prefetch_factor=_AHEAD if self.workers else None,
            collate_fn=_as_it_is,
            worker_init_fn=_begin_worker if self.workers else None,
            generator=torch.Generator(),
        )
        return iter(loader)

    def _list(self, failures: dict[str, str]) -> None:
        fresh = {id: reason for id, reason in failures.items() if id not in self.failures}
        for id, reason in fresh.items():
            self.failures[id] = reason
            if len(self.failures) <= _LOGGED:
                logger.warning("%s cannot be used, another clip takes its place: %s", id, reason)
        if fresh and self.listed is not None:
            with write_guard(self.listed), open(self.listed, "a", encoding="utf-8") as file:
                file.writelines(
                    json.dumps({"id": id, "reason": r}, ensure_ascii=False) + "\n" for id, r in fresh.items()
                )


def _begin_worker(_worker: int) -> None:
    """Let a worker end with its parent, whose end it would not notice while it waits to hand over a batch; and silence
    it, since libmpg123 warns after every seek."""
    start_worker(os.getppid(), quiet=True)


def _as_it_is(drawn: Drawn | DataError) -> Drawn | DataError:
    return drawn


class Drawing(Dataset):
    """The micro-batches of one process, by (step, number); what a worker process holds."""

    def __init__(self, source: BatchSource) -> None:
        self.source = source

    def __getitem__(self, place: tuple[int, int]) -> Drawn | DataError:
        """Return the pairs of a micro-batch, windows as float16 `[micro, frames, width]`, and why clips failed."""
        (step, k), source = place, self.source
        plan, first = source.plan(step), source.first + k * source.micro
        failures: dict[str, str] = {}
        try:
            drawn = [self._draw(step, slot, plan, failures) for slot in range(first, first + source.micro)]
        except DataError as error:  # as a value, since the loader would bury the message in the worker's traceback
            return error
        return [None if column[0] is None else np.stack(column) for column in zip(*drawn)], failures

    def _draw(self, step: int, slot: int, plan: dict[str, np.ndarray], failures: dict[str, str]) -> tuple:
        """Return the planned values of `Pairs` for a place in the batch, or those of the first usable other draw."""
        source, silent = self.source, 0
        drawn = {name: values[slot : slot + 1] for name, values in plan.items()}
        for attempt in range(_TRIES):
            clip, start = int(drawn["clips"][0]), int(drawn["starts"][0])
            try:
                window = source.audio.window_of(clip, start)
                return window, drawn["captions"][0], *self._targets(clip, window, drawn)
            except AudioError as error:
                reason = error
            rng = np.random.default_rng([source.config.seed, 3, step, slot, attempt])
            silent = silent + 1 if isinstance(reason, SilentWindow) else _WINDOWS
            if silent >= _WINDOWS:
                failures[source.audio.ids[clip]] = str(reason)
                silent, drawn = 0, {"clips": source.another(clip, rng)}
                drawn |= source.draw(drawn["clips"], rng)
            else:
                drawn = drawn | {"starts": random_start(source.audio.places(drawn["clips"]), 1, rng)}
            drawn |= source.draw_targets(drawn, rng)
        raise DataError(
            f"{_TRIES} draws in a row gave no sound for step {step + 1}, the last one because {reason}: check the files"
        )

    def _targets(
        self, clip: int, window: np.ndarray, drawn: dict[str, np.ndarray]
    ) -> tuple[np.ndarray | None, np.int64 | None]:
        """Return window and caption of the target towers; a window that cannot be used gives way to the context's."""
        caption = drawn["target_captions"][0] if "target_captions" in drawn else None
        if "target_starts" not in drawn:
            return None, caption
        try:
            return self.source.audio.window_of(clip, int(drawn["target_starts"][0])), caption
        except AudioError:
            return window, caption


def open_store(
    dataset: AudioTextDataset, frontend: FrontendConfig, window_frames: int, cache_dir: str | Path, *, streaming: bool,
    progress: bool = True,
) -> FeatureStore | StreamStore:  # fmt: skip
    """Return the features of all clips, from `cache_dir` or computed into it; or, streaming, what decodes them."""
    if streaming:
        return StreamStore(dataset, frontend, window_frames, cache_dir, progress=progress)
    trained = {clip.id for clip in dataset if clip.split == "train"}
    files = dataset.audio_files(progress=progress)
    return features.build(files, frontend, cache_dir, moments_of=trained, progress=progress)
