"""Which pairs make up which step: a pure function of seed and step.

Nothing is drawn from a running generator, so training can stop and continue anywhere, and the same pairs form a step
however they are shared out over micro-batches and devices. A frozen encoder gives the same representation in every
epoch: `slapkit.models.representations` has them.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from slapkit.audio.augment import spec_augment
from slapkit.audio.features import FeatureStore
from slapkit.audio.windows import random_start, tiled_starts
from slapkit.data.dataset import DATA_SET, AudioTextDataset
from slapkit.errors import DataError
from slapkit.models.encoders.text import TextEncoder
from slapkit.models.representations import Representations, represent_captions
from slapkit.training.config import TrainConfig


class AudioSource:
    """The windows of the clips `ids`, of `window_frames` each, out of a feature store."""

    def __init__(self, store: FeatureStore, ids: Sequence[str], window_frames: int) -> None:
        self.store, self.frontend, self.window = store, store.frontend, window_frames
        self.rows = np.array([store.row_of(clip) for clip in ids], dtype=np.int64)
        self.lengths = np.asarray(store.lengths)[self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def places(self, clips: np.ndarray) -> np.ndarray:
        """Number of places `[B]` where a window of each clip can start."""
        return np.maximum(self.lengths[clips] - self.window, 0) + 1

    def take(self, clips: np.ndarray, starts: np.ndarray) -> Tensor:
        """Return windows `[B, frames, n_mels]` (dB) that begin at `starts [B]`."""
        return self.store.crop(self.rows[clips], starts, self.window)

    def tiles(self) -> tuple[np.ndarray, np.ndarray]:
        """Return `clips [W]` and `starts [W]` of the fixed windows that cover every clip, in the order of clips."""
        starts = [tiled_starts(int(n), self.window) for n in self.lengths]
        return np.repeat(np.arange(len(self)), [len(s) for s in starts]), np.concatenate(starts)


class TextSource:
    """Captions as inputs of a text tower: representations of a frozen encoder, or tokens padded to the batch.

    Args:
        frozen: compute representations now, on `device` and in `precision`, unless `cache_dir` has them.
    """

    def __init__(
        self, encoder: TextEncoder, captions: Sequence[str], *, frozen: bool, device: torch.device, cache_dir: Path,
        precision: str = "no", progress: bool = True,
    ) -> None:  # fmt: skip
        self.encoder, self.captions = encoder, list(captions)
        given = {"device": device, "precision": precision, "progress": progress}
        self.table = represent_captions(encoder, self.captions, cache_dir, **given) if frozen else None
        self._tokens = None if frozen else encoder.token_ids(self.captions)

    def __len__(self) -> int:
        return len(self.captions)

    def take(self, captions: np.ndarray, device: torch.device) -> Tensor | dict[str, Tensor]:
        """Return representations `[B, H]`, or tokens, of the captions with these indices."""
        if self.table is not None:
            return self.table[torch.from_numpy(np.asarray(captions))].to(device, non_blocking=True)
        padded = self.encoder.pad([self._tokens[i] for i in captions])
        return {name: value.to(device, non_blocking=True) for name, value in padded.items()}


class Pairs(NamedTuple):
    """Windows `[B, ...]` and caption indices `[B]`, and those of the target towers where they differ."""

    audio: Tensor
    captions: np.ndarray
    target_audio: Tensor | None = None
    target_captions: np.ndarray | None = None


def shares(config: TrainConfig, devices: int) -> tuple[int, int]:
    """Return the pairs of each device, and of each micro-batch; `DataError` where the batch cannot be so divided."""
    share, left = divmod(config.batch_size, devices)
    micro = min(config.micro_batch or share, share)
    if left or share % micro:
        raise DataError(
            f"batch_size={config.batch_size} on {devices} device(s) cannot be cut into micro-batches of {micro}: "
            f"make it a multiple of {devices * micro}"
        )
    return share, micro


def fitted(config: TrainConfig, clips: int, devices: int) -> TrainConfig:
    """Return the configuration with the largest batch that so many clips fill, and warn where it is smaller."""
    if clips >= config.batch_size:
        return config
    share = clips // devices
    micro = min(config.micro_batch or share, share)
    size = devices * (share // micro * micro) if micro else 0
    if size < 2:
        raise DataError(
            f"the training split has {clips} clips for {devices} device(s): at least 2, and 1 for each, needed"
        )
    warnings.warn(
        f"the training split has {clips} clips: batch_size={config.batch_size} is lowered to {size}", stacklevel=2
    )
    return config.replace(batch_size=size, micro_batch=config.micro_batch and micro)


class Stratum(NamedTuple):
    """Clips, by index, of which every batch has `quota`."""

    clips: np.ndarray
    quota: int


def strata_of(training: AudioTextDataset, batch_size: int) -> list[Stratum] | None:
    """Return how joined data sets share a batch, in whole clips by largest remainders; None where they do not. Raise
    `DataError` for a share that gives a data set no place, or more places than it has clips."""
    if not training.shares:
        return None
    exact = {name: share * batch_size for name, share in training.shares.items()}
    quotas = {name: int(places) for name, places in exact.items()}
    for name in sorted(exact, key=lambda name: quotas[name] - exact[name])[: batch_size - sum(quotas.values())]:
        quotas[name] += 1
    strata = []
    for name, quota in quotas.items():
        clips = np.array([i for i, clip in enumerate(training) if clip.facts.get(DATA_SET) == name], dtype=np.int64)
        if not 0 < quota <= len(clips):
            raise DataError(
                f"{name} has {len(clips):,} clips for training, and its share of {training.shares[name]:.2g} takes "
                f"{quota} of a batch of {batch_size}: shares must take at least 1 and at most as many as there are"
            )
        strata.append(Stratum(clips, quota))
    return strata


class BatchSource:
    """Micro-batches of a training set by step and number.

    Args:
        clip_of_caption: index of each caption's clip `[M]`, in ascending order.
        strata: parts of the clips with their places in every batch; default: all clips and all places.
        rank, devices: this process's place among all.

    Raises:
        DataError: the batch cannot be divided as asked.
    """

    def __init__(
        self, audio: AudioSource | Representations, text: TextSource, clip_of_caption: np.ndarray,
        config: TrainConfig, *, strata: Sequence[Stratum] | None = None, rank: int = 0, devices: int = 1,
    ) -> None:  # fmt: skip
        self.audio, self.text, self.config = audio, text, config
        self.counts = np.bincount(clip_of_caption, minlength=len(audio))  # captions of each clip
        self.first_captions = np.cumsum(self.counts) - self.counts
        share, micro = shares(config, devices)
        self.micro, self.micro_batches, self.first, self.rank = micro, share // micro, rank * share, rank
        self.views = config.objective == "slap" and (config.text_views or config.window_views)
        self._planned: tuple[int, dict] | None = None
        self.strata = strata or [Stratum(np.arange(len(audio)), config.batch_size)]
        self._stratum = np.zeros(len(audio), dtype=np.int64)  # of each clip
        for number, stratum in enumerate(self.strata):
            self._stratum[stratum.clips] = number
        self._orders: dict[int, tuple[int, np.ndarray]] = {}  # of each stratum: the last epoch's number and order

    def plan(self, step: int) -> dict[str, np.ndarray]:
        """Return `clips`, `captions` and `starts`, each `[batch_size]`, of a step: every clip once an epoch (of its
        stratum), with a random caption and window. With views, `target_captions` and `target_starts` are those of the
        target towers."""
        if self._planned and self._planned[0] == step:
            return self._planned[1]
        seed = self.config.seed
        clips = np.concatenate([self._turn(number, step) for number in range(len(self.strata))])
        if len(self.strata) > 1:  # micro-batches and devices take parts of a batch: each of all strata
            clips = np.random.default_rng([seed, 5, step]).permutation(clips)
        plan = {"clips": clips} | self.draw(clips, np.random.default_rng([seed, 1, step]))
        # Numbers of their own: context towers see the same pairs with and without views.
        plan |= self.draw_targets(plan, np.random.default_rng([seed, 4, step]))
        self._planned = (step, plan)
        return plan

    def _turn(self, number: int, step: int) -> np.ndarray:
        """Return the clips of a stratum whose turn a step is."""
        clips, quota = self.strata[number]
        epoch, place = divmod(step, len(clips) // quota)  # a clip never meets itself within a batch
        if self._orders.get(number, (None,))[0] != epoch:
            rng = np.random.default_rng([self.config.seed, 0, epoch, *([number] if number else [])])
            self._orders[number] = (epoch, rng.permutation(clips))
        return self._orders[number][1][place * quota : (place + 1) * quota]

    def another(self, clip: int, rng: np.random.Generator) -> np.ndarray:
        """Return a random clip `[1]` of the same stratum."""
        clips = self.strata[self._stratum[clip]].clips
        return clips[rng.integers(len(clips), size=1)]

    def draw(self, clips: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return a random caption, and the start of a random window, of each of `clips [B]`."""
        captions = self.first_captions[clips] + rng.integers(0, self.counts[clips])
        return {"captions": captions, "starts": random_start(self.audio.places(clips), 1, rng)}

    def draw_targets(self, drawn: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return another random caption and window of the same clips, those drawn where a clip has no other."""
        targets, clips = {}, drawn["clips"]
        if not self.views:
            return targets
        for_text, for_window = rng.random((2, len(clips)))
        if self.config.text_views:
            first = self.first_captions[clips]
            targets["target_captions"] = first + _another(drawn["captions"] - first, self.counts[clips], for_text)
        if self.config.window_views:
            targets["target_starts"] = _another(drawn["starts"], self.audio.places(clips), for_window)
        return targets

    def pairs(self, step: int, k: int) -> Pairs:
        """Return the pairs of micro-batch k."""
        plan, rows = self.plan(step), slice(self.first + k * self.micro, self.first + (k + 1) * self.micro)
        part = {name: values[rows] for name, values in plan.items()}
        audio, target = self.audio.take(part["clips"], part["starts"]), None
        if "target_starts" in part:
            target = self.audio.take(part["clips"], part["target_starts"])
        return Pairs(audio, part["captions"], target, part.get("target_captions"))

    def micro_batch(self, step: int, k: int, device: torch.device) -> dict[str, Tensor | dict[str, Tensor]]:
        """Return the inputs of micro-batch k, and set torch's seed so that augmentation and dropout repeat when it is
        asked for again."""
        seed = int(np.random.SeedSequence([self.config.seed, 2, step, self.rank, k]).generate_state(1)[0])
        # On a CPU, `torch.manual_seed` would note for GPUs, with a stack trace, what nobody asks for.
        (torch.default_generator if device.type == "cpu" else torch).manual_seed(seed)
        pairs = self.pairs(step, k)
        audio = pairs.audio.to(device, non_blocking=True)
        target = audio if pairs.target_audio is None else pairs.target_audio.to(device, non_blocking=True)
        batch = {"audio": audio, "target_audio": target, "text": self.text.take(pairs.captions, device)}
        if pairs.target_captions is not None:
            batch["target_text"] = self.text.take(pairs.target_captions, device)
        if audio.dim() == 3 and self.config.masks:
            frontend = self.audio.frontend
            width = frontend.n_mels if frontend.pitches else frontend.width  # pitches stay: they are no dB
            masked = spec_augment(
                audio[..., :width],
                time_mask=round(self.config.time_mask_s / frontend.hop_s),
                freq_mask=self.config.freq_mask if frontend.kind == "log-mel" else 0,  # waves have no bands
                masks=self.config.masks,
            )
            batch["audio"] = torch.cat([masked, audio[..., width:]], dim=2) if frontend.pitches else masked
        return batch


def _another(own: np.ndarray, count: np.ndarray, draw: np.ndarray) -> np.ndarray:
    """Return a number `[B]` below `count [B]` other than `own [B]`, by `draw [B]` in [0, 1); 0 where there is one."""
    return (own + 1 + (draw * (count - 1)).astype(np.int64)) % count
