"""From a batch to its gradient, accumulated over micro-batches; docs/method.md, section 6.

SLAP is a mean of per-pair terms: without BatchNorm, the gradients of micro-batches add up to that of the whole batch.
CLAP and SigLIP compare every pair with every other, on all devices: a first pass collects all projections, the loss
gives their gradients, and a second pass carries these back through the model, micro-batch by micro-batch (GradCache,
arXiv 2101.06983). BatchNorm normalises each micro-batch by its own statistics, so with BatchNorm in the heads neither
is exact. With `exact`, the first pass collects the encoders' representations instead, heads and loss take the whole
batch of a device at once, and the second pass carries the gradient of the representations back through the encoders.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from slapkit.models import Objective
from slapkit.models.joint import Batch
from slapkit.models.losses import clip_loss, siglip_loss, slap_loss

Outputs = dict[str, Tensor]
Terms = dict[str, Tensor]  # "loss", and what it is the sum of
Batches = Callable[[int], Batch]  # micro-batch number -> the model's inputs; calling it again gives the same
Loss = Callable[[Outputs], Terms]


def backward(
    model: nn.Module, batch: Batches, micro_batches: int, *, objective: Objective, lam: float, accelerator: Accelerator,
    exact: bool = False,
) -> Terms:  # fmt: skip
    """Add the whole batch's gradient to the parameters; return the loss and its terms, detached.

    Args:
        model: a `JointModel`, possibly wrapped for several devices.
        batch: gives micro-batch k; all have equally many pairs.
        micro_batches: how many there are on this device.
        lam: weight of SLAP's inter-modal terms.
        exact: let the heads take all micro-batches at once. Costs SLAP a second pass through the encoders.
    """
    loss = loss_of(objective, lam=lam)
    if exact and micro_batches > 1:
        return _exact(model, batch, micro_batches, loss=loss, objective=objective, accelerator=accelerator)
    if objective == "slap":
        return _pairwise(model, batch, micro_batches, loss=loss, accelerator=accelerator)
    if micro_batches == 1:
        terms = loss(_with_all_devices(model(batch(0)), accelerator))
        # Several devices average, but each holds only its own rows' part.
        accelerator.backward(terms["loss"] * accelerator.num_processes)
        return {"loss": terms["loss"].detach()}
    return _cached(model, batch, micro_batches, loss=loss, accelerator=accelerator)


def loss_of(objective: Objective, *, lam: float) -> Loss:
    """Return the loss, and its terms, as a function of the model's outputs."""
    if objective == "slap":
        names = ("q_audio", "q_text", "target_audio", "target_text")

        def slap(out: Outputs) -> Terms:
            terms = slap_loss(**{name: out[name] for name in names}, lam=lam)._asdict()
            return {"loss": terms.pop("total")} | terms

        return slap
    function = clip_loss if objective == "clap" else siglip_loss
    return lambda out: {"loss": function(**out)}


def _pairwise(model: nn.Module, batch: Batches, micro_batches: int, *, loss: Loss, accelerator: Accelerator) -> Terms:
    sums: Terms = {}
    for k in range(micro_batches):
        with _no_sync(model, accelerator, unless=k == micro_batches - 1):
            terms = loss(model(batch(k)))
            accelerator.backward(terms["loss"] / micro_batches)
        for name, value in terms.items():
            sums[name] = sums.get(name, 0) + value.detach() / micro_batches
        del terms, value  # their graph would live on through the next forward pass
    return sums


def _exact(
    model: nn.Module, batch: Batches, micro_batches: int, *, loss: Loss, objective: Objective, accelerator: Accelerator
) -> Terms:
    joint = accelerator.unwrap_model(model)
    towers = {name: tower for name, tower in (("audio", joint.audio), ("text", joint.text)) if not tower.frozen}
    with torch.no_grad(), _statistics_untouched(joint), accelerator.autocast():
        parts = [joint.represent(batch(k)) for k in range(micro_batches)]
    whole = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    whole = {name: h.float() if h.dtype in (torch.float16, torch.bfloat16) else h for name, h in whole.items()}
    rows = len(whole["audio"]) // micro_batches
    for name in towers:
        whole[name].requires_grad_()
    with accelerator.autocast():
        out = joint(whole)
    terms = loss(out if objective == "slap" else _with_all_devices(out, accelerator))
    accelerator.backward(terms["loss"] * (1 if objective == "slap" else accelerator.num_processes))
    for k in range(micro_batches if towers else 0):
        inputs = batch(k)
        with accelerator.autocast():
            h = [tower.represent(inputs[name]) for name, tower in towers.items()]
        given = [whole[name].grad[k * rows : (k + 1) * rows].to(value.dtype) for name, value in zip(towers, h)]
        torch.autograd.backward(h, given)
    if accelerator.num_processes > 1:  # the wrapper exchanges gradients of its own passes only
        for parameter in joint.parameters():
            if parameter.grad is not None:
                torch.distributed.all_reduce(parameter.grad)
                parameter.grad /= accelerator.num_processes
    return {name: value.detach() for name, value in terms.items()}


def _cached(model: nn.Module, batch: Batches, micro_batches: int, *, loss: Loss, accelerator: Accelerator) -> Terms:
    local = _all_outputs(model, batch, micro_batches)
    for value in local.values():
        value.requires_grad_()
    total = loss(_with_all_devices(local, accelerator))["loss"]
    # Several devices average, but each holds only its own rows' part.
    found = torch.autograd.grad(total * accelerator.num_processes, list(local.values()))
    total = total.detach()
    # Gradients take the outputs' place: whatever is held in the second pass adds to its peak.
    gradients = {name: value.detach().copy_(grad) for (name, value), grad in zip(local.items(), found)}
    del local, found, value
    for k in range(micro_batches):
        with _no_sync(model, accelerator, unless=k == micro_batches - 1):
            out = model(batch(k))
            rows = slice(k * len(out["z_audio"]), (k + 1) * len(out["z_audio"]))
            # A scalar output (temperature, bias) comes with every micro-batch: each carries its share of the gradient.
            surrogate = sum(
                (v * (gradients[n][rows] if v.dim() else gradients[n] / micro_batches)).sum() for n, v in out.items()
            )
            accelerator.backward(surrogate)
        del out, surrogate
    return {"loss": total}


@torch.no_grad()
def _all_outputs(model: nn.Module, batch: Batches, micro_batches: int) -> Outputs:
    """The outputs of all micro-batches, rows joined, without a graph."""
    local: Outputs = {}
    with _statistics_untouched(model):
        for k in range(micro_batches):
            for name, value in model(batch(k)).items():
                if k == 0:
                    # Room for all rows at once: pieces kept one by one would lie between the activations' blocks and
                    # keep these from being used again.
                    rows = (micro_batches * len(value), *value.shape[1:]) if value.dim() else ()
                    local[name] = value.new_empty(rows)
                if value.dim():
                    local[name][k * len(value) : (k + 1) * len(value)] = value
                else:
                    local[name].copy_(value)
    return local


def _with_all_devices(out: Outputs, accelerator: Accelerator) -> Outputs:
    """Put the rows of all devices beside this device's own, which alone keep their gradient."""
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
    before = [(layer, layer.momentum, layer.num_batches_tracked.clone()) for layer in layers]
    try:
        for layer in layers:
            layer.momentum = 0.0
        yield
    finally:
        for layer, momentum, counter in before:
            layer.momentum = momentum
            layer.num_batches_tracked.copy_(counter)
