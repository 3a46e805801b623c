"""A trained model on held-out pairs: retrieval, gap and health, with the protocol that they were measured by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from slapkit.data import AudioTextDataset
from slapkit.errors import DataError
from slapkit.metrics import (
    audio_to_text_ranks,
    centroid_distance,
    effective_rank,
    embedding_std,
    linear_separability,
    retrieval_scores,
    text_to_audio_ranks,
)
from slapkit.models.inference import Model
from slapkit.models.inputs import AudioSource, TextSource, embed_audio_source, embed_text_source
from slapkit.models.joint import JointModel


def embed_split(
    model: Model | JointModel, dataset: AudioTextDataset, *, split: str, cache_dir: str | Path, progress: bool = True
) -> tuple[dict[str, np.ndarray], list[str], np.ndarray, AudioTextDataset]:
    """Embed one split with cached features.

    Returns:
        `z_audio`, `q_audio` `[N, D]` and `z_text`, `q_text` `[M, D]` of unit norm; the M captions; the clip number
        `[M]` of each; and the N clips.

    Raises:
        DataError: the split has no usable clip.
    """
    from slapkit.audio import features

    joint = model.joint if isinstance(model, Model) else model
    device = next(joint.parameters()).device
    store = features.build(dataset.audio_files(), joint.config.audio.frontend, cache_dir, progress=progress)
    known = set(store.ids)
    clips = dataset.with_clips(clip for clip in dataset.split(split).clips if clip.id in known)
    if not len(clips):
        raise DataError(f"{dataset.name}: the split {split!r} has no clip whose sound can be used")
    captions, clip_of_caption = clips.captions_flat()
    audio = AudioSource(store, [clip.id for clip in clips], joint.config.audio.window_frames)
    text = TextSource(
        joint.text.encoder,
        captions,
        frozen=joint.text.frozen,
        device=device,
        cache_dir=Path(cache_dir),
        progress=progress,
    )
    z_audio, q_audio = embed_audio_source(joint, audio, device)
    z_text, q_text = embed_text_source(joint, text, device)
    arrays = {"z_audio": z_audio, "q_audio": q_audio, "z_text": z_text, "q_text": q_text}
    return arrays, captions, np.asarray(clip_of_caption), clips


def evaluate(
    model: Model | JointModel,
    dataset: AudioTextDataset,
    *,
    split: str = "test",
    cache_dir: str | Path,
    seed: int = 0,
    progress: bool = True,
) -> dict[str, Any]:
    """Measure a model on one split; the result is what `metrics.json` holds.

    Recalls lie in [0, 1]; ranks are expected 1-based ranks divided by the number of candidates. The gap is measured on
    what the model retrieves by (`q`, or `z` where there is no predictor), with the first caption of each clip; `gap_z`
    has the same for projections.

    Raises:
        DataError: the split is missing or has fewer than two usable clips.
    """
    joint = model.joint if isinstance(model, Model) else model
    arrays, captions, clip_of_caption, clips = embed_split(
        joint, dataset, split=split, cache_dir=cache_dir, progress=progress
    )
    if len(clips) < 2:
        raise DataError(f"{dataset.name}: one clip in the split {split!r} leaves nothing to rank: take at least 2")
    first = np.unique(clip_of_caption, return_index=True)[1]
    result: dict[str, Any] = {"retrieval": {}}
    for kind in ("q", "z"):
        audio, text = arrays[f"{kind}_audio"], arrays[f"{kind}_text"]
        pairs = {"audio": audio, "text": text, "clip_of_caption": clip_of_caption}
        result["retrieval"][kind] = {
            "text_to_audio": retrieval_scores(text_to_audio_ranks(**pairs)),
            "audio_to_text": retrieval_scores(audio_to_text_ranks(**pairs)),
        }
        result["gap" if kind == "q" else "gap_z"] = {
            "centroid_distance": centroid_distance(audio=audio, text=text[first]),
            "linear_separability": linear_separability(
                audio=audio, text=text[first], seed=seed, folds=min(5, len(first))
            ),
        }
    q_audio, q_text = arrays["q_audio"], arrays["q_text"]
    ranks = {"audio": effective_rank(q_audio), "text": effective_rank(q_text)}
    result["health"] = {
        "effective_rank": min(ranks.values()),
        "effective_rank_audio": ranks["audio"],
        "effective_rank_text": ranks["text"],
        "embedding_std": min(embedding_std(q_audio), embedding_std(q_text)),
    }
    result["protocol"] = _protocol(joint, dataset, clips, captions, split=split, seed=seed)
    return result


def _protocol(
    joint: JointModel, dataset: AudioTextDataset, clips: AudioTextDataset, captions: list[str], *, split: str, seed: int
) -> dict[str, Any]:
    """What one has to know to compare the figures with others."""
    return {
        "data": dataset.name,
        "data_fingerprint": dataset.fingerprint,
        "split": split,
        "groups": len({clip.group for clip in clips}),
        "text_to_audio": {"queries": len(captions), "candidates": len(clips)},
        "audio_to_text": {"queries": len(clips), "candidates": len(captions)},
        "queries": len(captions),
        "candidates": len(clips),
        "captions": "all captions of a clip: each is a query for its clip; its best placed counts for the clip",
        "ties": "expected value over random orders of tied candidates",
        "ranks": "1-based rank / candidates",
        "q": "prediction" if joint.has_predictor else "projection: this objective has no predictor",
        "audio": f"mean over windows of {joint.config.audio.window_s} s that cover the clip",
        "gap": "unit-norm q, first caption of each clip; separability by 5 folds of whole pairs",
        "chance_R@10": min(1.0, 10 / len(clips)),
        "seed": seed,
    }
