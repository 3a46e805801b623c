"""The model card of a run: what was trained, on what, how well it does and how that was measured, as README.md.

Every value comes out of the run's `run.json` and `metrics.json` and is escaped for Markdown: names of data sets and
files are other people's texts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from slapkit.errors import CheckpointError
from slapkit.metrics.protocol import markdown as escape
from slapkit.metrics.summary import DIRECTIONS, chance, decimals, dig, embedding, label, percent, retrieval, words
from slapkit.models.inference import Model

_PAPER = "https://arxiv.org/abs/2506.17815"
_MEASURES = ("R@1", "R@5", "R@10")
_USES = {
    "hub-folder": 'model = slapkit.load(".")  # this folder\naudio = model.embed_audio(["one.mp3"])\n'
    'text = model.embed_text(["slow solo flute"])\nprint(text @ audio.T)',
    "clap": 'model = ClapModel.from_pretrained(".")  # this folder\nprocessor = ClapProcessor.from_pretrained(".")',
    "onnx": 'audio = onnxruntime.InferenceSession("audio.onnx")\ntext = onnxruntime.InferenceSession("text.onnx")',
}
_IMPORTS = {
    "hub-folder": "import slapkit",
    "clap": "from transformers import ClapModel, ClapProcessor",
    "onnx": "import onnxruntime",
}
_NOTES = {
    "hub-folder": "",
    "clap": "This form has no predictors: embeddings are the projections z. CLAP's processor hears a random piece of "
    "a sound that is longer than its window; slapkit hears all of it.",
    "onnx": "`export.json` says what goes into the graphs and what comes out of them.",
}


class Run(NamedTuple):
    """What a run's `run.json` and `metrics.json` hold."""

    record: dict[str, Any]
    metrics: dict[str, Any]


def model_card(model: Model, run: str | Path | None = None, *, form: str = "hub-folder") -> str:
    """Return the card of a model as Markdown.

    Args:
        model: the model.
        run: the folder of the run that trained it, with `run.json` and `metrics.json`; None says that nothing is known.
        form: what the card lies beside: "hub-folder", "clap" or "onnx".

    Raises:
        CheckpointError: `run` has no record, or its metrics cannot be read.
    """
    found = None if run is None else read_run(Path(run))
    if found and form == "clap":
        found = _by_projections(found)
    title = label(found.record) if found else model.joint.objective.upper()
    parts = [
        _front_matter(),
        f"# {escape(title)}: joint embeddings of music and text",
        f"Trained with slapkit, after [SLAP, arXiv 2506.17815]({_PAPER}).",
        "## Use",
        f"```python\n{_IMPORTS[form]}\n\n{_USES[form]}\n```",
        _NOTES[form],
        "## The model",
        _table(["part", "value"], _parts(model)),
    ]
    if found:
        parts += [
            "## How well it does",
            *_results(found),
            "## How it was trained",
            _table(["what", "value"], _training(found)),
        ]
    else:
        parts.append("How it was trained and how well it does is not on record here.")
    return "\n\n".join(part for part in parts if part) + "\n"


def read_run(folder: Path) -> Run:
    """Return a run's record and metrics; a run without metrics has none.

    Raises:
        CheckpointError: there is no record, or the metrics are damaged.
    """
    found = []
    for path in (folder / "run.json", folder / "metrics.json"):
        try:
            value = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path} cannot be read: {error}") from error
        found.append(value if isinstance(value, dict) else {})
    if "status" not in found[0]:
        raise CheckpointError(f"{folder} has no run.json with a record: it is not the folder of a run")
    return Run(*found)


def _by_projections(run: Run) -> Run:
    """Return a run with the figures of its projections alone, for a form that has no predictors."""
    kept = {key: value for key, value in run.metrics.items() if key not in ("gap", "gap_z", "health")}
    kinds = run.metrics.get("retrieval") or {}
    kept["retrieval"] = {"z": kinds["z"]} if "z" in kinds else {}
    if "gap_z" in run.metrics:
        kept["gap"] = run.metrics["gap_z"]
    return Run(run.record, kept)


