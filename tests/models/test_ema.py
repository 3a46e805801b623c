"""The target's moving average against a loop over single numbers."""

import pytest
import torch
from torch import nn

from slapkit.errors import MetricError
from slapkit.models.ema import update_target


def network(seed: int) -> nn.Module:
    """Parameters, BatchNorm buffers that have seen data, a scalar, and an integer buffer."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2, bias=False)).double()
    net.register_parameter("scale", nn.Parameter(torch.tensor(float(seed), dtype=torch.float64)))
    net.register_buffer("places", torch.arange(3) + seed)
    for _ in range(seed):
        net(torch.randn(8, 3, dtype=torch.float64))
    return net


def tensors(net: nn.Module) -> dict[str, list[float]]:
    return {name: tensor.reshape(-1).tolist() for name, tensor in net.state_dict().items()}


@pytest.mark.parametrize("tau", [0.0, 0.3, 0.996, 1.0])
def test_update_equals_the_loop(tau):
    target, context = network(1), network(4)
    before, source = tensors(target), tensors(context)
    update_target(target, context, tau=tau)
    after = tensors(target)
    assert {"1.running_mean", "1.running_var", "1.num_batches_tracked", "places", "scale"} <= after.keys()
    for name, values in after.items():
        for i, value in enumerate(values):
            if name in ("places", "1.num_batches_tracked"):  # counts are not averaged
                assert value == source[name][i]
            else:
                assert value == pytest.approx(tau * before[name][i] + (1 - tau) * source[name][i], abs=1e-14)
    assert tensors(context) == source


def test_the_target_is_changed_in_place_and_its_missing_parts_are_left_out():
    context = nn.ModuleDict({"encoder": nn.Linear(2, 2), "projector": nn.Linear(2, 2)})
    target = nn.ModuleDict({"projector": nn.Linear(2, 2)}).requires_grad_(False)
    weight = target["projector"].weight
    version = weight._version
    update_target(target, context, tau=0.0)
    assert weight._version > version, "who keeps what follows from the weights sees that they changed"
    assert target["projector"].weight is weight and torch.equal(weight, context["projector"].weight)
    assert weight.grad_fn is None and not weight.requires_grad


def test_a_target_that_does_not_fit_and_tau_out_of_range_are_refused():
    target = network(1)
    target.register_buffer("extra", torch.zeros(1))
    with pytest.raises(MetricError, match="extra"):
        update_target(target, network(2), tau=0.5)
    for tau in (-0.1, 1.1, float("nan")):
        with pytest.raises(MetricError, match=f"tau={tau}"):
            update_target(network(1), network(2), tau=tau)
