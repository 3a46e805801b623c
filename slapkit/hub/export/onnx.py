"""Both towers as ONNX graphs, which run without Python: `frontend.onnx`, `audio.onnx`, `text.onnx`, and `export.json`
about them.

`frontend.onnx`: `wave` `[samples]`, one clip at the model's rate, to `features` `[batch, frames, width]` of the windows
that cover it. `audio.onnx`: these to `z` (and `q` where there is a predictor) `[batch, D]` of unit norm; the clip's
embedding is the mean over its windows, again of unit norm. AST and Whisper take the features of transformers' feature
extractor, of the windows' samples. `text.onnx`: `input_ids`, `attention_mask` `[batch, length]`, by the tokenizer in
`tokenizer/`. The card has code for all of it.
"""

import copy
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import slapkit
from slapkit._io import atomic_write_json, atomic_write_text, staged_folder
from slapkit.config import require
from slapkit.errors import need_extra
from slapkit.hub.export.folder import CAPTIONS, TOLERANCE, ExportError, probe_sounds, require_same
from slapkit.models.embed import mean_by_clip
from slapkit.models.encoders.waveform import WaveFeatures
from slapkit.models.inference import Model
from slapkit.models.joint import JointModel

_LARGEST = 1_800_000_000  # bytes of weights inside a graph: its format ends at 2 GB, more goes beside it
_TOKENS = ("input_ids", "attention_mask")


class _Tower(nn.Module):
    def __init__(self, joint: JointModel) -> None:
        super().__init__()
        self.joint = joint


class _Audio(_Tower):
    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        encoder = self.joint.audio.encoder
        h = encoder.encode(features) if _makes_spectrogram(encoder) else encoder(features)
        return _embeddings(self.joint, h, "audio")


