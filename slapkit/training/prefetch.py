"""Micro-batches decoded ahead of their step by worker processes.

A clip that cannot be used is replaced by another one, drawn by seed, step and place in the batch, so that a broken file
neither stops a long run nor changes what follows it. It is listed; a collection that is mostly broken stops training.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from slapkit._io import write_guard
from slapkit.audio.features import SilentWindow
from slapkit.audio.windows import random_start
from slapkit.errors import AudioError, DataError
from slapkit.training.batches import BatchSource, TextSource
from slapkit.training.config import TrainConfig
from slapkit.training.streaming import StreamAudio, StreamConfig

logger = logging.getLogger(__name__)
_TRIES = 12  # draws for one place in a batch
_WINDOWS = 3  # windows of one clip that may be silent before another clip takes its place
_LOGGED = 20  # unusable clips that are logged one by one; the list has all

Drawn = tuple[np.ndarray, np.ndarray, list[tuple[str, str]]]


class StreamBatches(BatchSource):
    """Micro-batches of a streamed training set, by step and number; see `BatchSource`.

    Args:
        stream: workers and how far they work ahead.
        local_devices: processes on this machine, which share its CPUs.
        listed: gets a line of JSON for each clip that cannot be used.

    Attributes:
        failures: why, by id, clips could not be used so far.
    """

    def __init__(
        self,
        audio: StreamAudio,
        text: TextSource,
        captions_of: list[np.ndarray],
        config: TrainConfig,
        *,
        stream: StreamConfig,
        rank: int = 0,
        devices: int = 1,
        local_devices: int = 1,
        listed: Path | None = None,
    ) -> None:
        super().__init__(audio, text, captions_of, config, rank=rank, devices=devices)
        self.drawing = Drawing(BatchSource(audio, None, captions_of, config, rank=rank, devices=devices))
        self.stream, self.workers, self.listed = stream, stream.processes(local_devices), listed
        self.failures: dict[str, str] = {}
        self._kept: dict[tuple[int, int], tuple[Tensor, np.ndarray]] = {}
        self._next: tuple[int, int] | None = None
        self._loader: Iterator[Drawn | DataError] = iter(())

    def pairs(self, step: int, k: int) -> tuple[Tensor, np.ndarray]:
        """Return the sound `[micro, frames, width]` and the caption indices `[micro]` of micro-batch k.

        Those of the current step are kept, for a contrastive loss goes over them twice.

        Raises:
            DataError: one place in the batch could not be filled, for nothing that was drawn is usable.
        """
        if (step, k) not in self._kept:
            self._kept = {key: value for key, value in self._kept.items() if key[0] == step}
            if self._next != (step, k):
                self._loader = self._load_from(step, k)
            drawn = next(self._loader)
            if isinstance(drawn, DataError):
                raise drawn
            features, captions, failures = drawn
            self._list(failures)
            self._kept[step, k] = torch.from_numpy(features).float(), captions
            self._next = (step, k + 1) if k + 1 < self.micro_batches else (step + 1, 0)
        return self._kept[step, k]

    def _load_from(self, step: int, k: int) -> Iterator[Drawn | DataError]:
        places = _Places(step, k, max(self.config.steps, step + 1), self.micro_batches)
        # Arrays, not tensors, go through the queue: containers often have little shared memory. A generator of its own
        # keeps the loader from drawing its seed from the one that decides dropout.
        loader = DataLoader(
            self.drawing,
            batch_size=None,
            sampler=places,
            num_workers=self.workers,
            prefetch_factor=self.stream.ahead if self.workers else None,
            collate_fn=_as_it_is,
            worker_init_fn=_begin_worker if self.workers else None,
            generator=torch.Generator(),
        )
        return iter(loader)

    def _list(self, failures: list[tuple[str, str]]) -> None:
        fresh = [(id, reason) for id, reason in dict(failures).items() if id not in self.failures]
        for id, reason in fresh:
            self.failures[id] = reason
            if len(self.failures) <= _LOGGED:
                logger.warning("%s cannot be used, another clip takes its place: %s", id, reason)
        if fresh and self.listed is not None:
            with write_guard(self.listed), open(self.listed, "a", encoding="utf-8") as file:
                file.writelines(json.dumps({"id": id, "reason": r}, ensure_ascii=False) + "\n" for id, r in fresh)


@dataclass(frozen=True)
class _Places:
    """(step, number) of all micro-batches from one on, to the end of training."""

    step: int
    k: int
    steps: int
    micro_batches: int

    def __iter__(self) -> Iterator[tuple[int, int]]:
        for step in range(self.step, self.steps):
            for k in range(self.k if step == self.step else 0, self.micro_batches):
                yield step, k


def _begin_worker(_worker: int) -> None:
    """Set up a decoding process.

    Its stderr is silenced: libmpg123 warns after every seek. It ends with its parent, which it would not notice while
    it waits to hand over a batch.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def _as_it_is(drawn: Drawn | DataError) -> Drawn | DataError:
    return drawn


class Drawing(Dataset):
    """The micro-batches of one process, by (step, number); what a worker process holds."""

    def __init__(self, source: BatchSource) -> None:
        self.source = source

    def __getitem__(self, place: tuple[int, int]) -> Drawn | DataError:
        """Return features, float16 `[micro, frames, width]`, caption indices `[micro]`, and clips that failed."""
        step, k = place
        source, plan = self.source, self.source.plan(step)
        first = source.first + k * source.micro
        windows, captions, failures = [], [], []
        try:
            for slot in range(first, first + source.micro):
                planned = (int(plan["clips"][slot]), int(plan["captions"][slot]), int(plan["starts"][slot]))
                features, caption = self._draw(step, slot, *planned, failures)
                windows.append(features)
                captions.append(caption)
        except DataError as error:  # as a value, for the loader would bury the message in the worker's traceback
            return error
        return np.stack(windows), np.array(captions, dtype=np.int64), failures

    def _draw(
        self, step: int, slot: int, clip: int, caption: int, start: int, failures: list[tuple[str, str]]
    ) -> tuple[np.ndarray, int]:
        """Return the planned window and caption of a place in the batch, or those of the first other draw that can be
        used."""
        source, silent = self.source, 0
        for attempt in range(_TRIES):
            try:
                return source.audio.window_of(clip, start), caption
            except AudioError as error:
                reason = error
            rng = np.random.default_rng([source.config.seed, 3, step, slot, attempt])
            silent = silent + 1 if isinstance(reason, SilentWindow) else _WINDOWS
            if silent >= _WINDOWS:
                failures.append((source.audio.ids[clip], str(reason)))
                clip, silent = int(rng.integers(len(source.captions_of))), 0
                caption = int(rng.choice(source.captions_of[clip]))
            start = int(random_start(source.audio.places(np.array([clip])), 1, rng)[0])
        raise DataError(
            f"{_TRIES} draws in a row gave no sound for step {step + 1}, the last one because {reason}: check the files"
        )
