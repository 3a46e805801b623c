"""Representations `h` of frozen encoders: computed once for all models, trainings and measurements, and kept on disk.

Those of audio are kept by the content of clips, those of captions by their text, for an encoder's weights and settings.
They are float32, as inference computes them; a training in bfloat16 takes its captions in that, a cosine of 2e-5 away
and three times as fast where the processor has instructions for it. An encoder with a method `raw` standardises by
statistics of its training (`standardised`): the raw values are kept, which all trainings share, and float16 would leave
few digits of those that vary little around a large mean.
"""

import hashlib
import json
from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from slapkit._cores import spread
from slapkit._rows import Found, RowCache
from slapkit.audio.features import FeatureStore
from slapkit.audio.windows import overlapping_starts, tiled_starts
from slapkit.models.encoders import AudioEncoderConfig
from slapkit.models.encoders.text import TextEncoder, tensor_digest

_FORMAT = 1
_STATISTICS = ("h_mean", "h_std", "h_weight")  # buffers of an encoder that standardises
_AT_ONCE = 64  # windows or captions that go through an encoder together
_BATCHES = 16  # of captions, which the cores share out


@torch.no_grad()
def raw(encoder: nn.Module, windows: Tensor) -> Tensor:
    """Return the representations `[B, H]` of windows `[B, frames, width]`, before the encoder standardises them."""
    return getattr(encoder, "raw", encoder)(windows)


@torch.no_grad()
def standardised(encoder: nn.Module, h: Tensor) -> Tensor:
    """Return what the encoder itself gives for windows whose raw representations are `h [B, H]`."""
    return encoder.standardised(h) if hasattr(encoder, "standardised") else h


def audio_cache(cache_dir: str | Path, encoder: nn.Module, config: AudioEncoderConfig, precision: str) -> RowCache:
    """Return the raw representations that a folder keeps for an encoder, float32 `[windows, H]` by the SHA-256 of the
    audio file; the windows are those of `overlapping_starts`."""
    ignored = {"frozen"} if config.kind == "cnn" else {"frozen", "mel_mean", "mel_std"}
    settings = {key: value for key, value in config.to_dict().items() if key not in ignored}
    weights = {name: tensor for name, tensor in encoder.state_dict().items() if name not in _STATISTICS}
    key = tensor_digest(weights, before=json.dumps([_FORMAT, precision, settings], sort_keys=True))
    return RowCache(Path(cache_dir) / f"audio-{key}.representations", encoder.dim, "<f4")


