"""What a start knew before it was trained further, and what the training made of it."""

from pathlib import Path
from typing import Any

from slapkit._io import locate
from slapkit.data import AudioTextDataset
from slapkit.errors import SlapkitError
from slapkit.hub.load import load_model
from slapkit.metrics.evaluate import evaluate
from slapkit.models.inference import Model
from slapkit.runs.data import data_of_run
from slapkit.runs.record import run_of

_KEPT = ("retrieval", "gap", "protocol")


def before_and_after(
    start: str | Path, model: Model, measured: dict[str, Any], *, dataset: AudioTextDataset,
    tokenizer: str | Path | None = None, **given: Any,
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """Measure a start beside the model that it became, on the test splits of the new data and of the start's own.

    The start's own data is that of its run, where it is a run and the data lies there unchanged: what `model` lost on
    it was forgotten.

    Args:
        start: a checkpoint of any kind.
        model: what was trained from it.
        measured: what `evaluate` says of `model` on the new data.
        dataset: the new data.
        tokenizer: that of `slapkit.load`, of the start.
        given: further arguments of `evaluate`.

    Returns:
        for each data set by name, "before" and "after", as `evaluate` gives them; and "own", whether it is the start's.
    """
    source = load_model(start, device=str(model.device), tokenizer=tokenizer)
    before = evaluate(source, dataset, **given)
    found = {dataset.name: {"before": _part(before), "after": _part(measured), "own": False}}
    for own in _own_data(start):
        if own.name not in found and own.splits.get("test", 0) > 1:
            both = {"before": evaluate(source, own, **given), "after": evaluate(model, own, **given)}
            found[own.name] = {when: _part(values) for when, values in both.items()} | {"own": True}
    return found


def _own_data(start: str | Path) -> list[AudioTextDataset]:
    """Return the data sets that a run was trained on; none where it is no run, or where they are gone or were changed
    since."""
    if (found := run_of(locate(start).resolve())) is None:
        return []
    folder, record = found
    try:
        return [*data_of_run(record, folder.parents[2]).parts.values()]
    except SlapkitError:
        return []


def _part(metrics: dict[str, Any]) -> dict[str, Any]:
    return {name: metrics[name] for name in _KEPT}