class _Frontend(nn.Module):
    """A clip of any length to its windows, as `slapkit.audio.features.extract` and `tiled_starts` give them."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.transform, self.window = model.log_mel, model.config.audio.window_frames
        front = model.config.audio.frontend
        self.least, self.padding = round(front.min_s * front.sample_rate), front.padding

    def forward(self, wave: Tensor) -> Tensor:
        length, window = wave.shape[0], self.window
        places = torch.arange(torch.sym_max(length, self.least))
        filled = wave[places % torch.full((1,), length)]
        if self.padding != "repeat":  # zeros after the last whole repetition, or after the first
            whole = length if self.padding == "pad" else torch.sym_max(self.least // length, 1) * length
            filled = filled * (places < whole)
        features = self.transform(filled[None])[0].half().float()  # rounded as everywhere
        frames = features.shape[0]
        starts = (torch.arange((frames + window - 1) // window) * window).clamp(max=frames - window)
        return features[starts[:, None] + torch.arange(window)]


class _Text(_Tower):
    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        h = self.joint.text.encoder({"input_ids": input_ids, "attention_mask": attention_mask})
        return _embeddings(self.joint, h, "text")


def _makes_spectrogram(encoder: nn.Module) -> bool:
    """Whether an encoder of waves makes a spectrogram first, which ONNX has no operators for."""
    return hasattr(encoder, "extract") and not isinstance(encoder.extract, WaveFeatures)


def _embeddings(joint: JointModel, h: Tensor, modality: str) -> tuple[Tensor, ...]:
    pair = joint.embed(h, modality)  # a matrix is a representation, which goes through the heads alone
    return tuple(nn.functional.normalize(x.float(), dim=-1) for x in pair[: 1 + joint.has_predictor])


def to_onnx(
    model: Model, out: str | Path, *, towers: Sequence[str] = ("audio", "text"), card: str | None = None
) -> Path:
    """Write towers into the new folder `out`, compare each with the model, and return `out`.

    An application whose music is embedded already needs the tower "text" alone. `card` is the text of a README.md.

    Raises:
        MissingExtraError: the packages for ONNX are missing.
        ExportError: a tower has no ONNX form, or the result differs.
        ConfigError: `out` is there already, or there is no such tower.
    """
    need_extra("export", "onnx", "onnxruntime", "onnxscript")
    require(bool(towers) and set(towers) <= {"audio", "text"}, "towers", towers, "'audio', 'text' or both")
    if model.device.type != "cpu":  # where the graph is traced and compared
        model = Model(copy.deepcopy(model.joint))
    joint, graphs = model.joint, {}
    with staged_folder(out) as folder, torch.no_grad():
        outputs = ["z", "q"][: 1 + joint.has_predictor]
        if "audio" in towers:
            names, path = {"features": ["batch"]}, folder / "audio.onnx"
            graphs["audio"] = _export(path, _Audio(joint), (_features(model, probe_sounds(model)[0]),), names, outputs)
            names, path = {"wave": ["samples"]}, folder / "frontend.onnx"
            graphs["frontend"] = _export(path, _Frontend(model), (_clips(model)[0],), names, ["features"])
        if "text" in towers:
            names, path = {name: ["batch", "length"] for name in _TOKENS}, folder / "text.onnx"
            graphs["text"] = _export(path, _Text(joint), _tokens(model, CAPTIONS[0]), names, outputs)
            joint.text.encoder.tokenizer.save_pretrained(folder / "tokenizer")
        difference = require_same(
            model,
            audio=graphs.get("audio") and (lambda sounds: graphs["audio"](_features(model, sounds))),
            text=graphs.get("text") and (lambda captions: graphs["text"](*_tokens(model, captions))),
        )
        if "audio" in towers:
            difference = max(difference, _require_same_clips(model, graphs))
        atomic_write_json(folder / "export.json", _described(model, outputs, difference))
        if card is not None:
            atomic_write_text(folder / "README.md", card)
    return Path(out)


def _described(model: Model, outputs: list[str], difference: float) -> dict[str, Any]:
    """Return what `export.json` says of the graphs."""
    joint, audio = model.joint, model.config.audio
    return {
        "slapkit": slapkit.__version__,
        "model": model.fingerprint(),
        "objective": joint.objective,
        "dim": model.dim,
        "outputs": outputs,
        "audio": {
            "features": ["batch", *_features(model, probe_sounds(model)[1]).shape[1:]],
            "frontend": audio.frontend.to_dict(),
            "feature_extractor": audio.waveform.features if _makes_spectrogram(joint.audio.encoder) else None,
            "window_s": audio.window_s,
        },
        "text": {
            "tokenizer": "tokenizer",
            "max_tokens": model.config.text.max_tokens,
            "words": sorted(joint.vocabulary),  # of the captions that it was trained on
        },
        "note": model.note,
        "largest_difference": difference,
        "tolerance": TOLERANCE,
    }


def _features(model: Model, sounds: list[np.ndarray]) -> Tensor:
    """Return the inputs of the audio graph."""
    return _extracted(model, model.log_mel(torch.from_numpy(np.stack(sounds))))


def _extracted(model: Model, windows: Tensor) -> Tensor:
    encoder = model.joint.audio.encoder
    return encoder.extract(windows.flatten(1)) if _makes_spectrogram(encoder) else windows


def _clips(model: Model) -> list[Tensor]:
    """Return a clip of several windows `[T]`, the last one silent, and one that is shorter than a window."""
    clip = np.concatenate(sum(probe_sounds(model), []))
    window = len(clip) // 6
    least = round(model.config.audio.frontend.min_s / model.config.audio.window_s * window)
    long, short = clip[: least + window // 2 * 3], clip[: window // 3].copy()
    long[-window:] = 0
    return [torch.from_numpy(long), torch.from_numpy(short)]


def _require_same_clips(model: Model, graphs: Mapping[str, Callable[..., dict[str, np.ndarray]]]) -> float:
    """Compare whole clips by both graphs with `Model.embed_audio`; return the largest difference, or raise
    `ExportError`."""
    worst = 0.0
    for clip in _clips(model):
        windows = torch.from_numpy(graphs["frontend"](clip)["features"])
        for name, found in graphs["audio"](_extracted(model, windows)).items():
            rate = model.config.audio.frontend.sample_rate
            wanted = model.embed_audio([clip.numpy()], sample_rate=rate, embedding=name)
            pooled = mean_by_clip(found, np.zeros(len(found), dtype=int), 1)
            worst = float(np.maximum(worst, np.abs(pooled - wanted).max()))  # NaN stays
    if not worst <= TOLERANCE:
        raise ExportError(
            f"whole clips differ from the model by {worst:.2g} (at most {TOLERANCE:g} may be): not written"
        )
    return worst


def _tokens(model: Model, captions: list[str]) -> tuple[Tensor, ...]:
    """Return the inputs of the text graph."""
    tokens = model.joint.text.encoder.tokenize(captions)
    return tuple(tokens[name] for name in _TOKENS)


def _export(
    path: Path, tower: nn.Module, inputs: tuple[Tensor, ...], axes: dict[str, list[str]], outputs: list[str]
) -> Callable[..., dict[str, np.ndarray]]:
    """Write a module and return its graph as a function; `axes` has the names of inputs and of what varies in them."""
    import onnxruntime

    weights = sum(p.nbytes for p in tower.parameters())
    # It would report packages that nothing here needs.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
            torch.onnx.export(
                tower.eval(),
                inputs,
                path,
                dynamo=True,
                dynamic_shapes=tuple(dict(enumerate(axis)) for axis in axes.values()),
                input_names=list(axes),
                output_names=outputs,
                external_data=weights > _LARGEST,
                verbose=False,
            )
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except Exception as error:  # of torch.export, of the translation, of the optimiser or of the runtime
        reason = next(iter(str(error).strip().splitlines()), "")
        raise ExportError(f"{path.stem}: this tower has no ONNX form ({type(error).__name__}: {reason})") from error

    def run(*given: Tensor) -> dict[str, np.ndarray]:
        try:
            found = session.run(outputs, {name: tensor.numpy() for name, tensor in zip(axes, given, strict=True)})
        except Exception as error:  # onnxruntime's classes have no common base of their own
            raise ExportError(f"{path.name} does not run on a batch of {len(given[0])}: {error}") from error
        return dict(zip(outputs, found))

    return run
