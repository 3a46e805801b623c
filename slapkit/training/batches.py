"""Which pairs make up which step: a pure function of seed and step.

Nothing is drawn from a running generator, so training can stop and continue anywhere, and the same pairs form a step
however they are shared out over micro-batches and devices.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from slapkit.audio.augment import spec_augment
from slapkit.audio.windows import random_start
from slapkit.errors import DataError
from slapkit.models.inputs import AudioSource, TextSource
from slapkit.training.config import TrainConfig


class BatchSource:
    """Micro-batches of a training set by step and number.

    Args:
        audio: the clips' sound, one row a clip.
        text: all captions.
        captions_of: for every clip, the numbers of its captions.
        rank, devices: this process's place among all.
    """

    def __init__(
        self,
        audio: AudioSource,
        text: TextSource,
        captions_of: list[np.ndarray],
        config: TrainConfig,
        *,
        rank: int = 0,
        devices: int = 1,
    ) -> None:
        self.audio, self.text, self.captions_of, self.config = audio, text, captions_of, config
        share, left = divmod(config.batch_size, devices)
        micro = min(config.micro_batch or share, share)
        if left or share % micro:
            raise DataError(
                f"batch_size={config.batch_size} on {devices} device(s) cannot be cut into micro-batches of {micro}: "
                f"make it a multiple of {devices * micro}"
            )
        if len(captions_of) < config.batch_size:
            raise DataError(
                f"the training split has {len(captions_of)} clips, fewer than batch_size={config.batch_size}: take a "
                "smaller batch or more data"
            )
        self.micro, self.micro_batches, self.first, self.rank = micro, share // micro, rank * share, rank
        self._planned: tuple[int, dict] | None = None
        self._order: tuple[int, np.ndarray] | None = None  # the last epoch's number and order of clips

    def plan(self, step: int) -> dict[str, np.ndarray]:
        """Return `clips`, `captions` and `starts`, each `[batch_size]`, of a step: every clip once an epoch, with a
        random caption and window."""
        if self._planned and self._planned[0] == step:
            return self._planned[1]
        per_epoch = len(self.captions_of) // self.config.batch_size  # a clip never meets itself within a batch
        epoch, place = divmod(step, per_epoch)
        if self._order is None or self._order[0] != epoch:
            shuffled = np.random.default_rng([self.config.seed, 0, epoch]).permutation(len(self.captions_of))
            self._order = (epoch, shuffled)
        clips = self._order[1][place * self.config.batch_size : (place + 1) * self.config.batch_size]
        rng = np.random.default_rng([self.config.seed, 1, step])
        captions = np.array([rng.choice(self.captions_of[clip]) for clip in clips])
        starts = random_start(self.audio.places(clips), 1, rng)
        self._planned = (step, {"clips": clips, "captions": captions, "starts": starts})
        return self._planned[1]

    def pairs(self, step: int, k: int) -> tuple[Tensor, np.ndarray]:
        """Return the sound `[micro, ...]` and the numbers of the captions `[micro]` of micro-batch k."""
        plan = self.plan(step)
        rows = slice(self.first + k * self.micro, self.first + (k + 1) * self.micro)
        return self.audio.take(plan["clips"][rows], plan["starts"][rows]), plan["captions"][rows]

    def micro_batch(self, step: int, k: int, device: torch.device) -> dict[str, Tensor | dict[str, Tensor]]:
        """Return the inputs of micro-batch k, and set torch's seed so that augmentation and dropout repeat when it is
        asked for again."""
        torch.manual_seed(int(np.random.SeedSequence([self.config.seed, 2, step, self.rank, k]).generate_state(1)[0]))
        heard, captions = self.pairs(step, k)
        heard = heard.to(device, non_blocking=True)
        batch = {"audio": heard, "target_audio": heard, "text": self.text.take(captions, device)}
        if heard.dim() == 3 and self.config.masks:
            batch["audio"] = spec_augment(
                heard,
                time_mask=round(self.config.time_mask_s / self.audio.hop_s),
                freq_mask=self.config.freq_mask if self.audio.store.frontend.kind == "log-mel" else 0,  # no bands
                masks=self.config.masks,
            )
        return batch