class Representations:
    """Representations of the windows of the clips `ids` by a frozen audio encoder, computed where `cache_dir` lacks
    them, and memory-mapped.

    A clip has `counts` windows: those that cover it in evaluation, and those half-way between them. `precision` "bf16"
    computes in bfloat16.
    """

    def __init__(
        self, store: FeatureStore, ids: Sequence[str], encoder: nn.Module, config: AudioEncoderConfig,
        cache_dir: str | Path, *, device: torch.device, precision: str = "no", progress: bool = True,
    ) -> None:  # fmt: skip
        self.encoder, self.device, self.precision, window = encoder, device, precision, config.window_frames
        rows = np.array([store.row_of(id) for id in ids], dtype=np.int64)
        keys = [store.keys[row] for row in rows]
        starts = [overlapping_starts(int(length), window) for length in store.lengths[rows]]
        tiles = [tiled_starts(int(length), window) for length in store.lengths[rows]]
        self.counts = np.array([len(own) for own in starts], dtype=np.int64)
        self._tiles = [np.searchsorted(own, covering) for own, covering in zip(starts, tiles)]
        cache = audio_cache(cache_dir, encoder, config, precision)
        compute = partial(self._compute, keys, starts, lambda clips, at: store.crop(rows[clips], at, window))
        cache.fill(keys, compute, what="Encoding audio", progress=progress)
        self._data = np.asarray(cache.data)
        self._firsts = np.array([cache.rows[key].start for key in keys], dtype=np.int64)

    def _compute(self, keys: list[str], starts: list[np.ndarray], windows, missing: list[str]) -> Found:
        """Yield keys and raw representations of the clips that are `missing`.

        What goes through the encoder together depends on the clips alone: after a kill, the same values follow.
        """
        wanted, unique = set(missing), np.unique(keys, return_index=True)[1]
        ends = np.cumsum(self.counts[np.sort(unique)])
        for group in np.split(np.sort(unique), np.flatnonzero(np.diff((ends - 1) // _AT_ONCE)) + 1):
            if wanted.isdisjoint(keys[clip] for clip in group):
                continue
            clips, at = np.repeat(group, self.counts[group]), np.concatenate([starts[clip] for clip in group])
            parts = []
            for i in range(0, len(clips), _AT_ONCE):
                with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
                    h = raw(self.encoder, windows(clips[i : i + _AT_ONCE], at[i : i + _AT_ONCE]).to(self.device))
                parts.append(h.float().cpu().numpy())
            for clip, own in zip(group, np.split(np.concatenate(parts), np.cumsum(self.counts[group])[:-1])):
                if keys[clip] in wanted:
                    yield keys[clip], own

    def __len__(self) -> int:
        return len(self.counts)

    def places(self, clips: np.ndarray) -> np.ndarray:
        """Number of windows `[B]` of each clip."""
        return self.counts[clips]

    def take(self, clips: np.ndarray, places: np.ndarray) -> Tensor:
        """Return the representations `[B, H]` of the windows with these numbers."""
        h = torch.from_numpy(self._data[self._firsts[clips] + places])
        return standardised(self.encoder, h.to(self.device))

    def tiles(self) -> tuple[np.ndarray, np.ndarray]:
        """Return `clips [W]` and numbers `[W]` of the fixed windows that cover every clip, in the order of clips."""
        clips = np.repeat(np.arange(len(self)), [len(own) for own in self._tiles])
        return clips, np.concatenate(self._tiles)

    def sample(self, most: int = 4096) -> Tensor:
        """Return raw representations `[W, H]` of at most so many windows of all clips."""
        rows = np.repeat(self._firsts - np.cumsum(self.counts) + self.counts, self.counts) + np.arange(sum(self.counts))
        return torch.from_numpy(self._data[rows[:: -(-len(rows) // most)]])


def represent_captions(
    encoder: TextEncoder, captions: Sequence[str], cache_dir: str | Path, *, device: torch.device,
    precision: str = "no", progress: bool = True,
) -> Tensor:  # fmt: skip
    """Return the representations `[M, H]` of captions by a frozen text encoder, float32 on the CPU."""
    settings = f"{_FORMAT} {precision} {encoder.fingerprint()} {encoder.pooling} {encoder.max_tokens}"
    settings += f" {encoder.tokenizer_digest()}" + (f" {encoder.layers}" if encoder.inner else "")
    name = f"text-{hashlib.sha256(settings.encode()).hexdigest()[:16]}.representations"
    keys = [hashlib.sha256(caption.encode("utf-8", "surrogatepass")).hexdigest() for caption in captions]
    unique = dict(zip(keys, captions))
    cache, names = RowCache(Path(cache_dir) / name, encoder.dim, "<f4"), list(unique)

    def encoded(batch: tuple[np.ndarray, dict[str, Tensor]]) -> tuple[np.ndarray, np.ndarray]:
        rows, tokens = batch
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            return rows, encoder({key: value.to(device) for key, value in tokens.items()}).float().cpu().numpy()

    def compute(missing: list[str]) -> Found:
        wanted = set(missing)
        batches = encoder.batches(list(unique.values()), _AT_ONCE)
        batches = (batch for batch in batches if not wanted.isdisjoint(names[row] for row in batch[0]))
        while some := list(islice(batches, _BATCHES)):
            for rows, found in spread(encoded, some, most=None if device.type == "cpu" else 1):
                yield from ((names[row], h[None]) for row, h in zip(rows, found) if names[row] in wanted)

    cache.fill(names, compute, what="Encoding captions", unit="caption", progress=progress)
    return torch.from_numpy(np.asarray(cache.data)[[cache.rows[key].start for key in keys]])
