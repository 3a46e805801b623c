"""Measurements on embeddings: pure functions of arrays `[N, D]`, NumPy in, numbers out.

`retrieval` ranks one modality by the other; `gap` measures how far apart the two modalities lie and how much of the
space they use.
"""

from slapkit.metrics.gap import centroid_distance, effective_rank, embedding_std, linear_separability
from slapkit.metrics.retrieval import (
    Ranks,
    audio_to_text_ranks,
    ranks_of_positives,
    retrieval_scores,
    text_to_audio_ranks,
)

__all__ = [
    "Ranks",
    "audio_to_text_ranks",
    "centroid_distance",
    "effective_rank",
    "embedding_std",
    "linear_separability",
    "ranks_of_positives",
    "retrieval_scores",
    "text_to_audio_ranks",
]
