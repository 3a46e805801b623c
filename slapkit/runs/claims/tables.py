"""The paper's tables on our data: every figure with its interval, and no column of unlike protocols."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from slapkit.metrics.protocol import Column, Score, Table
from slapkit.metrics.zero_shot import PROMPTS
from slapkit.runs.claims.estimate import score
from slapkit.runs.claims.measure import Measured
from slapkit.runs.claims.plan import NAMES
from slapkit.runs.claims.results import Results
from slapkit.runs.claims.spaces import STAGES

Cells = dict[str, str]  # title of a column -> name of the figure


def tables(results: Results) -> dict[str, Table]:
    """Return the tables by name; a figure that no run has leaves its place empty.

    Raises:
        MetricError: runs were measured on different data, or otherwise not alike.
    """
    models = [(NAMES[label], results.runs[results.number("models", label)]) for label in NAMES]
    found = {
        "retrieval": _table(models, _retrieval("q")),
        "q-against-z": _q_against_z(models),
        "zero-shot": _table(models, _zero_shot()),
        "prompts": _table(models, _prompts()),
        "probing": _table(models, _probing()),
    }
    microscope = Table(list(_microscope_columns()))
    for name, runs in models[:3]:
        for stage, words in STAGES.items():
            names = {
                column.name: f"space.{stage}.{figure}" for column, figure in zip(microscope.columns.values(), MICRO)
            }
            if scores := _scores(runs, names):
                microscope.add(f"{name}, {words}", scores)
    return found | {"microscope": microscope}


def _table(models: Sequence[tuple[str, list[Measured]]], names: Cells) -> Table:
    table = Table([_column(title) for title in names])
    for row, runs in models:
        if scores := _scores(runs, names):
            table.add(row, scores)
    return table


def _column(title: str) -> Column:
    return Column(title, percent=True)


def _scores(runs: list[Measured], names: Cells) -> dict[str, Score]:
    """Return the figures that all runs have."""
    there = {title: name for title, name in names.items() if runs and all(name in run.figures for run in runs)}
    return {title: score(runs, name) for title, name in there.items()}


def _retrieval(kind: str) -> Cells:
    short = {"text_to_audio": "T→A", "audio_to_text": "A→T"}
    return {
        f"{words} {what}": f"{kind}.{way}.{name}"
        for way, words in short.items()
        for what, name in (("R@1", "R@1"), ("R@5", "R@5"), ("R@10", "R@10"), ("mean rank", "mean_rank"))
    }


def _q_against_z(models: Sequence[tuple[str, list[Measured]]]) -> Table:
    """SLAP asked and answered by predictions, and by projections."""
    slap = models[0][1]
    table = Table([_column(title) for title in _retrieval("q")], vary=("embedding",))
    for kind, words in (("q", "predictions q"), ("z", "projections z")):
        if scores := _scores(slap, _retrieval(kind)):
            table.add(f"SLAP, {words}", scores)
    return table


def _zero_shot() -> Cells:
    measures = {"style": ("accuracy",), "instruments": ("ROC-AUC", "mAP", "mAR"), "tags": ("ROC-AUC", "mAP", "mAR")}
    return {
        f"{task} {measure}, {how}": f"zero.{task}.{measure}.{how}"
        for task, names in measures.items()
        for measure in names
        for how in (("best", "mean", "ensemble") if measure in ("accuracy", "mAP") else ("best", "ensemble"))
    }


def _prompts() -> Cells:
    """Every prompt alone, for one figure a task."""
    figures = {"style": "accuracy", "instruments": "mAP", "tags": "mAP"}
    return {
        f"{task} {measure}, “{prompt}”": f"zero.{task}.{measure}.{prompt}"
        for task, measure in figures.items()
        for prompt in PROMPTS
    }


def _probing() -> Cells:
    measures = {"style": ("accuracy",), "instruments": ("ROC-AUC", "mAP"), "tags": ("ROC-AUC", "mAP")}
    return {
        f"{task} {measure}, {words}": f"probe.{probe}.{task}.{measure}"
        for task, names in measures.items()
        for measure in names
        for probe, words in (("mlp", "one hidden layer"), ("linear", "linear"))
    }


MICRO = (
    "distance",
    "separability",
    "covariance",
    "spectrum",
    "matched",
    "unmatched",
    "V style",
    "V instrument",
    "V modality, style",
    "preference, audio asks",
    "preference, text asks",
    "text_to_audio.R@10",
)


def _microscope_columns() -> Iterator[Column]:
    words = {
        "distance": "centroid distance",
        "separability": "separability",
        "covariance": "covariance mismatch",
        "spectrum": "spectrum mismatch",
        "matched": "cosine, matched",
        "unmatched": "cosine, unmatched",
        "V style": "V-measure with style",
        "V instrument": "V-measure with instruments",
        "V modality, style": "V-measure with modality",
        "preference, audio asks": "own modality preferred, audio asks",
        "preference, text asks": "own modality preferred, text asks",
        "text_to_audio.R@10": "T→A R@10",
    }
    for name in MICRO:
        percent = name in ("separability", "text_to_audio.R@10") or name.startswith("preference")
        yield Column(words[name], percent=percent, digits=1 if percent else 3)
