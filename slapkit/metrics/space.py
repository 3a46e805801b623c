"""Measurements of one joint space per query, clip and pair; means and intervals are taken of these.

Retrieval takes all captions; gap and separability take the first caption of each clip, one pair a clip.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np

from slapkit.metrics import gap
from slapkit.metrics.retrieval import Ranks, audio_to_text_ranks, retrieval_scores, text_to_audio_ranks


@dataclass(frozen=True, kw_only=True, eq=False)
class Space:
    """Embeddings of clips and of their captions in one space. Each measurement is made when it is first read."""

    audio: np.ndarray  # clips [N, D]
    text: np.ndarray  # captions [M, D]
    clip_of_caption: np.ndarray  # integers [M]; every clip has a caption
    captions: Sequence[str] | None = None  # texts [M]: equal ones are right answers alike
    seed: int = 0  # of the folds of the classifier

    @cached_property
    def pairs(self) -> dict[str, np.ndarray]:
        """`audio` and `text`, both `[N, D]`: clips and their first captions."""
        return {"audio": self.audio, "text": self.text[np.unique(self.clip_of_caption, return_index=True)[1]]}

    @cached_property
    def text_to_audio(self) -> Ranks:
        """Ranks of the M captions."""
        return text_to_audio_ranks(**self._ranked)

    @cached_property
    def audio_to_text(self) -> Ranks:
        """Ranks of the N clips."""
        return audio_to_text_ranks(**self._ranked)

    @property
    def _ranked(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("audio", "text", "clip_of_caption", "captions")}

    @property
    def queries(self) -> dict[str, tuple[Ranks, np.ndarray]]:
        """By direction: the ranks of its queries, and the clip of each query."""
        return {
            "text_to_audio": (self.text_to_audio, np.asarray(self.clip_of_caption)),
            "audio_to_text": (self.audio_to_text, np.arange(len(self.audio))),
        }

    @cached_property
    def along_gap(self) -> np.ndarray:
        """Each pair's part `[N]` of the centroids' distance, which is their mean."""
        return gap.along_gap(**self.pairs)

    @cached_property
    def separability(self) -> np.ndarray:
        """Share `[N]` of each pair that a linear classifier gets right."""
        return gap.pair_separability(**self.pairs, seed=self.seed, folds=min(5, len(self.audio)))

    @cached_property
    def spectra(self) -> dict[str, np.ndarray]:
        """Singular values by modality, as shares of their sum."""
        return {"audio": gap.spectrum(self.audio), "text": gap.spectrum(self.text)}

    @property
    def effective_ranks(self) -> dict[str, float]:
        """Effective rank by modality."""
        return {name: gap.entropy_rank(shares) for name, shares in self.spectra.items()}

    @property
    def embedding_std(self) -> float:
        """Standard deviation of the embeddings, the lower of both modalities."""
        return min(gap.embedding_std(self.audio), gap.embedding_std(self.text))

    def retrieval(self) -> dict[str, dict[str, float]]:
        """Return recalls and normalised ranks by direction."""
        return {way: retrieval_scores(ranks) for way, (ranks, _) in self.queries.items()}

    def gap(self) -> dict[str, float]:
        """Return the distance of the centroids and the linear separability."""
        return {
            "centroid_distance": float(self.along_gap.mean()),
            "linear_separability": float(self.separability.mean()),
        }

    def recentred(self) -> Self:
        """Return the space with each modality less its mean; raises `MetricError` where it has collapsed."""
        audio, text = gap.recentred(audio=self.audio, text=self.text)
        return replace(self, audio=audio, text=text)

    def whitened(self) -> Self:
        """Return the space with each modality whitened; raises `MetricError` where it has collapsed."""
        audio, text = gap.whitened(audio=self.audio, text=self.text)
        return replace(self, audio=audio, text=text)
