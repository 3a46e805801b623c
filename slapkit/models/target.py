"""The target network's update: an exponential moving average of the context network."""

from __future__ import annotations

import torch
from torch import nn

from slapkit.errors import MetricError


@torch.no_grad()
def update_target(target: nn.Module, context: nn.Module, *, tau: float) -> None:
    """Move every parameter and buffer of `target` towards that of `context`: `target <- tau target + (1 - tau)
    context`.

    Call it once after each optimiser step, never after a micro-batch. BatchNorm's running statistics take part, for the
    target normalises with them; counters are copied.

    Raises:
        MetricError: `tau` leaves [0, 1], or `context` lacks a tensor that `target` has.
    """
    if not 0.0 <= tau <= 1.0:
        raise MetricError(f"tau={tau!r} must lie in [0, 1]")
    # Looked up one by one: the context also holds frozen encoders of hundreds of tensors that have no target.
    own = dict(target.named_parameters()) | dict(target.named_buffers())
    source = {name: found for name in own if (found := _tensor(context, name)) is not None}
    if missing := own.keys() - source.keys():
        raise MetricError(f"the context network has no {sorted(missing)[:3]}, which its target has")
    averaged = [name for name, tensor in own.items() if tensor.is_floating_point()]
    if averaged:
        torch._foreach_lerp_([own[n] for n in averaged], [source[n] for n in averaged], 1 - tau)
    for name in own.keys() - set(averaged):
        own[name].copy_(source[name])


def _tensor(module: nn.Module, name: str) -> torch.Tensor | None:
    """Return the parameter or buffer of that dotted name."""
    *path, last = name.split(".")
    for part in path:
        module = module._modules.get(part) if module is not None else None
    return None if module is None else module._parameters.get(last, module._buffers.get(last))
