"""The gap under the microscope: one joint space as trained, recentred and whitened."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from slapkit.errors import MetricError
from slapkit.metrics import audio_to_text_ranks, text_to_audio_ranks
from slapkit.metrics.embedded import Embedded
from slapkit.metrics.gap import told_apart
from slapkit.metrics.microscope import distribution_gap, joint_v_measure, modality_preference, whitened
from slapkit.metrics.recentre import along_gap, matched_and_unmatched, recentred
from slapkit.runs.claims.quantity import Quantity

STAGES = {"trained": "as trained", "recentred": "recentred", "whitened": "whitened"}
LABELS = {"style": "style", "instrument": "families"}  # name -> fact that joint clusters are compared with


def spaces(embedded: Embedded, *, seed: int) -> dict[str, Quantity]:
    """Measure the space of predictions at every stage; a stage that a collapsed space does not have is left out."""
    audio, text = embedded.audio("q"), embedded.text("q")
    figures: dict[str, Quantity] = {}
    for stage, change in (
        ("trained", lambda: (audio, text)),
        ("recentred", lambda: recentred(audio=audio, text=text)),
        ("whitened", lambda: whitened(audio=audio, text=text)),
    ):
        try:
            found = dict(_space(embedded, *change(), seed=seed))
        except MetricError:
            continue
        figures |= {f"space.{stage}.{name}": figure for name, figure in found.items()}
    return figures


def _space(embedded: Embedded, audio: np.ndarray, text: np.ndarray, *, seed: int) -> Iterator[tuple[str, Quantity]]:
    works, clip_of, first = embedded.works, embedded.track_of_text, embedded.first_captions
    pair = {"audio": audio, "text": text[first]}
    one = {"embedding": "q", "captions": "the first caption of each clip"}
    yield "distance", Quantity.mean(along_gap(**pair), works, **one)
    apart = told_apart(**pair, seed=seed, folds=min(5, len(first)))
    yield "separability", Quantity.mean(apart, works, **one)
    for name, value in distribution_gap(**pair).items():
        yield name, Quantity.other(value, None, works, **one)
    pairs = {"audio": audio, "text": text, "track_of_text": clip_of}
    for way, ranks, groups in (
        ("text_to_audio", text_to_audio_ranks(**pairs), works[clip_of]),
        ("audio_to_text", audio_to_text_ranks(**pairs), works),
    ):
        about = {"direction": way, "embedding": "q", "queries": len(groups), "candidates": ranks.candidates}
        yield f"{way}.R@10", Quantity.mean(ranks.hit_probability(10), groups, **about)
    matched, unmatched = matched_and_unmatched(
        queries=text, candidates=audio, query_of=clip_of, candidate_of=np.arange(len(audio))
    )
    yield "matched", Quantity.other(matched.mean(), None, works, embedding="q")
    yield "unmatched", Quantity.other(unmatched.mean(), None, works, embedding="q")
    for name, fact in LABELS.items():
        labels = _labels(embedded, fact)
        if len(set(labels)) > 1:
            found = joint_v_measure(**pair, audio_labels=labels, text_labels=labels, seed=seed)
            yield f"V {name}", Quantity.other(found["label"], None, works, **one)
            yield f"V modality, {name}", Quantity.other(found["modality"], None, works, **one)
    half = np.random.default_rng(seed).permutation(len(audio))
    asking, lying = half[: len(half) // 2], half[len(half) // 2 :]
    if len(asking) and 2 * len(lying) >= 10:
        for name, own, other in (("audio", audio, pair["text"]), ("text", pair["text"], audio)):
            share = modality_preference(queries=own[asking], own=own[lying], other=other[lying])
            yield f"preference, {name} asks", Quantity.other(share, None, works, **one)


def _labels(embedded: Embedded, fact: str) -> list[str]:
    """Return what each clip is by a fact, the first where there are several."""
    if fact not in embedded.frame:
        return []
    values = embedded.frame[fact]
    return [str(v[0] if isinstance(v, list) and v else v) for v in values]
