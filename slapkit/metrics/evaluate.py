"""A trained model on held-out pairs: retrieval, gap and health, with the protocol of the measurement."""

from pathlib import Path
from typing import Any

from slapkit.data import AudioTextDataset
from slapkit.errors import DataError
from slapkit.metrics.embedded import KINDS, Embedded, embed_split
from slapkit.models.inference import Model


def evaluate(
    model: Model, dataset: AudioTextDataset, *, split: str = "test", cache_dir: str | Path, seed: int = 0,
    progress: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """Measure a model on one split, in the model's own precision; the result is what `metrics.json` holds.

    Recalls lie in [0, 1]; ranks are expected 1-based ranks divided by the number of candidates. "gap" and "health" are
    those of `q` (of `z` where there is no predictor), "gap_z" that of projections.

    Raises:
        DataError: the split is missing or has fewer than two usable clips.
    """
    embedded = embed_split(model, dataset, split=split, cache_dir=cache_dir, progress=progress)
    if len(embedded.clips) < 2:
        raise DataError(f"{dataset.name}: one clip in the split {split!r} leaves nothing to rank: take at least 2")
    spaces = {kind: embedded.space(kind, seed=seed) for kind in KINDS}
    ranks = spaces["q"].effective_ranks
    return {
        "retrieval": {kind: space.retrieval() for kind, space in spaces.items()},
        "gap": spaces["q"].gap(),
        "gap_z": spaces["z"].gap(),
        "health": {
            "effective_rank": min(ranks.values()),
            "effective_rank_audio": ranks["audio"],
            "effective_rank_text": ranks["text"],
            "embedding_std": spaces["q"].embedding_std,
        },
        "protocol": _protocol(model, dataset, embedded, seed),
    }


def _protocol(model: Model, dataset: AudioTextDataset, embedded: Embedded, seed: int) -> dict[str, Any]:
    """Return what is needed to compare the figures with others."""
    clips, captions = len(embedded.clips), len(embedded.captions)
    return {
        "data": dataset.name,
        "data_fingerprint": dataset.fingerprint,
        "split": embedded.split,
        "groups": len({clip.group for clip in embedded.clips}),
        "text_to_audio": {"queries": captions, "candidates": clips},
        "audio_to_text": {"queries": clips, "candidates": captions},
        "queries": captions,
        "candidates": clips,
        "captions": "all captions of a clip: each is a query for its clip; its best placed counts for the clip",
        "ties": "expected value over random orders of tied candidates",
        "ranks": "1-based rank / candidates",
        "q": "prediction" if model.has_predictor else "projection: this objective has no predictor",
        "audio": f"mean over windows of {model.config.audio.window_s} s that cover the clip",
        "precision": "float32" if model.precision == "no" else model.precision,
        "gap": "unit-norm q, first caption of each clip; separability by 5 folds of whole pairs",
        "chance_R@10": min(1.0, 10 / clips),
        "seed": seed,
    }
