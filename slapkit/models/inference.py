"""A trained model in use: sounds and captions in, unit-norm embeddings `[N, D]` out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from tqdm.auto import tqdm

from slapkit._io import spread
from slapkit.audio.frontend import make_transform
from slapkit.audio.windows import fill, tiled_starts
from slapkit.errors import AudioError, ConfigError, DataError
from slapkit.models.inputs import mean_by_clip
from slapkit.models.joint import JointModel

Embedding = Literal["q", "z"]
Precision = Literal["no", "bf16"]
_AT_ONCE = 16  # sounds that are heard before the next go through the encoder
_MOST_WAVES = 4  # in memory at a time: an hour of music takes 700 MB


class Model:
    """A joint model for inference.

    An embedding depends on its own input alone: neither on the batch size nor on what else is in the batch. Embeddings
    are predictions `q` by default, as the paper uses them for SLAP; without a predictor (CLAP, SigLIP) `q` is the
    projection `z`.

    Args:
        precision: "no" for float32 throughout, or "bf16": matrix products in bfloat16, for devices that have
            instructions for it. HTS-AT on such a CPU takes two thirds of the time, and embeddings keep a cosine of
            0.9999 with the exact ones.

    Raises:
        ConfigError: there is no such precision.
    """

    def __init__(self, joint: JointModel, *, device: str | torch.device = "cpu", precision: Precision = "no") -> None:
        if precision not in get_args(Precision):
            raise ConfigError(f"precision={precision!r}: take 'no' (float32) or 'bf16'")
        self.device, self.precision = torch.device(device), precision
        self.joint = joint.to(self.device).eval().requires_grad_(False)
        self.config = joint.config
        # By the name of what nearly all encoders hear; for one that hears waves, it cuts frames.
        self.log_mel = make_transform(self.config.audio.frontend).to(self.device)

    @property
    def has_predictor(self) -> bool:
        """Whether `q` differs from `z`."""
        return self.joint.has_predictor

    @property
    def dim(self) -> int:
        """Width D of the embeddings."""
        return self.config.dim

    def embed_audio(
        self,
        sounds: Sequence[str | Path | np.ndarray],
        *,
        sample_rate: int | None = None,
        embedding: Embedding = "q",
        batch_size: int = 64,
        progress: bool = False,
    ) -> np.ndarray:
        """Embed sounds: the mean over windows that cover each sound from its first sample to its last.

        Args:
            sounds: paths of audio files, or arrays `[T]` or `[C, T]` of samples in [-1, 1].
            sample_rate: rate of the arrays in Hz; files know their own.
            embedding: prediction "q" or projection "z".
            batch_size: windows that go through the encoder together; changes no result.

        Returns:
            float32 `[N, D]`, rows of unit norm.

        Raises:
            AudioError: a sound cannot be used; its path or number is named.
            DataError: no sounds are given.
        """
        sounds = _as_list(sounds, "sounds", (str, Path, np.ndarray))
        _check_embedding(embedding)
        z, q, owners = [], [], []
        pending: list[torch.Tensor] = []

        def flush() -> None:
            if pending:
                for store, value in zip((z, q), self.encode(torch.stack(pending), "audio")):
                    store.append(value)
                pending.clear()

        with torch.no_grad():
            heard = self._hear(sounds, sample_rate)
            for number, windows in enumerate(tqdm(heard, "embedding", len(sounds), unit="sound", disable=not progress)):
                for window in windows:
                    pending.append(window)
                    owners.append(number)
                    if len(pending) == batch_size:
                        flush()
            flush()
        return mean_by_clip(torch.cat(q if embedding == "q" else z).numpy(), np.array(owners), len(sounds))

    def _hear(self, sounds: list[str | Path | np.ndarray], sample_rate: int | None) -> Iterator[list[torch.Tensor]]:
        """Yield the windows of each sound. On a CPU its cores take a sound each."""
        for start in range(0, len(sounds), _AT_ONCE):
            numbers = range(start, min(start + _AT_ONCE, len(sounds)))
            most = _MOST_WAVES if self.device.type == "cpu" else 1
            yield from spread(lambda n: self._windows(sounds[n], sample_rate, n), numbers, most=most)

    def _windows(self, sound: str | Path | np.ndarray, sample_rate: int | None, number: int) -> list[torch.Tensor]:
        """Windows of features `[frames, width]` of one sound."""
        from slapkit.audio import decode

        frontend = self.config.audio.frontend
        if isinstance(sound, np.ndarray):
            if sample_rate is None:
                raise AudioError(f"sound {number} is an array of shape {sound.shape}: say its sample_rate in Hz")
            wave = decode.from_array(sound, sample_rate, frontend.sample_rate)
        else:
            wave = decode.read(sound, sample_rate=frontend.sample_rate)
        wave = fill(wave, round(frontend.min_s * frontend.sample_rate), frontend.padding)
        features = self.log_mel(torch.from_numpy(wave)[None].to(self.device))[0]
        length = self.config.audio.window_frames
        return [features[start : start + length] for start in tiled_starts(len(features), length)]

    @torch.no_grad()
    def encode(
        self, x: torch.Tensor | dict[str, torch.Tensor], modality: Literal["audio", "text"]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return `z` and `q`, float32 `[B, D]` of unit norm, on the CPU, of windows of features `[B, frames, width]` or
        of tokens."""
        x = x.to(self.device) if isinstance(x, torch.Tensor) else {k: v.to(self.device) for k, v in x.items()}
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            both = self.joint.embed(x, modality)
        z, q = (torch.nn.functional.normalize(value.float(), dim=-1).cpu() for value in both)
        return z, q

    @torch.no_grad()
    def embed_text(
        self, captions: Sequence[str], *, embedding: Embedding = "q", batch_size: int = 128, progress: bool = False
    ) -> np.ndarray:
        """Embed captions: float32 `[N, D]`, rows of unit norm; captions longer than the encoder takes are cut at its
        limit.

        Raises:
            DataError: no captions are given, or one is empty.
        """
        captions = _as_list(captions, "captions", str)
        _check_embedding(embedding)
        empty = [i for i, caption in enumerate(captions) if not caption.strip()]
        if empty:
            raise DataError(f"caption {empty[0]} is empty: there is nothing to embed")
        out = np.empty((len(captions), self.dim), dtype=np.float32)
        batches = self.joint.text.encoder.batches(captions, batch_size)
        total = -(-len(captions) // batch_size)
        for rows, tokens in tqdm(batches, total=total, desc="embedding", unit="batch", disable=not progress):
            z, q = self.encode(tokens, "text")
            out[rows] = (q if embedding == "q" else z).numpy()
        return out


def _as_list(values, what: str, kind: type | tuple[type, ...]) -> list:
    if isinstance(values, (str, Path, np.ndarray)):
        raise DataError(f"{what} must be a list, not one {type(values).__name__}: put it in brackets")
    values = list(values)
    if not values:
        raise DataError(f"no {what} are given")
    for i, value in enumerate(values):
        if not isinstance(value, kind):
            raise DataError(f"{what}[{i}] is {value!r} of type {type(value).__name__}, which cannot be embedded")
    return values


def _check_embedding(embedding: str) -> None:
    if embedding not in ("q", "z"):
        raise ConfigError(f"embedding={embedding!r}: take 'q' (prediction) or 'z' (projection)")
