"""What goes into the projectors: sound and captions as towers take them, and what frozen encoders make of them, once.

A frozen encoder gives the same representation in every epoch, so it runs once over the data; text representations are
also kept on disk, keyed by the encoder's weights and the captions, for the next run to find.
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
from slapkit.audio.features import FeatureStore
from slapkit.audio.windows import tiled_starts
from slapkit.errors import DataError
from slapkit.models.embed import mean_by_clip
from slapkit.models.encoders.text import TextEncoder
from slapkit.models.joint import JointModel


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
        """Replace sound by what a frozen `encoder` makes of the fixed windows of every clip."""
        clips, starts = self.tiles()
        parts = [
            encoder(self.take(clips[i : i + batch_size], starts[i : i + batch_size]).to(device)).cpu()
            for i in tqdm(
                range(0, len(clips), batch_size), desc="audio, once", unit="batch", disable=not progress, leave=False
            )
        ]
        self._frozen = torch.cat(parts), np.concatenate([[0], np.cumsum(np.bincount(clips, minlength=len(self)))])


class TextSource:
    """Captions as a text tower takes them: representations of a frozen encoder, or tokens padded to the batch.

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
        """Return representations `[B, H]`, or tokens, of the captions with these numbers."""
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


@torch.no_grad()
def embed_audio_source(
    model: JointModel, source: AudioSource, device: torch.device, *, batch_size: int = 64
) -> tuple[np.ndarray, np.ndarray]:
    """Projections z and predictions q of all clips, float32 `[N, D]` of unit norm: the mean over each clip's fixed
    windows."""
    clips, starts = source.tiles()
    z, q = _embed(
        model,
        "audio",
        (
            source.take(clips[i : i + batch_size], starts[i : i + batch_size]).to(device)
            for i in range(0, len(clips), batch_size)
        ),
    )
    return mean_by_clip(z, clips, len(source)), mean_by_clip(q, clips, len(source))


@torch.no_grad()
def embed_text_source(
    model: JointModel, source: TextSource, device: torch.device, *, batch_size: int = 256
) -> tuple[np.ndarray, np.ndarray]:
    """Projections z and predictions q of all captions, float32 `[M, D]` of unit norm."""
    numbers = np.arange(len(source))
    return _embed(
        model, "text", (source.take(numbers[i : i + batch_size], device) for i in range(0, len(numbers), batch_size))
    )


def _embed(model: JointModel, modality: str, batches) -> tuple[np.ndarray, np.ndarray]:
    was_training = model.training
    model.eval()
    pairs = [tuple(_unit(x.float()).cpu() for x in model.embed(batch, modality)) for batch in batches]
    model.train(was_training)
    return tuple(torch.cat(parts).numpy() for parts in zip(*pairs))


def _unit(x: Tensor) -> Tensor:
    return torch.nn.functional.normalize(x, dim=-1)
