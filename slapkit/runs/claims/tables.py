"""The paper's tables on our data: every figure with its interval, and no column of unlike protocols."""

from __future__ import annotations

from slapkit.metrics.protocol import Column, Score, Table
from slapkit.metrics.zero_shot import PROMPTS
from slapkit.runs.claims.estimate import score
from slapkit.runs.claims.measure import STAGES
from slapkit.runs.claims.plan import NAMES
from slapkit.runs.claims.quantity import Measured
from slapkit.runs.claims.results import Results

Cells = dict[str, str]  # title of a column -> name of the figure
_WAYS = {"text_to_audio": "T→A", "audio_to_text": "A→T"}
_ZERO_SHOT = [
    ("style", "accuracy"),
    *((task, m) for task in ("instruments", "tags") for m in ("ROC-AUC", "mAP", "mAR")),
]
_MICROSCOPE = {
    "centroid distance": "distance",
    "separability": "separability",
    "covariance mismatch": "covariance",
    "spectrum mismatch": "spectrum",
    "cosine, matched": "matched",
    "cosine, unmatched": "unmatched",
    "V-measure with style": "V style",
    "V-measure with instruments": "V instrument",
    "V-measure with modality": "V modality, style",
    "own modality preferred, audio asks": "preference, audio asks",
    "own modality preferred, text asks": "preference, text asks",
    "T→A R@10": "text_to_audio.R@10",
}


def tables(results: Results) -> dict[str, Table]:
    """Return the tables by name; a figure that no run has leaves its place empty.

    Raises:
        MetricError: runs were measured on different data, or otherwise not alike.
    """
    models = {NAMES[label]: runs for label, runs in results.models().items()}
    q_against_z = Table([Column(title) for title in _retrieval("q")], vary=("embedding",))
    for kind, words in (("q", "predictions q"), ("z", "projections z")):
        _add(q_against_z, f"SLAP, {words}", models["SLAP"], _retrieval(kind))
    shares = ("separability", "preference", "text_to_audio")
    columns = [(title, name.startswith(shares)) for title, name in _MICROSCOPE.items()]
    microscope = Table([Column(title, percent=share, digits=1 if share else 3) for title, share in columns])
    for name in ("SLAP", "CLAP", "SigLIP"):
        for stage, words in STAGES.items():
            cells = {title: f"space.{stage}.{figure}" for title, figure in _MICROSCOPE.items()}
            _add(microscope, f"{name}, {words}", models[name], cells)
    return {
        "retrieval": _table(models, _retrieval("q")),
        "q-against-z": q_against_z,
        "zero-shot": _table(models, _zero_shot()),
        "prompts": _table(models, _prompts()),
        "probing": _table(models, _probing()),
        "microscope": microscope,
    }


def _table(models: dict[str, list[Measured]], cells: Cells) -> Table:
    table = Table([Column(title) for title in cells])
    for row, runs in models.items():
        _add(table, row, runs, cells)
    return table


def _add(table: Table, row: str, runs: list[Measured], cells: Cells) -> None:
    """Add a row of the figures that all runs have, if there are any."""
    present = {title: name for title, name in cells.items() if runs and all(name in run.figures for run in runs)}
    if present:
        scores: dict[str, Score] = {title: score(runs, name) for title, name in present.items()}
        table.add(row, scores)


def _retrieval(kind: str) -> Cells:
    names = {"R@1": "R@1", "R@5": "R@5", "R@10": "R@10", "mean rank": "mean_rank"}
    return {f"{words} {what}": f"{kind}.{way}.{n}" for way, words in _WAYS.items() for what, n in names.items()}


def _zero_shot() -> Cells:
    return {
        f"{task} {metric}, {how}": f"zero.{task}.{metric}.{how}"
        for task, metric in _ZERO_SHOT
        for how in (("best", "mean", "ensemble") if metric in ("accuracy", "mAP") else ("best", "ensemble"))
    }


def _prompts() -> Cells:
    """Every prompt alone, for one figure a task."""
    figures = (("style", "accuracy"), ("instruments", "mAP"), ("tags", "mAP"))
    return {f"{task} {metric}, “{p}”": f"zero.{task}.{metric}.{p}" for task, metric in figures for p in PROMPTS}


def _probing() -> Cells:
    probes = {"mlp": "one hidden layer", "linear": "linear"}
    return {
        f"{task} {metric}, {words}": f"probe.{probe}.{task}.{metric}"
        for task, metric in _ZERO_SHOT
        if metric != "mAR"
        for probe, words in probes.items()
    }
