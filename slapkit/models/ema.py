"""The target network's update: an exponential moving average (EMA) of the context network."""

from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from slapkit.errors import MetricError


def update_target(target: nn.Module, context: nn.Module, *, tau: float) -> None:
    """Move every parameter and buffer of `target` towards `context`: `target <- tau target + (1 - tau) context`.

    Call it once after each optimiser step, never after a micro-batch. BatchNorm's running statistics are averaged too;
    counters are copied. Parts that only the context has are ignored. A `tau` beyond [0, 1], or a tensor of `target`
    that `context` lacks, is a `MetricError`.
    """
    if not 0.0 <= tau <= 1.0:
        raise MetricError(f"tau={tau!r} must lie in [0, 1]")
    try:
        pairs = [(own, context.get_parameter(name)) for name, own in target.named_parameters()]
        pairs += [(own, context.get_buffer(name)) for name, own in target.named_buffers()]
    except AttributeError as error:
        raise MetricError(f"the context network lacks a tensor of its target: {error}") from error
    averaged = [pair for pair in pairs if pair[0].is_floating_point()]
    if averaged:
        get_ema_multi_avg_fn(tau)(*map(list, zip(*averaged)), None)
    for own, source in pairs:
        if not own.is_floating_point():
            own.copy_(source)
