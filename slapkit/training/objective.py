"""From a model's outputs to a loss, and how its gradient is accumulated over micro-batches.

SLAP is a mean of per-pair terms, so the gradients of micro-batches simply add up. CLAP and SigLIP compare every pair
with every other, on this device and on all the others: there, a first pass collects all projections, the loss gives
their gradients, and a second pass carries these back through the model, micro-batch by micro-batch (GradCache, arXiv
2101.06983). Either way the gradient is that of the whole batch, and only one micro-batch's activations are held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from slapkit.models.joint import Objective
from slapkit.models.losses import clip_loss, siglip_loss, slap_loss

Outputs = dict[str, Tensor]
Forward = Callable[[int], Outputs]  # micro-batch number -> the model's outputs; calling it again gives the same


def backward(
    model: nn.Module,
    forward: Forward,
    micro_batches: int,
    *,
    objective: Objective,
    lam: float,
    accelerator: Accelerator,
) -> dict[str, Tensor]:
    """Add the whole batch's gradient to the parameters; return the loss and its terms, detached.

    Args:
        model: the module that `forward` calls, possibly wrapped for several devices.
        forward: runs micro-batch k; all have equally many pairs.
        micro_batches: how many there are on this device.
    """
    if objective == "slap":
        return _pairwise(model, forward, micro_batches, lam=lam, accelerator=accelerator)
    loss = contrastive(objective)
    if micro_batches == 1:
        out = forward(0)
        total = loss(_with_all_devices(out, accelerator))
        accelerator.backward(
            total * accelerator.num_processes
        )  # several devices average, but each holds only its own rows' part
        return {"loss": total.detach()}
    return _cached(model, forward, micro_batches, loss=loss, accelerator=accelerator)


def contrastive(objective: Objective) -> Callable[[Outputs], Tensor]:
    """Return the contrastive loss as a function of the outputs."""
    if objective == "clap":
        return lambda out: clip_loss(z_audio=out["z_audio"], z_text=out["z_text"], logit_scale=out["logit_scale"])
    return lambda out: siglip_loss(**{name: out[name] for name in ("z_audio", "z_text", "logit_scale", "logit_bias")})


def _pairwise(
    model: nn.Module, forward: Forward, micro_batches: int, *, lam: float, accelerator: Accelerator
) -> dict[str, Tensor]:
    sums: dict[str, Tensor] = {}
    for k in range(micro_batches):
        with _no_sync(model, accelerator, unless=k == micro_batches - 1):
            out = forward(k)
            terms = slap_loss(
                **{name: out[name] for name in ("q_audio", "q_text", "target_audio", "target_text")}, lam=lam
            )
            accelerator.backward(terms.total / micro_batches)
        for name, value in terms._asdict().items():
            sums[name] = sums.get(name, 0) + value.detach() / micro_batches
        del out, terms, value  # their graph would live on through the next forward pass
    return {"loss": sums.pop("total")} | sums


def _cached(
    model: nn.Module,
    forward: Forward,
    micro_batches: int,
    *,
    loss: Callable[[Outputs], Tensor],
    accelerator: Accelerator,
) -> dict[str, Tensor]:
    gradients, total = _output_gradients(_all_outputs(model, forward, micro_batches), loss, accelerator)
    for k in range(micro_batches):
        with _no_sync(model, accelerator, unless=k == micro_batches - 1):
            out = forward(k)
            rows = slice(k * len(out["z_audio"]), (k + 1) * len(out["z_audio"]))
            # A scalar output (temperature, bias) comes with every micro-batch, so each carries its share of the
            # gradient.
            surrogate = sum(
                (v * (gradients[n][rows] if v.dim() else gradients[n] / micro_batches)).sum() for n, v in out.items()
            )
            accelerator.backward(surrogate)
        del out, surrogate
    return {"loss": total}


def _output_gradients(
    local: Outputs, loss: Callable[[Outputs], Tensor], accelerator: Accelerator
) -> tuple[dict[str, Tensor], Tensor]:
    """Return the loss and its gradient with respect to this device's outputs, in whose place the gradient is put:
    whatever is held in the second pass adds to its peak."""
    for value in local.values():
        value.requires_grad_()
    total = loss(_with_all_devices(local, accelerator))
    # Several devices average, but each holds only its own rows' part.
    found = torch.autograd.grad(total * accelerator.num_processes, list(local.values()))
    return {name: value.detach().copy_(grad) for (name, value), grad in zip(local.items(), found)}, total.detach()


@torch.no_grad()
def _all_outputs(model: nn.Module, forward: Forward, micro_batches: int) -> Outputs:
    """The outputs of all micro-batches, rows joined, without a graph."""
    local: Outputs = {}
    with _statistics_untouched(model):
        for k in range(micro_batches):
            for name, value in forward(k).items():
                if k == 0:
                    # Room for all rows at once: pieces kept one by one would lie between the activations' blocks and
                    # keep these from being used again.
                    local[name] = (
                        value.new_empty((micro_batches * len(value), *value.shape[1:]))
                        if value.dim()
                        else value.clone()
                    )
                if value.dim():
                    local[name][k * len(value) : (k + 1) * len(value)] = value
    return local


def _with_all_devices(out: Outputs, accelerator: Accelerator) -> Outputs:
    """Put the rows of all devices beside this device's own, which alone keep their gradient; in float32, for logits are
    large."""
    if accelerator.num_processes == 1:
        return out
    # Rows get a gradient on their own device alone, temperature and bias on every one: their shares must add up to one.
    share = 1 / accelerator.num_processes
    return {n: _gather(v, accelerator) if v.dim() else v * share + v.detach() * (1 - share) for n, v in out.items()}


def _gather(rows: Tensor, accelerator: Accelerator) -> Tensor:
    parts = [torch.empty_like(rows) for _ in range(accelerator.num_processes)]
    torch.distributed.all_gather(parts, rows.detach().contiguous())
    parts[accelerator.process_index] = rows
    return torch.cat(parts)


def _no_sync(model: nn.Module, accelerator: Accelerator, *, unless: bool):
    """Hold back the exchange of gradients until the last micro-batch."""
    return nullcontext() if unless or accelerator.num_processes == 1 else accelerator.no_sync(model)


@contextmanager
def _statistics_untouched(model: nn.Module) -> Iterator[None]:
    """Let BatchNorm normalise by the micro-batch, as in training, without counting it twice."""
    layers = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats]
    momenta = [m.momentum for m in layers]
    counters = [m.num_batches_tracked.clone() for m in layers]
    try:
        for layer in layers:
            layer.momentum = 0.0
        yield
    finally:
        for layer, momentum, counter in zip(layers, momenta, counters):
            layer.momentum = momentum
            layer.num_batches_tracked.copy_(counter)
