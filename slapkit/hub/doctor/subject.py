"""A model on the doctor's table: the model, what it is asked about, and its answers, each computed once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from slapkit.errors import MetricError
from slapkit.hub.doctor import probes

RATE = 48000  # Hz, for models that do not say at which rate they listen
FEW = 8  # sounds for the checks that embed them several times


class Embeds(Protocol):
    """What the doctor needs of a model, `slapkit.models.inference.Model` for one."""

    def embed_audio(self, sounds: Sequence[str | Path | np.ndarray], *, sample_rate: int | None = None) -> np.ndarray:
        """Unit-norm embeddings `[N, D]` of files, or of arrays `[T]` at `sample_rate` Hz."""

    def embed_text(self, captions: Sequence[str]) -> np.ndarray:
        """Unit-norm embeddings `[N, D]` of captions."""


class Subject:
    """A model with its probe sounds and captions.

    Args:
        model: what is examined.
        sounds: real sounds `[T]` at the model's rate, which stand for music instead of the probe sounds where the space
            is measured.
        captions: one caption for each of `sounds`.
        seed: of the probe sounds.
        signature: what `slapkit.hub.doctor.signature.signature_of` said when the model was saved.
    """

    def __init__(
        self,
        model: Embeds,
        *,
        sounds: Sequence[np.ndarray] | None = None,
        captions: Sequence[str] | None = None,
        seed: int = 0,
        signature: Mapping[str, Any] | None = None,
    ) -> None:
        self.model, self.seed, self.signature = model, seed, signature
        self.given_sounds = None if sounds is None else list(sounds)
        self.given_captions = None if captions is None else list(captions)

    @property
    def joint(self):
        """The `JointModel` inside, None in a model of another make."""
        return getattr(self.model, "joint", None)

    @property
    def frontend(self):
        """The front end's configuration, None in a model of another make."""
        return frontend_of(self.model)

    @property
    def device(self):
        """Where the model computes."""
        return getattr(self.model, "device", "cpu")

    @property
    def rate(self) -> int:
        """The rate at which the model listens, in Hz."""
        return rate_of(self.model)

    def waves_at(self, sample_rate: int, count: int) -> list[np.ndarray]:
        """Return probe sounds written down at `sample_rate` Hz."""
        return probes.sounds(sample_rate, band=probes.band_of(self.rate), count=count, seed=self.seed)

    @cached_property
    def waves(self) -> list[np.ndarray]:
        """All probe sounds at the model's own rate."""
        return self.waves_at(self.rate, probes.COUNT)

    def hear(self, waves: Sequence[np.ndarray], sample_rate: int | None = None) -> np.ndarray:
        """Embed arrays, at the model's own rate unless another is given: float64 `[N, D]`."""
        embedded = self.model.embed_audio(list(waves), sample_rate=self.rate if sample_rate is None else sample_rate)
        return np.asarray(embedded, dtype=np.float64)

    def read(self, captions: Sequence[str]) -> np.ndarray:
        """Embed captions: float64 `[N, D]`."""
        return np.asarray(self.model.embed_text(list(captions)), dtype=np.float64)

    @cached_property
    def heard(self) -> np.ndarray:
        """Embeddings of all probe sounds."""
        return self.hear(self.waves)

    @cached_property
    def audio(self) -> np.ndarray:
        """Embeddings of the sounds that stand for music: those given, or the probe sounds.

        Raises:
            MetricError: they are not finite.
        """
        return finite("sound embeddings", self.heard if self.given_sounds is None else self.hear(self.given_sounds))

    @cached_property
    def text(self) -> np.ndarray:
        """Embeddings of the packaged captions.

        Raises:
            MetricError: they are not finite.
        """
        return finite("caption embeddings", self.read(probes.CAPTIONS))

    @cached_property
    def unlike(self) -> float:
        """Mean distance between the embeddings of two unlike probe sounds: the yardstick for small changes.

        Raises:
            MetricError: they are not finite, or all equal.
        """
        heard = finite("sound embeddings", self.heard)
        distances = np.linalg.norm(heard[:, None] - heard[None], axis=-1)
        mean = float(distances.sum() / (len(heard) * (len(heard) - 1)))
        if mean < 1e-6:
            raise MetricError("all sounds have one embedding: no distance can be compared with another")
        return mean


def frontend_of(model: Embeds):
    """Return the configuration of a model's front end, None in a model of another make."""
    return getattr(getattr(getattr(model, "config", None), "audio", None), "frontend", None)


def rate_of(model: Embeds) -> int:
    """Return the rate in Hz at which a model listens."""
    return getattr(frontend_of(model), "sample_rate", RATE)


def finite(what: str, embeddings: np.ndarray) -> np.ndarray:
    """Return the embeddings if all are finite.

    Raises:
        MetricError: they are not.
    """
    bad = int((~np.isfinite(embeddings).all(axis=-1)).sum())
    if bad:
        raise MetricError(f"{bad} of {len(embeddings)} {what} are not finite")
    return embeddings
