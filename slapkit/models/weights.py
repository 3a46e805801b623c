"""Weights and configurations on disk: safetensors and JSON, checked strictly when loaded. Nothing is unpickled.

<folder>/config.json, model.safetensors [, text_encoder/]     the model as `slapkit.load` reads it
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn

from slapkit._io import atomic_write_json, sync_file, write_guard
from slapkit.errors import CheckpointError
from slapkit.models.joint import JointModel, ModelConfig, Objective
from slapkit.models.signature import signature_of

FORMAT = 1


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors as safetensors, and sync them to the disk."""
    from safetensors.torch import save_file

    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with write_guard(path, needed=sum(t.nbytes for t in plain.values())):
        save_file(plain, path)
        sync_file(path)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read safetensors; `CheckpointError` if the file is missing, cut short or of another kind."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(f"{path} is missing or no complete safetensors file ({error})") from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; `CheckpointError` if the file is missing or holds none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}): this folder holds no complete checkpoint") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} must hold a JSON object, not {type(value).__name__}")
    return value


def load_strictly(
    module: nn.Module, state: Mapping[str, Tensor], path: Path, *, own: Mapping[str, Tensor] | None = None
) -> None:
    """Copy `state` into `module`; `own` names what the file must hold (default: all of the module's state). Raise
    `CheckpointError` where a tensor is missing, unknown, or of another shape."""
    expected = dict(module.state_dict() if own is None else own)
    unfit = {
        "missing": expected.keys() - state.keys(),
        "unknown": state.keys() - expected.keys(),
        "of another shape": {n for n in expected.keys() & state.keys() if state[n].shape != expected[n].shape},
    }
    if found := [f"{len(names)} {what}, e.g. {min(names)}" for what, names in unfit.items() if names]:
        raise CheckpointError(f"{path} does not fit this model ({'; '.join(found)}): use its own configuration")
    with torch.no_grad():
        for name, tensor in expected.items():
            tensor.copy_(state[name])


def save_model(model: JointModel, folder: Path, *, train: Mapping[str, Any], step: int) -> None:
    """Write the model for use in place of one that is there: context towers, predictors and signature, without
    targets, optimiser or a frozen text encoder's weights.

    All parts are staged first; `config.json` comes last, because its presence marks a complete model.
    """
    config, staged = model.config, folder / "model.tmp"
    shutil.rmtree(staged, ignore_errors=True)
    with write_guard(staged):
        staged.mkdir(parents=True)
        if config.text.frozen:
            config = config.replace(text=config.text.replace(fingerprint=model.text.encoder.fingerprint()))
        else:
            model.text.encoder.save_architecture(staged / "text_encoder")
    save_tensors(model.own_state(targets=False), staged / "model.safetensors")
    content = {"format": FORMAT, "objective": model.objective, "model": config.to_dict(), "train": dict(train)}
    content |= {"step": step, "signature": signature_of(model)} | ({"note": model.note} if model.note else {})
    content |= {"log_scale_text": second} if (second := model.log_scale_text) is not None else {}
    if model.vocabulary:
        atomic_write_json(staged / "vocabulary.json", {"words": sorted(model.vocabulary)})
    atomic_write_json(staged / "config.json", content)
    (folder / "config.json").unlink(missing_ok=True)
    shutil.rmtree(folder / "text_encoder", ignore_errors=True)
    (folder / "vocabulary.json").unlink(missing_ok=True)
    for part in ("text_encoder", "model.safetensors", "vocabulary.json", "config.json"):
        if (staged / part).exists():
            os.replace(staged / part, folder / part)
    staged.rmdir()


def read_model_config(folder: Path) -> tuple[ModelConfig, dict[str, Any]]:
    """Return the model's configuration and all of `config.json`."""
    path, content = folder / "config.json", read_json(folder / "config.json")
    if content.get("format") != FORMAT:
        raise CheckpointError(f"{path} has format {content.get('format')!r}, and this version reads format {FORMAT}")
    if content.get("objective") not in get_args(Objective) or "model" not in content:
        raise CheckpointError(f"{path} names no model with an objective out of {get_args(Objective)}")
    return ModelConfig.from_dict(content["model"], where=str(path)), content


def differences(saved: Mapping[str, Any], wanted: Mapping[str, Any], prefix: str = "") -> str:
    """Name the settings that differ, with both values."""
    out = []
    for key in sorted(saved.keys() | wanted.keys()):
        a, b = saved.get(key), wanted.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            out.append(differences(a, b, f"{prefix}{key}."))
        elif (list(a) if isinstance(a, tuple) else a) != (list(b) if isinstance(b, tuple) else b):
            out.append(f"{prefix}{key}: {a!r} there, {b!r} now")
    return "; ".join(filter(None, out))
