"""Which pairs make up which step: a pure function of seed and step.

Nothing is drawn from a running generator, so training can stop and continue anywhere, and the same pairs form a step
however they are shared out over micro-batches and devices.

A frozen encoder gives the same representation in every epoch, so it runs once over the data; text representations are
kept on disk too, keyed by the encoder's weights and the captions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from slapkit._io import atomic_path
from slapkit.audio.augment import spec_augment
from slapkit.audio.features import FeatureStore
from slapkit.audio.windows import random_start, tiled_starts
from slapkit.errors import DataError
from slapkit.models.encoders.text import TextEncoder
from slapkit.training.config import TrainConfig


class AudioSource:
    """The windows of a set of clips, out of a feature store.

    Args:
        store: log-mel features.
        ids: the clips, by their identifiers in the store.
        window_frames: length of a window.
    """

    def __init__(self, store: FeatureStore, ids: Sequence[str], window_frames: int) -> None:
        row_of = {clip: row for row, clip in enumerate(store.ids)}
        if missing := [clip for clip in ids if clip not in row_of]:
            raise DataError(
                f"{len(missing)} clips have no features, the first is {missing[0]!r}: build the features of this "
                "data set again"
            )
        self.store, self.window = store, window_frames
        self.rows = np.array([row_of[clip] for clip in ids], dtype=np.int64)
        self.lengths = np.asarray(store.lengths)[self.rows]
        self.hop_s = store.frontend.hop_s
        self._frozen: tuple[Tensor, np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def places(self, clips: np.ndarray) -> np.ndarray:
        """Number of places `[B]` where a window of each clip can start."""
        if self._frozen:
            return np.diff(self._frozen[1])[clips]
        return np.maximum(self.lengths[clips] - self.window, 0) + 1

    def take(self, clips: np.ndarray, starts: np.ndarray) -> Tensor:
        """Return windows `[B, frames, n_mels]` (dB) that begin at `starts [B]`, or representations `[B, H]` once
        frozen."""
        if self._frozen:
            return self._frozen[0][self._frozen[1][clips] + starts]
        return self.store.crop(self.rows[clips], starts, self.window)

    def tiles(self) -> tuple[np.ndarray, np.ndarray]:
        """Return `clips` and `starts`, each `[W]`, of the fixed windows that cover every clip, in the order of
        clips."""
        if self._frozen:
            counts = np.diff(self._frozen[1])
            return np.repeat(np.arange(len(self)), counts), np.concatenate([np.arange(n) for n in counts])
        starts = [tiled_starts(int(n), self.window) for n in self.lengths]
        return np.repeat(np.arange(len(self)), [len(s) for s in starts]), np.concatenate(starts)

    @torch.no_grad()
    def freeze(
        self, encoder: torch.nn.Module, device: torch.device, *, progress: bool = True, batch_size: int = 64
    ) -> None:
        """Replace features by the representations that a frozen `encoder` has of the fixed windows of every clip."""
        clips, starts = self.tiles()
        parts = [
            encoder(self.take(clips[i : i + batch_size], starts[i : i + batch_size]).to(device)).cpu()
            for i in tqdm(
                range(0, len(clips), batch_size), desc="audio, once", unit="batch", disable=not progress, leave=False
            )
        ]
        self._frozen = torch.cat(parts), np.concatenate([[0], np.cumsum(np.bincount(clips, minlength=len(self)))])


class TextSource:
    """Captions as inputs of a text tower: representations of a frozen encoder, or tokens padded to the batch.

    Args:
        encoder: the text encoder.
        captions: all captions.
        frozen: compute representations now, on `device`; `cache_dir` keeps them for the next run.
    """

    def __init__(
        self,
        encoder: TextEncoder,
        captions: Sequence[str],
        *,
        frozen: bool,
        device: torch.device,
        cache_dir: Path | None = None,
        progress: bool = True,
    ) -> None:
        self.encoder, self.captions, self._tokens = encoder, list(captions), None
        self.table = (
            represent_captions(encoder, self.captions, device=device, cache_dir=cache_dir, progress=progress)
            if frozen
            else None
        )
        if not frozen:
            self._tokens = encoder.token_ids(self.captions)

    def __len__(self) -> int:
        return len(self.captions)

    def take(self, captions: np.ndarray, device: torch.device) -> Tensor | dict[str, Tensor]:
        """Return representations `[B, H]`, or tokens, of the captions with these indices."""
        if self.table is not None:
            return self.table[torch.from_numpy(np.asarray(captions))].to(device, non_blocking=True)
        padded = self.encoder.pad([self._tokens[i] for i in captions])
        return {name: value.to(device, non_blocking=True) for name, value in padded.items()}


@torch.no_grad()
def represent_captions(
    encoder: TextEncoder,
    captions: Sequence[str],
    *,
    device: torch.device,
    cache_dir: Path | None = None,
    progress: bool = True,
    batch_size: int = 64,
) -> Tensor:
    """Representations `[M, H]` of a frozen encoder, float32 on the CPU, by length so that little is padded."""
    from safetensors.torch import load_file, save_file

    unique, where = np.unique(np.array(captions, dtype=object), return_inverse=True)
    path = None
    if cache_dir is not None:
        settings = f"{encoder.fingerprint()} {encoder.pooling} {encoder.max_tokens}"
        key = hashlib.sha256("\0".join([settings, *unique]).encode()).hexdigest()[:24]
        path = Path(cache_dir) / f"text-{key}.safetensors"
        if path.is_file():
            return load_file(path)["h"][torch.from_numpy(where)]
    table = torch.empty(len(unique), encoder.dim)
    was_training = encoder.training
    encoder.eval()
    bar = tqdm(
        total=len(unique), desc="captions, once", unit="caption", disable=not progress or len(unique) < 500, leave=False
    )
    for rows, tokens in encoder.batches(unique.tolist(), batch_size):
        out = encoder({name: value.to(device) for name, value in tokens.items()})
        table[torch.from_numpy(rows)] = out.float().cpu()
        bar.update(len(rows))
    bar.close()
    encoder.train(was_training)
    if path is not None:
        with atomic_path(path, needed=table.nbytes) as temporary:
            save_file({"h": table}, temporary)
    return table[torch.from_numpy(where)]


class BatchSource:
    """Micro-batches of a training set by step and number.

    Args:
        audio: the clips' sound, one row a clip.
        text: all captions.
        captions_of: for each clip, the indices of its captions.
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
        """Return the sound `[micro, ...]` and the caption indices `[micro]` of micro-batch k."""
        plan = self.plan(step)
        rows = slice(self.first + k * self.micro, self.first + (k + 1) * self.micro)
        return self.audio.take(plan["clips"][rows], plan["starts"][rows]), plan["captions"][rows]

    def micro_batch(self, step: int, k: int, device: torch.device) -> dict[str, Tensor | dict[str, Tensor]]:
        """Return the inputs of micro-batch k, and set torch's seed so that augmentation and dropout repeat when it is
        asked for again."""
        torch.manual_seed(int(np.random.SeedSequence([self.config.seed, 2, step, self.rank, k]).generate_state(1)[0]))
        audio, captions = self.pairs(step, k)
        audio = audio.to(device, non_blocking=True)
        batch = {"audio": audio, "target_audio": audio, "text": self.text.take(captions, device)}
        if audio.dim() == 3 and self.config.masks:
            batch["audio"] = spec_augment(
                audio,
                time_mask=round(self.config.time_mask_s / self.audio.hop_s),
                freq_mask=self.config.freq_mask if self.audio.store.frontend.kind == "log-mel" else 0,  # no bands
                masks=self.config.masks,
            )
        return batch
