"""A trained model for inference: from audio and captions to unit-norm embeddings `[N, D]`."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize
from tqdm.auto import tqdm

from slapkit.audio.frontend import make_transform
from slapkit.config import require
from slapkit.errors import ConfigError, DataError, short
from slapkit.models.embed import SOUNDS, Sound, embed_windows, is_sound, mean_by_clip, read_features
from slapkit.models.encoders.text import tensor_digest
from slapkit.models.joint import JointModel

Embedding = Literal["q", "z"]
Precision = Literal["no", "bf16"]


class Model:
    """A joint model for inference.

    An embedding depends on its own input alone, not on its batch. Embeddings are predictions `q` by default, as in the
    paper; without a predictor (CLAP, SigLIP) `q` is the projection `z`.

    Args:
        precision: "no" for float32, or "bf16" for matrix products in bfloat16. With bfloat16 instructions, HTS-AT on a
            CPU takes two thirds of the time; embeddings keep a cosine of 0.9999 with the exact ones.
    """

    def __init__(self, joint: JointModel, *, device: str | torch.device = "cpu", precision: Precision = "no") -> None:
        if precision not in get_args(Precision):
            raise ConfigError(f"precision={short(precision)}: take 'no' (float32) or 'bf16'")
        self.device, self.precision = torch.device(device), precision
        self.joint = joint.to(self.device).eval().requires_grad_(False)
        self.config = joint.config
        self.log_mel = make_transform(self.config.audio.frontend).to(self.device)  # or what cuts a wave into frames

    @property
    def has_predictor(self) -> bool:
        """Whether `q` differs from `z`."""
        return self.joint.has_predictor

    @property
    def note(self) -> str:
        """What every page that shows the model says of the captions that it learned from; mostly nothing."""
        return self.joint.note

    @property
    def dim(self) -> int:
        """Width D of the embeddings."""
        return self.config.dim

    def fingerprint(self) -> str:
        """Return 16 hex digits that name the model: its weights, how it takes audio and text, and its objective."""
        joint, text = self.joint, self.joint.text.encoder
        settings = [joint.objective, joint.config.audio.to_dict(), text.pooling, text.max_tokens]
        settings += [list(text.layers)] if text.inner else []  # so older models keep their names
        weights = joint.own_state(targets=False)
        frozen = text.fingerprint() if joint.text.frozen else ""
        return tensor_digest(weights, before=json.dumps(settings, sort_keys=True), after=frozen)

    def embed_audio(
        self, sounds: Iterable[Sound], *, sample_rate: int | None = None, embedding: Embedding = "q",
        batch_size: int = 64, progress: bool = False,
    ) -> np.ndarray:  # fmt: skip
        """Return float32 `[N, D]`, rows of unit norm: the mean over the windows that cover each clip.

        Args:
            sounds: paths of audio files, arrays `[T]` or `[C, T]` of samples in [-1, 1], or what the library `datasets`
                gives (`{"array": ..., "sampling_rate": ...}` or decoders); a list, a Series, or an array of paths.
            sample_rate: sampling rate in Hz of the arrays that do not say theirs.
            embedding: prediction "q" or projection "z".
            batch_size: windows that go through the encoder together; changes no result.

        Raises:
            AudioError: an input cannot be used, silence among others; its path or index is named.
            DataError: no sounds are given, or one is something else; its index is named.
        """
        sounds, which = _as_list(sounds, "sounds", is_sound, SOUNDS), _column(embedding)
        require(batch_size >= 1, "batch_size", batch_size, "at least 1")
        audio = self.config.audio
        features = read_features(sounds, audio.frontend, sample_rate=sample_rate)
        found = embed_windows(
            features, lambda windows: self.encode(windows, "audio"), window=audio.window_frames, batch_size=batch_size
        )
        bar = tqdm(found, "embedding", len(sounds), unit="file", disable=not progress)
        windows = [one.outputs[which] for one in bar]
        clips = np.repeat(np.arange(len(sounds)), [len(own) for own in windows])
        return mean_by_clip(np.concatenate(windows), clips, len(sounds))

    @torch.no_grad()
    def encode(self, x: Tensor | dict[str, Tensor], modality: Literal["audio", "text"]) -> tuple[Tensor, Tensor]:
        """Return `z` and `q`, float32 `[B, D]` of unit norm, on the CPU, of windows of features `[B, frames, width]` or
        of tokens."""
        x = x.to(self.device) if isinstance(x, Tensor) else {k: v.to(self.device) for k, v in x.items()}
        with self._autocast():
            both = self.joint.embed(x, modality)
        z, q = (normalize(value.float(), dim=-1).cpu() for value in both)
        return z, q

    @torch.no_grad()
    def represent(self, x: Tensor) -> tuple[Tensor]:
        """Return the audio encoder's representation, float32 `[B, H]` on the CPU, of windows `[B, frames, width]`."""
        with self._autocast():
            return (self.joint.audio.represent(x.to(self.device)).float().cpu(),)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    @torch.no_grad()
    def embed_text(
        self, captions: Iterable[str], *, embedding: Embedding = "q", batch_size: int = 128, progress: bool = False
    ) -> np.ndarray:
        """Return float32 `[N, D]`, rows of unit norm, of a list, array or Series of texts.

        Captions are cut at the encoder's `max_tokens`. No captions, or an empty one, are a `DataError`.
        """
        captions = _as_list(captions, "captions", lambda text: isinstance(text, str), "texts")
        which = _column(embedding)
        require(batch_size >= 1, "batch_size", batch_size, "at least 1")
        for i, caption in enumerate(captions):
            if not caption.strip():
                raise DataError(f"caption {i} is empty")
        out = np.empty((len(captions), self.dim), dtype=np.float32)
        batches = self.joint.text.encoder.batches(captions, batch_size)
        total = -(-len(captions) // batch_size)
        for rows, tokens in tqdm(batches, total=total, desc="embedding", unit="batch", disable=not progress):
            out[rows] = self.encode(tokens, "text")[which].numpy()
        return out


def _as_list(values: Iterable, what: str, fits: Callable[[object], bool], accepted: str) -> list:
    numbers = isinstance(values, np.ndarray) and (values.ndim != 1 or values.dtype.kind not in "UO")
    if isinstance(values, str | bytes | Path | Mapping) or numbers or not isinstance(values, Iterable):
        raise DataError(f"{what} must be a list of {accepted}, not {short(values)}: put a single one in brackets")
    values = list(values)
    if not values:
        raise DataError(f"no {what} are given")
    for i, value in enumerate(values):
        if not fits(value):
            raise DataError(
                f"{what}[{i}] is {short(value)} of type {type(value).__name__}: a list of {accepted} is needed"
            )
    return values


def _column(embedding: str) -> int:
    """Place of an embedding in what `encode` returns."""
    if embedding not in get_args(Embedding):
        raise ConfigError(f"embedding={short(embedding)}: take 'q' (prediction) or 'z' (projection)")
    return ("z", "q").index(embedding)
