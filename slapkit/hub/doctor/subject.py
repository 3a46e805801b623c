"""The model under examination, its probes, and its embeddings of them, each computed once."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from slapkit.errors import MetricError
from slapkit.models import signature

RATE = 48000  # Hz, for models that do not name their sampling rate
FEW = 8  # inputs of the checks that embed them several times; fewer do not show how a model uses its space
CAPTIONS = (
    *signature.CAPTIONS, "funky slap bass with wah guitar and brass stabs", "a lullaby on a music box", "drum solo",
    "solo piano, romantic, with much rubato", "lo-fi hip hop beat with vinyl crackle", "Baroque harpsichord",
    "a marching band with snare drums and trumpets", "female voice singing opera with an orchestra",
    "a church organ playing a fugue", "Brazilian samba percussion", "Indian sitar and tabla, meditative",
    "punk rock with shouted vocals", "a cappella barbershop harmony", "silence, then a single bell",
    "Gregorian chant by male voices in a large church", "a child playing the recorder out of tune",
)  # fmt: skip


class Subject:
    """A model with its probes.

    `sounds` are real music, arrays `[T]` at the model's rate, with one of `captions` each; `saved` is the signature in
    the checkpoint, see `slapkit.models.signature`.
    """

    def __init__(
        self, model: Any, *, sounds: Sequence[np.ndarray] | None = None, captions: Sequence[str] | None = None,
        seed: int = 0, saved: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self.model, self.sounds, self.captions, self.seed, self.saved = model, sounds, captions, seed, saved
        self.joint = getattr(model, "joint", None)  # None in a model of another make, as is the next
        self.config = getattr(getattr(model, "config", None), "audio", None)
        self.rate = RATE if self.config is None else self.config.frontend.sample_rate

    def embed_audio(self, waves: Sequence[np.ndarray], sample_rate: int | None = None) -> np.ndarray:
        """Embed arrays, at the model's own rate unless another is given: float64 `[N, D]`."""
        embedded = self.model.embed_audio(list(waves), sample_rate=self.rate if sample_rate is None else sample_rate)
        return np.asarray(embedded, dtype=np.float64)

    def embed_text(self, captions: Sequence[str]) -> np.ndarray:
        """Embed captions: float64 `[N, D]`."""
        return np.asarray(self.model.embed_text(list(captions)), dtype=np.float64)

    def probes_at(self, sample_rate: int) -> Sequence[np.ndarray]:
        """Return a few of the probe sounds at another rate."""
        band = min(9900.0, 0.45 * self.rate)
        return signature.probe_sounds(sample_rate, band=band, count=FEW, seed=self.seed)

    @cached_property
    def probes(self) -> Sequence[np.ndarray]:
        """The probe sounds at the model's own rate."""
        return signature.probe_sounds(self.rate, seed=self.seed)

    @cached_property
    def embedded_probes(self) -> np.ndarray:
        return finite("audio embeddings", self.embed_audio(self.probes))

    @cached_property
    def audio(self) -> np.ndarray:
        """Embeddings of the given sounds, or of the probe sounds."""
        return (
            self.embedded_probes if self.sounds is None else finite("audio embeddings", self.embed_audio(self.sounds))
        )

    @cached_property
    def text(self) -> np.ndarray:
        """Embeddings of the packaged captions."""
        return finite("caption embeddings", self.embed_text(CAPTIONS))

    @cached_property
    def now(self) -> Mapping[str, Any]:
        """The signature that the model has now."""
        return (None if self.joint is None else signature.signature_of(self.joint)) or {}

    def relative(self, moved: np.ndarray) -> float:
        """Return the mean length of differences `[N, D]`, by the mean distance of two probe sounds."""
        mean = mean_distance(self.embedded_probes)
        if mean < 1e-6:
            raise MetricError("all sounds have one embedding: no distance can be compared with another")
        return float(np.linalg.norm(moved, axis=1).mean()) / mean


def mean_distance(embeddings: np.ndarray) -> float:
    """Return the mean distance of two different rows of `[N, D]`."""
    distances = np.linalg.norm(embeddings[:, None] - embeddings[None], axis=-1)
    return float(distances.sum() / (len(embeddings) * (len(embeddings) - 1)))


def finite(what: str, embeddings: np.ndarray) -> np.ndarray:
    """Return the embeddings; raise `MetricError` unless all are finite."""
    bad = int((~np.isfinite(embeddings).all(axis=-1)).sum())
    if bad:
        raise MetricError(f"{bad} of {len(embeddings)} {what} are not finite")
    return embeddings
