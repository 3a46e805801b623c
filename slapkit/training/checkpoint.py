"""What training needs to go on: model, optimiser and counters, put in place by one rename, the last two kept.

<out_dir>/training/step-00000400/model.safetensors, optimizer.safetensors, state.json
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from slapkit._io import atomic_write_json, sync_file, write_guard
from slapkit.errors import CheckpointError
from slapkit.models.joint import JointModel
from slapkit.models.weights import FORMAT, differences, load_strictly, load_tensors, read_json, save_tensors

_KEPT = 2


class TrainingState:
    """The folder in which a run keeps what it needs to go on."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def save(
        self,
        step: int,
        *,
        model: JointModel,
        optimizer: torch.optim.Optimizer,
        identity: Mapping[str, Any],
        extra: Mapping[str, Any],
    ) -> None:
        """Write everything after `step` optimiser steps; the rename at the end makes it count."""
        final, temporary = self.folder / f"step-{step:08d}", self.folder / f"step-{step:08d}.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        with write_guard(temporary):
            temporary.mkdir(parents=True)
        save_tensors(model.own_state(), temporary / "model.safetensors")
        save_tensors(_moments(model, optimizer), temporary / "optimizer.safetensors")
        atomic_write_json(
            temporary / "state.json", {"format": FORMAT, "step": step, "identity": dict(identity), **extra}
        )
        shutil.rmtree(final, ignore_errors=True)
        os.replace(temporary, final)
        sync_file(self.folder)
        for old in self.complete()[:-_KEPT]:
            shutil.rmtree(old, ignore_errors=True)

    def complete(self) -> list[Path]:
        """Complete checkpoints, oldest first; a half-written one is never among them."""
        return sorted(p for p in self.folder.glob("step-" + "[0-9]" * 8) if (p / "state.json").is_file())

    def load(
        self, *, model: JointModel, optimizer: torch.optim.Optimizer, identity: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """Load the newest checkpoint; None if there is none.

        Raises:
            CheckpointError: it belongs to another configuration or other data, or does not fit.
        """
        found = self.complete()
        if not found:
            return None
        state = read_json(found[-1] / "state.json")
        if differing := differences(state.get("identity", {}), dict(identity)):
            raise CheckpointError(
                f"{found[-1]} was made with other settings ({differing}): use another folder, or resume=False to "
                "start anew"
            )
        load_strictly(
            model, load_tensors(found[-1] / "model.safetensors"), found[-1] / "model.safetensors", own=model.own_state()
        )
        _restore_moments(model, optimizer, load_tensors(found[-1] / "optimizer.safetensors"), found[-1])
        return state


def _moments(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Optimiser state by parameter name."""
    out = {}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            out[f"{name}/{key}"] = torch.as_tensor(value)
    return out


def _restore_moments(
    model: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], where: Path
) -> None:
    parameters = dict(model.named_parameters())
    for full_name, tensor in tensors.items():
        name, _, key = full_name.rpartition("/")
        if name not in parameters:
            raise CheckpointError(f"{where}: the optimiser state names {name!r}, which this model lacks")
        # Beside its parameter and in its layout: the fused optimiser walks both by memory order.
        like = parameters[name] if tensor.dim() else tensor
        moment = torch.empty_like(like, dtype=tensor.dtype, device=parameters[name].device, requires_grad=False)
        optimizer.state[parameters[name]][key] = moment.copy_(tensor)
