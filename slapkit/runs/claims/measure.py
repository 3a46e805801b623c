"""One trained run, measured: retrieval and gap always; prompts, probes and the whole of the gap where asked.

Every figure keeps its units (queries, clips or pairs), so that intervals can be drawn over works and runs compared
query by query. Figures are kept beside the model: a claim looked at twice is measured once.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from slapkit._io import read_arrays, sha256_file, write_arrays
from slapkit.data import AudioTextDataset
from slapkit.errors import MetricError
from slapkit.metrics import Space
from slapkit.metrics.embedded import Embedded
from slapkit.metrics.gap import matched_and_unmatched
from slapkit.metrics.microscope import distribution_gap, joint_v_measure, modality_preference
from slapkit.runs.claims.abilities import probed, zero_shot
from slapkit.runs.claims.estimate import Measured, Quantity
from slapkit.runs.runner import Run
from slapkit.viz.maps.points import embed_run, weights_of

VERSION = 2  # of what is measured: raise it when a figure changes, and kept figures are measured again
RECALLS = (1, 5, 10)
STAGES = {"trained": "as trained", "recentred": "recentred", "whitened": "whitened"}
_FACTS = {"style": "style", "instrument": "families"}  # name -> fact that joint clusters are compared with


def measure(
    run: Run, dataset: AudioTextDataset, *, cache_dir: str | Path, detail: bool, epochs: int = 500, least: int = 5,
    seed: int = 0,
) -> Measured:  # fmt: skip
    """Measure a finished run of `02_train` on the test split, or read what was measured before.

    `dataset` is what it was trained on, all splits. In `detail` also prompts, probes (of `epochs` at most) and the gap
    at every stage, with labels that `least` clips of training and of test have. A probe's own seed is the run's. Data
    or a run that cannot be used is a `DataError` or a `CheckpointError`.
    """
    weights = sha256_file(weights_of(run.folder))
    key = json.dumps([VERSION, weights, dataset.fingerprint, seed, *([epochs, least] if detail else [])])
    name = f"{'detail' if detail else 'basic'}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors"
    training_seed = int(run.record["parameters"]["seed"])
    found = _read(run.folder / "claims" / name)
    if found is None:
        embedded = embed_run(run.folder, dataset, cache_dir=cache_dir, progress=False)
        figures = retrieval_and_gap(embedded, seed=seed)
        if detail:
            given = {"least": least, "seed": seed}
            figures |= zero_shot(run.folder, embedded, dataset, **given)
            given |= {"cache_dir": cache_dir, "epochs": epochs, "probe_seed": training_seed}
            figures |= probed(run.folder, dataset, **given) | stages(embedded, seed=seed)
        found = figures, _card(embedded, dataset, seed)
        _write(run.folder / "claims" / name, *found)
    return Measured(run.folder, training_seed, *found)


def retrieval_and_gap(embedded: Embedded, *, seed: int) -> dict[str, Quantity]:
    """Return retrieval, gap and effective rank, of predictions and of projections."""
    figures: dict[str, Quantity] = {}
    for kind in ("q", "z"):
        space = embedded.space(kind, seed=seed)
        found = dict(_space(embedded, space, kind=kind, recalls=RECALLS))
        rank = min(space.effective_ranks.values())
        found["effective_rank"] = Quantity.other(rank, None, embedded.works, **_first(kind))
        figures |= {f"{kind}.{name}": figure for name, figure in found.items()}
    return figures


def stages(embedded: Embedded, *, seed: int) -> dict[str, Quantity]:
    """Return the figures of the space of predictions as trained, recentred and whitened.

    A collapsed space has no recentred or whitened stage; it is left out.
    """
    trained = embedded.space("q", seed=seed)
    figures: dict[str, Quantity] = {}
    for stage, change in zip(STAGES, (lambda: trained, trained.recentred, trained.whitened)):
        with contextlib.suppress(MetricError):
            space = change()
            found = dict(_space(embedded, space, kind="q", recalls=(10,))) | _microscope(embedded, space)
            figures |= {f"space.{stage}.{name}": figure for name, figure in found.items()}
    return figures


def _first(kind: str) -> dict[str, str | int]:
    return {"embedding": kind, "captions": "the first caption of each clip"}


def _space(embedded: Embedded, space: Space, *, kind: str, recalls: tuple[int, ...]) -> Iterator[tuple[str, Quantity]]:
    """Yield retrieval in both directions, the distance of the centroids and the separability of one space."""
    works = embedded.works
    for way, (ranks, clips) in space.queries.items():
        about = {"direction": way, "embedding": kind, "queries": len(clips), "candidates": ranks.candidates}
        for k in recalls:
            yield f"{way}.R@{k}", Quantity.mean(ranks.hit_probability(k), works[clips], **about)
        yield f"{way}.mean_rank", Quantity.mean(ranks.expected / ranks.candidates, works[clips], **about)
    yield "distance", Quantity.mean(space.along_gap, works, **_first(kind))
    yield "separability", Quantity.mean(space.separability, works, **_first(kind))


def _microscope(embedded: Embedded, space: Space) -> dict[str, Quantity]:
    """Return what the gap does beyond its size; see `slapkit.metrics.microscope`."""
    audio, pair, seed = space.audio, space.pairs, space.seed
    values: dict[str, float] = dict(distribution_gap(**pair))
    of = {"query_of": space.clip_of_caption, "candidate_of": np.arange(len(audio))}
    matched, unmatched = matched_and_unmatched(queries=space.text, candidates=audio, **of)
    values |= {"matched": matched.mean(), "unmatched": unmatched.mean()}
    for name, fact in _FACTS.items():
        # The first value where there are several.
        facts = embedded.frame[fact] if fact in embedded.frame else []
        labels = [str(v[0] if isinstance(v, list) and v else v) for v in facts]
        if len(set(labels)) > 1:
            found = joint_v_measure(**pair, audio_labels=labels, text_labels=labels, seed=seed)
            values |= {f"V {name}": found["label"], f"V modality, {name}": found["modality"]}
    order = np.random.default_rng(seed).permutation(len(audio))
    asking, rest = order[: len(order) // 2], order[len(order) // 2 :]
    if len(asking) and 2 * len(rest) >= 10:
        for name, own, other in (("audio", audio, pair["text"]), ("text", pair["text"], audio)):
            share = modality_preference(queries=own[asking], own=own[rest], other=other[rest])
            values[f"preference, {name} asks"] = share
    every = {"matched", "unmatched"}  # from all captions
    return {
        name: Quantity.other(value, None, embedded.works, **({"embedding": "q"} if name in every else _first("q")))
        for name, value in values.items()
    }


def _card(embedded: Embedded, dataset: AudioTextDataset, seed: int) -> dict[str, Any]:
    clips = hashlib.sha256("\0".join(embedded.frame["id"]).encode()).hexdigest()[:12]
    data = {"data": dataset.name, "data_hash": dataset.fingerprint[:12], "split": embedded.split, "split_hash": clips}
    return data | {"captions": "all captions of a clip", "seed": seed}


def _write(path: Path, figures: dict[str, Quantity], card: dict[str, Any]) -> None:
    arrays = {f"{name} groups": figure.groups.astype(np.int64) for name, figure in figures.items()}
    arrays |= {f"{name} units": figure.units for name, figure in figures.items() if figure.units is not None}
    about = {name: [figure.value, figure.error, figure.about] for name, figure in figures.items()}
    write_arrays(path, arrays, {"figures": about, "card": card})


def _read(path: Path) -> tuple[dict[str, Quantity], dict[str, Any]] | None:
    """Return what `_write` kept, None where there is nothing of use."""
    found = read_arrays(path)
    if found is None:
        return None
    arrays, about = found
    return {
        name: Quantity(value, arrays.get(f"{name} units"), arrays[f"{name} groups"], error, fields)
        for name, (value, error, fields) in about["figures"].items()
    }, about["card"]
