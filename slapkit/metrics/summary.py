"""Measured values as text; `metrics` is what a run's `metrics.json` holds."""

import math
from collections.abc import Mapping
from typing import Any

from slapkit.models import OBJECTIVE_NAMES

DIRECTIONS = {"text_to_audio": "text to audio", "audio_to_text": "audio to text"}
DASH = "–"
_MEASURES = ("R@1", "R@5", "R@10")


def dig(values: Any, *keys: str) -> Any:
    """Return the value below nested keys, None where one is missing."""
    for key in keys:
        if not isinstance(values, Mapping) or key not in values:
            return None
        values = values[key]
    return values


def number(value: Any) -> float | None:
    """Return a finite number as float, None for anything else."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if good else None


def percent(value: Any) -> str:
    """Return a share as percent with one decimal: 0.613 as "61.3 %"."""
    value = number(value)
    return DASH if value is None else f"{100 * value:.1f} %"


def decimals(value: Any, digits: int = 3) -> str:
    """Return a number with a fixed number of decimals."""
    value = number(value)
    return DASH if value is None else f"{value:.{digits}f}"


def words(value: Any) -> str:
    """Return a value as text: a mapping as "train 90, test 20", a list as "SLAP, CLAP", floats with three digits."""
    if isinstance(value, dict):
        return ", ".join(f"{k} {words(v)}" for k, v in value.items())
    if isinstance(value, list):
        return ", ".join(map(words, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def label(record: Mapping[str, Any]) -> str:
    """Return the name of the objective that a run trained ("SLAP"), or the name of its notebook."""
    objective = dig(record, "parameters", "objective")
    return OBJECTIVE_NAMES.get(objective, record.get("notebook", "run"))


def embedding(metrics: Mapping[str, Any]) -> str:
    """Return the embedding that retrieval is judged by: "q" (predictions) or "z" (projections)."""
    kinds = dig(metrics, "retrieval") or {}
    wanted = dig(metrics, "protocol", "embedding")
    return wanted if wanted in kinds else "q" if "q" in kinds else "z"


def retrieval(metrics: Mapping[str, Any], direction: str, measure: str) -> float | None:
    """Return one retrieval measure, by the embedding that retrieval is judged by."""
    return number(dig(metrics, "retrieval", embedding(metrics), direction, measure))


def chance(metrics: Mapping[str, Any], k: int = 10) -> float | None:
    """Return the recall at k of a constant embedding."""
    candidates = number(dig(metrics, "protocol", "candidates"))
    return min(1.0, k / candidates) if candidates else None


def main_figures(record: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[str]:
    """Return a run's main figures as lines; none where nothing was measured."""
    if "retrieval" not in metrics:
        return [f"{key.replace('_', ' ')}: {words(value)}" for key, value in metrics.get("summary", {}).items()]
    name, lines = label(record), []
    for direction, way in DIRECTIONS.items():
        recalls = "  ".join(f"{m} {percent(retrieval(metrics, direction, m))}" for m in _MEASURES)
        lines.append(f"{name} {way}: {recalls}  median rank {percent(retrieval(metrics, direction, 'median_rank'))}")
    gap, rank = metrics.get("gap"), dig(metrics, "health", "effective_rank")
    lines.append(
        f"{name} gap: centroid distance {decimals(dig(gap, 'centroid_distance'))}, "
        f"linear separability {percent(dig(gap, 'linear_separability'))}; effective rank {decimals(rank, 1)}"
    )
    for register, found in metrics.get("registers", {}).items():
        if "precision@10" in found:
            said = f"precision of the first 10 {percent(found['precision@10'])} (chance {percent(found['chance'])})"
        else:
            said = "  ".join(f"{m} {percent(dig(found, 'text_to_audio', m))}" for m in ("R@1", "R@10"))
        lines.append(f"  {register:10} {said}")
    if named := metrics.get("by_name"):
        lines.append(f"{name} asked by name, right among the first 10 (chance):")
        found = [f"{k} {percent(v['precision'])} ({percent(v['chance'])})" for k, v in named.items()]
        lines += [f"  {', '.join(found[i : i + 4])}" for i in range(0, len(found), 4)]
    return lines
