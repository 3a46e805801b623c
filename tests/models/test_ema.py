"""The target's moving average against a loop over single numbers, and when training calls it."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from slapkit.errors import MetricError
from slapkit.models.ema import update_target
from slapkit.models.encoders import AudioEncoderConfig, TextEncoderConfig
from slapkit.models.joint import HeadConfig, JointModel, ModelConfig
from slapkit.training.config import TrainConfig
from slapkit.training.devices import make_accelerator
from slapkit.training.loop import Trainer


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


@pytest.mark.parametrize("tau", [0.0, 0.3, 0.5, 0.95, 0.996, 1.0])
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


def test_repeated_updates_are_the_closed_form():
    target, context = nn.Linear(1, 1).double(), nn.Linear(1, 1).double()
    start, goal = target.weight.item(), context.weight.item()
    for _ in range(20):
        update_target(target, context, tau=0.9)
    assert target.weight.item() == pytest.approx(goal + 0.9**20 * (start - goal), abs=1e-13)


def test_the_target_is_changed_in_place_and_its_missing_parts_are_left_out():
    context = nn.ModuleDict({"encoder": nn.Linear(2, 2), "projector": nn.Linear(2, 2)})
    target = nn.ModuleDict({"projector": nn.Linear(2, 2)}).requires_grad_(False)
    weight = target["projector"].weight
    update_target(target, context, tau=0.0)
    assert target["projector"].weight is weight and torch.equal(weight, context["projector"].weight)
    assert weight.grad_fn is None and not weight.requires_grad


def test_a_target_that_does_not_fit_is_refused():
    with pytest.raises(MetricError, match="extra"):
        target = network(1)
        target.register_buffer("extra", torch.zeros(1))
        update_target(target, network(2), tau=0.5)


@pytest.mark.parametrize("tau", [-0.1, 1.1, float("nan")])
def test_tau_out_of_range_is_refused_by_value(tau):
    with pytest.raises(MetricError, match=f"tau={tau}"):
        update_target(network(1), network(2), tau=tau)


class Flat(nn.Module):
    """Stand-in encoder: `[B, T, F]` to `[B, 6]`."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.dim = nn.Linear(12, 6), 6

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x.flatten(1))


def trainer(config: TrainConfig, data: dict[str, torch.Tensor]) -> SimpleNamespace:
    """What `Trainer.step` needs of a trainer, without a data set."""
    plain = HeadConfig(hidden=5, batch_norm=False)
    model_config = ModelConfig(
        audio=AudioEncoderConfig(),
        text=TextEncoderConfig(frozen=False),
        audio_projector=plain,
        text_projector=plain,
        predictor=plain,
        dim=4,
    )
    torch.manual_seed(0)
    model = JointModel(model_config, "slap", Flat(), Flat()).double()
    model.add_targets()
    micro = config.micro_batch or config.batch_size

    def micro_batch(step: int, k: int, device: torch.device) -> dict[str, torch.Tensor]:
        return {name: x[k * micro : (k + 1) * micro] for name, x in data.items()}

    accelerator = make_accelerator(config)
    # Plain SGD: Adam would divide rounding errors by their own size.
    fake = SimpleNamespace(
        config=config,
        model=model,
        wrapped=accelerator.prepare(model),
        accelerator=accelerator,
        device=accelerator.device,
        batches=SimpleNamespace(micro_batch=micro_batch, micro_batches=config.batch_size // micro),
        trained=[p for p in model.parameters() if p.requires_grad],
    )
    fake.optimizer = torch.optim.SGD(fake.trained, lr=1.0)
    fake._update_targets = lambda tau: Trainer._update_targets(fake, tau)
    return fake


def test_the_target_moves_once_an_optimiser_step_whatever_the_micro_batches():
    generator = torch.Generator().manual_seed(0)
    data = {name: torch.randn(16, 3, 4, generator=generator, dtype=torch.float64) for name in ("audio", "text")}
    ends = []
    for micro in (None, 4):
        config = TrainConfig(
            batch_size=16, micro_batch=micro, steps=4, lr=0.5, warmup_fraction=0.0, tau=0.9, tau_end=1.0, device="cpu"
        )
        run, taus = trainer(config, data), []
        for step in range(3):
            context_before = copy.deepcopy(run.model.audio)
            expected = {n: p.detach().clone() for n, p in run.model.target_audio.named_parameters()}
            _, _, tau = Trainer.step(run, step)
            taus.append(tau)
            for name, parameter in run.model.audio.named_parameters():
                assert not torch.equal(parameter, dict(context_before.named_parameters())[name])  # the context learned
                expected[name] = tau * expected[name] + (1 - tau) * parameter.detach()
            for name, parameter in run.model.target_audio.named_parameters():
                torch.testing.assert_close(parameter, expected[name], rtol=0, atol=1e-12)
        # The schedule counts optimiser steps: half a cosine from 0.9 over steps 0..3.
        assert taus == pytest.approx([0.9, 0.925, 0.975])
        ends.append(run.model.state_dict())
    for name, tensor in ends[0].items():  # float32 inside the loss is what separates the two
        torch.testing.assert_close(tensor, ends[1][name], rtol=0, atol=1e-6)
