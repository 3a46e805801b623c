"""Both towers as ONNX graphs, which run without Python: `audio.onnx`, `text.onnx`, and `export.json` about them.

`audio.onnx`: `features` `[batch, frames, width]`, one window each, to `z` (and `q` where there is a predictor)
`[batch, D]` of unit norm; a sound's embedding is the mean over its windows, again of unit norm. The features are the
front end's, whose settings stand in `export.json`; for AST and Whisper those of transformers' feature extractor.
`text.onnx`: `input_ids`, `attention_mask` `[batch, length]`, by the tokenizer in `tokenizer/`.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import slapkit
from slapkit._io import atomic_write_json, atomic_write_text
from slapkit.config import require
from slapkit.hub.export.folder import CAPTIONS, TOLERANCE, ExportError, probe_sounds, require_equal, staged_folder
from slapkit.models.encoders.feature_extractors import WaveHearing
from slapkit.models.inference import Model
from slapkit.models.joint import JointModel

_LARGEST = 1_800_000_000  # bytes of weights inside a graph: its format ends at 2 GB, more goes beside it


class _Audio(nn.Module):
    """Features to embeddings."""

    def __init__(self, joint: JointModel) -> None:
        super().__init__()
        self.joint = joint

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        encoder = self.joint.audio.encoder
        h = encoder.encode(features) if _hears_spectrogram(encoder) else encoder(features)
        return _embeddings(self.joint, h, "audio")


class _Text(nn.Module):
    """Tokens to embeddings."""

    def __init__(self, joint: JointModel) -> None:
        super().__init__()
        self.joint = joint

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        h = self.joint.text.encoder({"input_ids": input_ids, "attention_mask": attention_mask})
        return _embeddings(self.joint, h, "text")


def _hears_spectrogram(encoder: nn.Module) -> bool:
    """Say whether an encoder of waves makes a spectrogram first, which ONNX has no operators for."""
    return hasattr(encoder, "hear") and not isinstance(encoder.hear, WaveHearing)


def _embeddings(joint: JointModel, h: Tensor, modality: str) -> tuple[Tensor, ...]:
    pair = joint.embed(h, modality)  # a matrix is a representation, which goes through the heads alone
    return tuple(nn.functional.normalize(x.float(), dim=-1) for x in pair[: 1 + joint.has_predictor])


def to_onnx(
    model: Model, out: str | Path, *, towers: Sequence[str] = ("audio", "text"), card: str | None = None
) -> Path:
    """Write towers into the new folder `out`, compare each with the model, and return `out`.

    Args:
        towers: "audio", "text" or both: an application whose music is embedded already needs the text alone.
        card: text of a README.md, see `slapkit.hub.export.model_card`.

    Raises:
        ExportError: the packages for ONNX are missing, a tower has no ONNX form, or the result differs.
        ConfigError: `out` is there already, or there is no such tower.
    """
    _require_packages()
    for name in towers:
        require(name in ("audio", "text"), "towers", name, "'audio' or 'text'")
    require(bool(towers), "towers", towers, "one at least")
    names = ["z", "q"][: 1 + model.has_predictor]
    joint = model.joint.cpu()  # where the graph is traced and compared
    try:
        with staged_folder(out) as folder, torch.no_grad():
            differences, features = [], _audio_inputs(model)
            if "audio" in towers:
                axes = {"features": ["batch"]}
                differences.append(_tower(folder / "audio.onnx", _Audio(joint), features, axes, names))
            if "text" in towers:
                axes = {"input_ids": ["batch", "length"], "attention_mask": ["batch", "length"]}
                differences.append(_tower(folder / "text.onnx", _Text(joint), _text_inputs(model), axes, names))
                joint.text.encoder.tokenizer.save_pretrained(folder / "tokenizer")
            atomic_write_json(folder / "export.json", _described(model, features[0][0], names, max(differences)))
            if card is not None:
                atomic_write_text(folder / "README.md", card)
    finally:
        joint.to(model.device)
    return Path(out)


def _require_packages() -> None:
    from importlib.util import find_spec

    if missing := [name for name in ("onnx", "onnxruntime", "onnxscript") if find_spec(name) is None]:
        raise ExportError(f"ONNX needs {', '.join(missing)}: pip install 'slapkit[export]'")


def _audio_inputs(model: Model) -> list[tuple[Tensor]]:
    """Return inputs of the audio graph in batches of two, one and five; the first is traced."""
    waves = torch.stack([torch.from_numpy(sound) for sound in probe_sounds(model, 8)])
    features = model.log_mel(waves.to(model.device)).cpu()
    encoder = model.joint.audio.encoder
    if _hears_spectrogram(encoder):
        features = encoder.hear(features.flatten(1))
    return [(features[:2],), (features[2:3],), (features[3:],)]


def _text_inputs(model: Model) -> list[tuple[Tensor, Tensor]]:
    """Return inputs of the text graph in batches of several sizes and lengths, the longest too."""
    batches = [CAPTIONS[:2], CAPTIONS[:1], [*CAPTIONS, "music " * 600], ["x"]]
    tokens = [model.joint.text.encoder.tokenize(list(batch)) for batch in batches]
    return [(t["input_ids"], t["attention_mask"]) for t in tokens]


def _tower(path: Path, tower: nn.Module, inputs: list[tuple], axes: dict[str, list[str]], names: list[str]) -> float:
    """Write one tower and return the largest difference between its graph and itself on `inputs`."""
    tower.eval()
    weights = sum(p.nbytes for p in tower.parameters())
    shapes = tuple(dict(enumerate(axis)) for axis in axes.values())
    with _quiet():
        try:
            torch.onnx.export(
                tower,
                inputs[0],
                path,
                dynamo=True,
                dynamic_shapes=shapes,
                input_names=list(axes),
                output_names=names,
                external_data=weights > _LARGEST,
                verbose=False,
            )
        except Exception as error:  # of torch.export, of the translation or of the optimiser
            reason = str(error).strip().splitlines()
            raise ExportError(
                f"{path.stem}: this tower has no ONNX form ({type(error).__name__}: {reason[0] if reason else ''})"
            ) from error
    return max(_difference(path, tower, batch, list(axes), names) for batch in inputs)


def _difference(path: Path, tower: nn.Module, batch: tuple, inputs: list[str], names: list[str]) -> float:
    """Return by how much the graph at `path` and the tower differ on one batch."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    try:
        found = session.run(names, {name: tensor.numpy() for name, tensor in zip(inputs, batch, strict=True)})
    except Exception as error:  # onnxruntime's classes have no common base of their own
        raise ExportError(f"{path.name} does not run on a batch of {len(batch[0])}: {error}") from error
    what = f"{path.name}, on a batch of {len(batch[0])},"
    return max(require_equal(what, f, e.numpy()) for f, e in zip(found, tower(*batch), strict=True))


def _described(model: Model, features: Tensor, names: list[str], difference: float) -> dict[str, Any]:
    """Return what one has to know to use the graphs."""
    audio = model.config.audio
    by_extractor = _hears_spectrogram(model.joint.audio.encoder)
    return {
        "slapkit": slapkit.__version__,
        "objective": model.joint.objective,
        "dim": model.dim,
        "outputs": names,
        "audio": {
            "features": ["batch", *features.shape[1:]],
            "frontend": audio.frontend.to_dict(),
            "feature_extractor": audio.waveform.features if by_extractor else None,
            "window_s": audio.window_s,
        },
        "text": {"tokenizer": "tokenizer", "max_tokens": model.config.text.max_tokens},
        "largest_difference": difference,
        "tolerance": TOLERANCE,
    }


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep to itself what the exporter says about packages that nothing here needs."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    try:
        logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
