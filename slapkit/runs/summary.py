"""A run's main figures in a few words: what the terminal prints and the report's table shows."""

from __future__ import annotations

import math
from typing import Any

from slapkit.runs.runner import Run

DIRECTIONS = {"text_to_audio": "text to audio", "audio_to_text": "audio to text"}
DASH = "–"


def dig(values: dict[str, Any], *keys: str) -> Any:
    """Return the value below nested keys, None where the path breaks."""
    for key in keys:
        if not isinstance(values, dict) or key not in values:
            return None
        values = values[key]
    return values


def number(value: Any) -> float | None:
    """Return a finite number as float, None for anything else."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if good else None


def percent(value: Any) -> str:
    """Return a share as percent with one decimal (0.613 -> "61.3 %")."""
    value = number(value)
    return DASH if value is None else f"{100 * value:.1f} %"


def decimals(value: Any, digits: int = 3) -> str:
    """Return a number with a fixed number of decimals."""
    value = number(value)
    return DASH if value is None else f"{value:.{digits}f}"


def words(value: Any) -> str:
    """Return a value as text: a mapping as "train 90, test 20", lists as "SLAP, CLAP", a fraction by three digits."""
    if isinstance(value, dict):
        return ", ".join(f"{k} {words(v)}" for k, v in value.items())
    if isinstance(value, list):
        return ", ".join(map(words, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def label(run: Run) -> str:
    """Return the name of what a run trained ("SLAP"), or its notebook's name."""
    objective = run.record.get("parameters", {}).get("objective")
    return {"slap": "SLAP", "clap": "CLAP", "siglip": "SigLIP"}.get(objective, run.record.get("notebook", "run"))


def embedding(run: Run) -> str:
    """Return which embedding a run's objective is judged by: predictions "q" for SLAP, projections "z" otherwise."""
    kinds = dig(run.metrics, "retrieval") or {}
    wanted = dig(run.metrics, "protocol", "embedding")
    return wanted if wanted in kinds else "q" if "q" in kinds else "z"


def retrieval(run: Run, direction: str, measure: str) -> float | None:
    """Return one retrieval figure of a run by the embedding it is judged by."""
    return number(dig(run.metrics, "retrieval", embedding(run), direction, measure))


def chance(run: Run, k: int = 10) -> float | None:
    """Return the recall at k that a constant embedding has on the candidates of this run."""
    candidates = number(dig(run.metrics, "protocol", "candidates"))
    return min(1.0, k / candidates) if candidates else None


def main_figures(run: Run) -> list[str]:
    """Return the lines that sum a run up in a terminal; empty where it measured nothing."""
    if "retrieval" not in run.metrics:
        return [f"{key.replace('_', ' ')}: {words(value)}" for key, value in run.metrics.get("summary", {}).items()]
    lines = []
    for direction, name in DIRECTIONS.items():
        recalls = "  ".join(f"{m} {percent(retrieval(run, direction, m))}" for m in ("R@1", "R@5", "R@10"))
        lines.append(f"{label(run)} {name}: {recalls}  median rank {percent(retrieval(run, direction, 'median_rank'))}")
    gap, health = run.metrics.get("gap", {}), run.metrics.get("health", {})
    lines.append(
        f"{label(run)} gap: centroid distance {decimals(gap.get('centroid_distance'))}, "
        f"linear separability {percent(gap.get('linear_separability'))}; "
        f"effective rank {decimals(health.get('effective_rank'), 1)}"
    )
    return lines
