"""Measurements on embeddings: pure functions of arrays `[N, D]`, NumPy in, numbers out.

`Space` measures clips and captions in one space per query, clip and pair; `evaluate` measures a model on a split;
`intervals` gives means their uncertainty; `tagging`, `zero_shot` and `probing` measure labels.
"""

from slapkit.metrics.gap import centroid_distance, effective_rank, embedding_std, linear_separability
from slapkit.metrics.retrieval import (
    Ranks,
    audio_to_text_ranks,
    ranks_of_positives,
    retrieval_scores,
    text_to_audio_ranks,
)
from slapkit.metrics.space import Space
