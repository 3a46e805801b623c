"""One trained run, measured: retrieval and gap of every run; prompts, probes and the microscope where asked.

What was measured is kept beside the model, so that a claim looked at twice is measured once.
"""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slapkit._io import atomic_path, sha256_file
from slapkit.data import AudioTextDataset
from slapkit.errors import MetricError
from slapkit.metrics import audio_to_text_ranks, text_to_audio_ranks
from slapkit.metrics.embedded import Embedded, Kind, embed_run
from slapkit.metrics.gap import effective_rank, told_apart
from slapkit.metrics.recentre import along_gap
from slapkit.runs.claims.abilities import probed, zero_shot
from slapkit.runs.claims.quantity import Quantity
from slapkit.runs.claims.spaces import spaces
from slapkit.runs.record import Run, code_of_package

RECALLS = (1, 5, 10)


@dataclass(frozen=True)
class Measured:
    """What was measured of one run.

    Attributes:
        folder: of the run.
        seed: of its training.
        figures: name -> figure, such as "q.text_to_audio.R@10".
        card: fields of the protocol card that all its figures share.
    """

    folder: Path
    seed: int
    figures: dict[str, Quantity]
    card: dict[str, Any]

    def __getitem__(self, name: str) -> Quantity:
        if name not in self.figures:
            why = ": too few clips share a label" if name.startswith(("zero.", "probe.")) else ""
            raise MetricError(f"{self.folder.name}: {name!r} was not measured{why}")
        return self.figures[name]


def measure(
    run: Run,
    dataset: AudioTextDataset,
    *,
    cache_dir: str | Path,
    detail: bool,
    epochs: int = 500,
    least: int = 5,
    seed: int = 0,
) -> Measured:
    """Measure a trained run on the test split, or read what was measured before.

    Args:
        run: a finished run of `02_train`.
        dataset: the data that it was trained on, all splits.
        cache_dir: where features are kept.
        detail: also zero-shot, probes and the microscope.
        epochs: a probe is trained for at most this many.
        least: clips of training and of test that a label needs to be asked for.
        seed: of everything random in measuring; a probe's own seed is the run's.

    Raises:
        DataError, CheckpointError: as their names say.
    """
    key = json.dumps(
        [_code(), sha256_file(run.folder / "checkpoint" / "model.safetensors"), dataset.fingerprint, seed]
        + ([epochs, least] if detail else [])
    )
    name = f"{'detail' if detail else 'basic'}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors"
    path = run.folder / "claims" / name
    training_seed = int(run.record["parameters"]["seed"])
    found = _read(path)
    if found is None:
        embedded = embed_run(run.folder, dataset, cache_dir=cache_dir, progress=False)
        figures = basic(embedded, seed=seed)
        if detail:
            figures |= zero_shot(run.folder, embedded, dataset, least=least, seed=seed)
            given = {"cache_dir": cache_dir, "least": least, "epochs": epochs, "seed": seed}
            figures |= probed(run.folder, dataset, probe_seed=training_seed, **given)
            figures |= spaces(embedded, seed=seed)
        found = figures, _card(embedded, dataset, seed)
        _write(path, *found)
    return Measured(run.folder, training_seed, *found)


def basic(embedded: Embedded, *, seed: int) -> dict[str, Quantity]:
    """Retrieval in both directions from predictions and projections, the gap of both, and the rank in use."""
    works, clip_of, first = embedded.works, embedded.track_of_text, embedded.first_captions
    figures: dict[str, Quantity] = {}
    kinds: tuple[Kind, ...] = ("q", "z")
    for kind in kinds:
        audio, text = embedded.audio(kind), embedded.text(kind)
        pairs = {"audio": audio, "text": text, "track_of_text": clip_of}
        for way, ranks, groups in (
            ("text_to_audio", text_to_audio_ranks(**pairs), works[clip_of]),
            ("audio_to_text", audio_to_text_ranks(**pairs), works),
        ):
            about = {"direction": way, "embedding": kind, "queries": len(groups), "candidates": ranks.candidates}
            units = {f"R@{k}": ranks.hit_probability(k) for k in RECALLS}
            units["mean_rank"] = ranks.expected / ranks.candidates
            figures |= {f"{kind}.{way}.{name}": Quantity.mean(u, groups, **about) for name, u in units.items()}
        pair = {"audio": audio, "text": text[first]}
        about = {"embedding": kind, "captions": "the first caption of each clip"}
        figures[f"{kind}.distance"] = Quantity.mean(along_gap(**pair), works, **about)
        apart = told_apart(**pair, seed=seed, folds=min(5, len(first)))
        figures[f"{kind}.separability"] = Quantity.mean(apart, works, **about)
        rank = min(effective_rank(audio), effective_rank(text))
        figures[f"{kind}.effective_rank"] = Quantity.other(rank, None, works, **about)
    return figures


def _card(embedded: Embedded, dataset: AudioTextDataset, seed: int) -> dict[str, Any]:
    clips = hashlib.sha256("\0".join(embedded.frame["id"]).encode()).hexdigest()[:12]
    return {
        "data": dataset.name,
        "data_hash": dataset.fingerprint[:12],
        "split": embedded.split,
        "split_hash": clips,
        "captions": "all captions of a clip",
        "seed": seed,
    }


@functools.cache
def _code() -> str:
    """Return the hash of the code that measures: other code measures again."""
    measuring = {k: v for k, v in code_of_package().items() if k.startswith(("metrics/", "runs/claims/"))}
    return hashlib.sha256(repr(measuring).encode()).hexdigest()


def _write(path: Path, figures: dict[str, Quantity], card: dict[str, Any]) -> None:
    from safetensors.numpy import save_file

    arrays, about = {}, {}
    for name, figure in figures.items():
        about[name] = {"value": figure.value, "error": figure.error, "about": figure.about}
        arrays[f"{name} groups"] = figure.groups.astype(np.int64)
        if figure.units is not None:
            arrays[f"{name} units"] = figure.units
    with atomic_path(path) as temporary:
        save_file(arrays, temporary, metadata={"figures": json.dumps(about), "card": json.dumps(card)})


def _read(path: Path) -> tuple[dict[str, Quantity], dict[str, Any]] | None:
    """Return what `_write` kept, None where there is nothing of use."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            about, card = (json.loads(file.metadata()[name]) for name in ("figures", "card"))
            known = set(file.keys())
            figures = {
                name: Quantity(
                    content["value"],
                    file.get_tensor(f"{name} units") if f"{name} units" in known else None,
                    file.get_tensor(f"{name} groups"),
                    content["error"],
                    content["about"],
                )
                for name, content in about.items()
            }
        return figures, card
    except (OSError, SafetensorError, KeyError, ValueError, TypeError):
        return None
