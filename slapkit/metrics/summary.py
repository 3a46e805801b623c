"""Measured values as text; `metrics` is what a run's `metrics.json` holds."""

import copy
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from slapkit._io import printable
from slapkit.models import OBJECTIVE_NAMES

DIRECTIONS = {"text_to_audio": "text to audio", "audio_to_text": "audio to text"}
DASH = "–"
_MEASURES = ("R@1", "R@5", "R@10")
MEANINGLESS = 0.5  # a figure that chance alone brings to half is marked: R@10 of up to 20 clips
_MEASURED = ("retrieval", "gap", "gap_z", "health", "registers", "by_name", "timbre_shift", "training")


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


def chance(metrics: Mapping[str, Any], k: int = 10, direction: str = "text_to_audio") -> float | None:
    """Return the recall at k of a constant embedding; from audio to text a clip has its mean number of captions."""
    clips = number(dig(metrics, "protocol", "candidates"))
    if direction == "text_to_audio" or not clips:
        return min(1.0, k / clips) if clips else None
    captions = int(number(dig(metrics, "protocol", "queries")) or 0)
    wrong = captions - max(1, round(captions / clips))
    return 1 - math.comb(wrong, k) / math.comb(captions, k) if captions >= k else 1.0


def over_seeds(found: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """Return mean, least and greatest over seeds of every number in the metrics by seed, nested as they are."""
    parts = [{key: metrics[key] for key in _MEASURED if key in metrics} for metrics in found.values()]
    functions = {"mean": statistics.mean, "min": min, "max": max}  # equal values have that mean, to the last digit
    return {"seeds": list(found)} | {name: _over(parts, function) for name, function in functions.items()}


def _over(values: Sequence[Any], function: Callable[[list[float]], float]) -> Any:
    if all(isinstance(value, Mapping) for value in values):
        shared = [key for key in values[0] if all(key in value for value in values)]
        made = {key: _over([value[key] for value in values], function) for key in shared}
        return {key: value for key, value in made.items() if value is not None}
    numbers = [number(value) for value in values]
    return None if None in numbers else function(numbers)


def averaged(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's metrics with means over its seeds in place of the first seed's figures."""
    result = copy.deepcopy(dict(metrics))
    _update(result, dig(metrics, "seeds", "mean") or {})
    return result


def _update(values: dict[str, Any], others: Mapping[str, Any]) -> None:
    for key, other in others.items():
        if isinstance(other, Mapping) and isinstance(values.get(key), dict):
            _update(values[key], other)
        else:
            values[key] = other


def ranged(metrics: Mapping[str, Any], *keys: str, write: Callable[[Any], str] = percent) -> str:
    """Return one figure as text; of several seeds their mean, and in brackets the least and the greatest."""
    text = write(dig(averaged(metrics), *keys))
    low, high = (dig(metrics, "seeds", name, *keys) for name in ("min", "max"))
    return text if low is None else f"{text} ({write(low)} to {write(high)})"


def one_decimal(value: Any) -> str:
    """Return a number with one decimal."""
    return decimals(value, 1)


def _candidates(metrics: Mapping[str, Any], direction: str) -> str:
    count = number(dig(metrics, "protocol", "candidates" if direction == "text_to_audio" else "queries"))
    return f"{count or 0:,.0f} {'clips' if direction == 'text_to_audio' else 'captions'}"


def _marked(name: str, chance: Any) -> str:
    """Return the name of a figure, marked where chance alone brings it so far that it says nothing."""
    return f"{name}*" if (number(chance) or 0) >= MEANINGLESS else name


def main_figures(record: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[str]:
    """Return a run's main figures as lines; none where nothing was measured."""
    if "retrieval" not in metrics:
        return [f"{key.replace('_', ' ')}: {words(value)}" for key, value in metrics.get("summary", {}).items()]
    name, lines, seeds = label(record), [], dig(metrics, "seeds", "seeds")
    if seeds:
        lines.append(f"{name}: means over the seeds {words(seeds)}; in brackets the least and the greatest")
    lines += [f"{name}: {note}" for note in (metrics.get("start"), record.get("data_note")) if note]
    for direction, way in DIRECTIONS.items():
        chances = {m: chance(metrics, int(m[2:]), direction) for m in _MEASURES}
        kind = embedding(metrics)
        recalls = [f"{_marked(m, chances[m])} {ranged(metrics, 'retrieval', kind, direction, m)}" for m in _MEASURES]
        rank = percent(retrieval(averaged(metrics), direction, "median_rank"))
        lines.append(f"{name} {way}: {'  '.join(recalls)}  median rank {rank}")
        if None not in chances.values():
            lines.append(f"  of {_candidates(metrics, direction)}, chance {', '.join(map(percent, chances.values()))}")
    if shared := number(dig(metrics, "protocol", "shared_captions")):
        lines.append(f"  {shared:,.0f} of the captions belong to several clips, which are right answers alike")
    lines.append(
        f"{name} gap: centroid distance {ranged(metrics, 'gap', 'centroid_distance', write=decimals)}, "
        f"linear separability {ranged(metrics, 'gap', 'linear_separability')}; "
        f"effective rank {ranged(metrics, 'health', 'effective_rank', write=one_decimal)}"
    )
    metrics = averaged(metrics)
    for register, found in metrics.get("registers", {}).items():
        if "precision@10" in found:
            chances = {"precision of the first 10": found["chance"]}
            values = [found["precision@10"]]
        else:
            chances = {m: chance(metrics, int(m[2:])) for m in ("R@1", "R@10")}
            values = [dig(found, "text_to_audio", m) for m in chances]
        said = "  ".join(f"{_marked(m, c)} {percent(value)}" for (m, c), value in zip(chances.items(), values))
        lines.append(f"  {register:10} {said} (chance {', '.join(map(percent, chances.values()))})")
    if named := metrics.get("by_name"):
        lines.append(f"{name} asked by name, right among the first 10 (chance):")
        found = [
            f"{_marked(k, v['chance'])} {percent(v['precision'])} ({percent(v['chance'])})" for k, v in named.items()
        ]
        lines += [f"  {', '.join(found[i : i + 4])}" for i in range(0, len(found), 4)]
    lines += other_figures(metrics)
    if any("* " in line for line in lines):
        lines.append(f"  * says nothing: by chance alone it would be {100 * MEANINGLESS:.0f} % or more")
    return lines


def other_figures(metrics: Mapping[str, Any]) -> list[str]:
    """Return, a line each, what was measured in other sounds and on further data sets beside the main figures, and what
    the start of a training knew."""
    lines = []
    if whole := metrics.get("together"):
        said = (f"{way}: {_recalls(whole, direction)}" for direction, way in DIRECTIONS.items())
        lines.append(f"the seeds together, as the run's model is used: {'; '.join(said)}")
    if clips := dig(metrics, "timbre_shift", "clips"):
        unseen, known = (ranged(metrics, "timbre_shift", sound, "R@10") for sound in ("unseen", "known"))
        said = f"in sounds that training never used, text to audio: R@10 {unseen} of {clips:,.0f} clips"
        lines.append(f"{said}, {known} of the same in sounds that it knows (chance {percent(min(1.0, 10 / clips))})")
    for name, found in metrics.get("data_sets", {}).items():
        by = dig(found, "protocol", "captions_by")
        said = f"on {printable(name)}, text to audio: {_recalls(found)} of {_candidates(found, 'text_to_audio')}"
        lines.append(f"{said}, chance R@10 {percent(chance(found))}{f'; {by}' if by else ''}")
    for name, found in metrics.get("before_and_after", {}).items():
        own = ", which the start was trained on" if found["own"] else ""
        said = f"before and after, on {printable(name)}{own}, text to audio: {_recalls(found['before'])}, then"
        lines.append(f"{said} {_recalls(found['after'])} of {_candidates(found['after'], 'text_to_audio')}")
    return lines


def _recalls(metrics: Mapping[str, Any], direction: str = "text_to_audio") -> str:
    """Return the recalls in one direction, such as "R@1 20.0 %  R@5 51.2 %  R@10 68.0 %"."""
    chances = {m: chance(metrics, int(m[2:]), direction) for m in _MEASURES}
    shown = {_marked(m, chances[m]): retrieval(metrics, direction, m) for m in _MEASURES}
    return "  ".join(f"{m} {percent(value)}" for m, value in shown.items())