def _front_matter() -> str:
    """What the Hub sorts models by; no licence, for slapkit knows none of data and weights."""
    tags = ["music", "audio-text", "retrieval", "slap"]
    lines = ["library_name: slapkit", "pipeline_tag: feature-extraction", "tags:", *(f"- {tag}" for tag in tags)]
    return "\n".join(["---", *lines, "---"])


def _table(head: list[str], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ["---"] * len(head), *([escape(str(cell)) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _parts(model: Model) -> list[tuple[str, str]]:
    config, joint = model.config, model.joint
    audio, front = config.audio, config.audio.frontend
    heard = "samples" if front.kind == "wave" else f"{front.n_mels} mel bands"
    source = Path(audio.waveform.source).name if audio.waveform else audio.kind
    used = [p for n, p in joint.named_parameters() if not n.startswith("target_")]
    return [
        ("objective", joint.objective),
        ("audio encoder", f"{source}{', frozen' if audio.frozen else ''}"),
        ("hears", f"windows of {audio.window_s:g} s at {front.sample_rate:,} Hz, {heard}"),
        ("text encoder", f"{Path(config.text.source).name}{', frozen' if config.text.frozen else ''}"),
        ("reads", f"up to {config.text.max_tokens} tokens"),
        ("embedding", f"{config.dim} dimensions, {'predictions q' if model.has_predictor else 'projections z'}"),
        ("parameters", f"{sum(p.numel() for p in used) / 1e6:.1f} M"),
    ]


def _results(run: Run) -> list[str]:
    """Return the figures with their protocol; without a protocol a figure says nothing and stays away."""
    protocol = run.metrics.get("protocol")
    if not run.metrics.get("retrieval") or not isinstance(protocol, Mapping):
        return ["Nothing was measured with a protocol on record."]
    rows = [
        (
            name,
            *(percent(retrieval(run.metrics, direction, m)) for m in _MEASURES),
            percent(retrieval(run.metrics, direction, "median_rank")),
        )
        for direction, name in DIRECTIONS.items()
    ]
    gap = [
        ("distance of the centroids", decimals(dig(run.metrics, "gap", "centroid_distance"))),
        ("linear separability (chance 50 %)", percent(dig(run.metrics, "gap", "linear_separability"))),
        ("effective rank (dimensions)", decimals(dig(run.metrics, "health", "effective_rank"), 1)),
    ]
    return [
        f"Retrieval by {embedding(run.metrics)}; text to audio at chance: R@10 {percent(chance(run.metrics))}.",
        _table(["direction", *_MEASURES, "median rank (of candidates)"], rows),
        _table(["modality gap and health", "value"], gap),
        "### How that was measured",
        _table(["protocol", "value"], [(key, words(value)) for key, value in protocol.items()]),
    ]


def _training(run: Run) -> list[tuple[str, str]]:
    record = run.record
    machine, given = record.get("machine") or {}, record.get("parameters") or {}
    commit = f"{record.get('commit')}{' with changes' if record.get('dirty') else ''}"
    shown = ("slapkit", "python", "torch", "transformers")
    packages = record.get("packages") or {}
    return [
        ("notebook", str(record.get("notebook"))),
        ("parameters", ", ".join(f"{k}={v}" for k, v in given.items() if v is not None)),
        ("data fingerprint", str(record.get("data_fingerprint"))),
        ("training", words(run.metrics.get("training", {}))),
        ("machine", f"{machine.get('cpu')}, {machine.get('cores')} cores"),
        ("accelerators", ", ".join(machine.get("accelerators") or []) or "none"),
        ("commit", commit),
        ("packages", ", ".join(f"{name} {packages[name]}" for name in shown if name in packages)),
        ("started", str(record.get("started"))),
    ]
