"""What training needs to go on: model, optimiser and counters, put in place by one rename, the last two kept.

<folder>/step-00000400/model.safetensors, optimizer.safetensors, state.json

When training has ended, state.json alone: the model that lies beside <folder> has the weights.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer

from slapkit._io import atomic_write_json, sync_file, write_guard
from slapkit.errors import CheckpointError
from slapkit.models.joint import JointModel
from slapkit.models.weights import FORMAT, differences, load_strictly, load_tensors, read_json, save_tensors

_KEPT = 2


def complete(folder: Path) -> list[Path]:
    """Complete checkpoints, oldest first; a half-written one is never among them."""
    return sorted(p for p in folder.glob("step-" + "[0-9]" * 8) if (p / "state.json").is_file())


def save(folder: Path, step: int, model: JointModel, optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Write everything after `step` optimiser steps; the rename at the end makes it count."""
    final, temporary = folder / f"step-{step:08d}", folder / f"step-{step:08d}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    with write_guard(temporary):
        temporary.mkdir(parents=True)
    save_tensors(model.own_state(), temporary / "model.safetensors")
    moments = {}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            moments[f"{name}/{key}"] = torch.as_tensor(value)
    save_tensors(moments, temporary / "optimizer.safetensors")
    atomic_write_json(temporary / "state.json", {"format": FORMAT, "step": step, **state})
    shutil.rmtree(final, ignore_errors=True)
    os.replace(temporary, final)
    sync_file(folder)
    for old in complete(folder)[:-_KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def end(folder: Path) -> None:
    """Remove what no step needs any more, once the model lies complete beside `folder`."""
    sync_file(folder.parent)
    newest = complete(folder)[-1]
    for path in folder.glob("step-*"):
        if path != newest:
            shutil.rmtree(path, ignore_errors=True)
    # The weights before the optimiser: without them, a checkpoint is known as one that has ended.
    for path in sorted(newest.glob("*.safetensors")):
        path.unlink()


def load(folder: Path, model: JointModel, optimizer: Optimizer, identity: Mapping[str, Any]) -> dict[str, Any] | None:
    """Load the newest checkpoint and return its state; None if there is none. Of one that has ended, the targets and
    the optimiser stay as they are. Raise `CheckpointError` where it belongs to other settings or data, or does not fit.
    """
    found = complete(folder)
    if not found:
        return None
    newest, state = found[-1], read_json(found[-1] / "state.json")
    if differing := differences(state.get("identity", {}), dict(identity)):
        raise CheckpointError(
            f"{newest} was made with other settings ({differing}): use another folder, or resume=False to start anew"
        )
    weights = newest / "model.safetensors"
    ended = state["step"] == identity["train"]["steps"] and not weights.exists()
    weights = folder.parent / "model.safetensors" if ended else weights
    load_strictly(model, load_tensors(weights), weights, own=model.own_state(targets=not ended))
    if ended:
        return state
    parameters = dict(model.named_parameters())
    for full_name, tensor in load_tensors(newest / "optimizer.safetensors").items():
        name, _, key = full_name.rpartition("/")
        if name not in parameters:
            raise CheckpointError(f"{newest}: the optimiser state names {name!r}, which this model lacks")
        # Beside its parameter and in its layout: the fused optimiser walks both by memory order.
        like = parameters[name] if tensor.dim() else tensor
        moment = torch.empty_like(like, dtype=tensor.dtype, device=parameters[name].device, requires_grad=False)
        optimizer.state[parameters[name]][key] = moment.copy_(tensor)
    return state


def clear(out_dir: Path) -> None:
    """Remove what a training writes into its folder, and nothing else."""
    names = ("config.json", "model.safetensors", "vocabulary.json", "text_encoder", "train.jsonl")
    patterns = ("unusable-*.jsonl", "training/step-*", "tensorboard/events.out.tfevents.*")
    for path in [*map(out_dir.joinpath, names), *(path for pattern in patterns for path in out_dir.glob(pattern))]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
