"""Accumulated gradients equal those of the whole batch: over micro-batches, and over processes.

Run as a program, this file is one of two processes: `python tests/training/test_objective.py FOLDER`.
"""

import copy
import sys
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn

from slapkit.models.encoders import AudioEncoderConfig, TextEncoderConfig
from slapkit.models.joint import HeadConfig, JointModel, ModelConfig
from slapkit.models.losses import clip_loss, siglip_loss, slap_loss
from slapkit.training.objective import backward
from tests.training.tones import in_two_processes

OBJECTIVES = ("slap", "clap", "siglip")
SLAP = ("q_audio", "q_text", "target_audio", "target_text")
PAIRS = 64


@pytest.fixture(autouse=True)
def _full_precision():
    AcceleratorState._reset_state()  # another test's precision would stay


class Flat(nn.Module):
    """Stand-in encoder: `[B, T, F]` to `[B, 6]`."""

    dim = 6

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def joint(objective: str, *, batch_norm: bool = False, dropout: float = 0.0) -> JointModel:
    head = HeadConfig(hidden=10, batch_norm=batch_norm, dropout=dropout)
    heads = dict.fromkeys(("audio_projector", "text_projector", "predictor"), head)
    config = ModelConfig(audio=AudioEncoderConfig(), text=TextEncoderConfig(frozen=False), dim=5, **heads)
    torch.manual_seed(0)
    model = JointModel(config, objective, Flat(), Flat())
    model.add_targets()
    with torch.no_grad():  # targets that are not the context towers, and a bias and a scale with a say
        for name, parameter in model.named_parameters():
            if name.startswith("target_"):
                parameter.add_(0.1 * torch.randn_like(parameter))
            elif name == "logit_bias":
                parameter.fill_(-2.0)
    return model.double().train()


def data() -> dict[str, torch.Tensor]:
    """Pairs, and other views of them for the targets."""
    generator = torch.Generator().manual_seed(1)
    audio, *noise = torch.randn(4, PAIRS, 3, 4, generator=generator, dtype=torch.float64)
    return {"audio": audio} | {k: audio + n for k, n in zip(("text", "target_audio", "target_text"), noise)}


def micro_batches(count: int, x: dict[str, torch.Tensor] | None = None, *, seeded: bool = False):
    """Inputs of micro-batch k, with dropout that repeats."""
    x = data() if x is None else x
    size = len(x["audio"]) // count

    def batch(k: int) -> dict[str, torch.Tensor]:
        if seeded:
            torch.manual_seed(k)
        return {name: value[k * size : (k + 1) * size] for name, value in x.items()}

    return batch


def loss_of(objective: str, out: dict[str, torch.Tensor]) -> torch.Tensor:
    if objective == "slap":
        return slap_loss(**{name: out[name] for name in SLAP}, lam=0.3).total
    return (clip_loss if objective == "clap" else siglip_loss)(**out)


def gradients(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def accumulated(objective: str, model: nn.Module, batch, count: int, *, exact: bool = False, accelerator=None):
    accelerator = accelerator or Accelerator(cpu=True)
    terms = backward(model, batch, count, objective=objective, lam=0.3, accelerator=accelerator, exact=exact)
    return terms, gradients(model)


def by_hand(objective: str, model: JointModel, batch=None, count: int = 1):
    """All micro-batches in one graph, one loss over all rows."""
    model.zero_grad(set_to_none=True)
    parts = [model((batch or micro_batches(1))(k)) for k in range(count)]
    out = {name: torch.cat([p[name] for p in parts]) if v.dim() else v for name, v in parts[0].items()}
    loss = loss_of(objective, out)
    loss.backward()
    found = gradients(model)
    model.zero_grad(set_to_none=True)
    return loss.item(), found


def apart(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    return max((found[name] - g).abs().max().item() for name, g in expected.items())


def assert_close(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], tolerance: float = 1e-6) -> None:
    """Equal to `tolerance` of the largest value: the loss is taken in float32, whatever the model's precision."""
    assert found.keys() == expected.keys() and found
    assert max(g.abs().max() for g in expected.values()) > 1e-2  # else nothing was compared
    for name, gradient in expected.items():
        atol = tolerance * max(1.0, gradient.abs().max().item())
        torch.testing.assert_close(found[name], gradient, rtol=0, atol=atol, msg=lambda m, name=name: f"{name}: {m}")


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("count", [1, 4, 64])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_accumulation_equals_the_large_batch(objective, count, exact):
    model = joint(objective)
    loss, expected = by_hand(objective, model)
    terms, found = accumulated(objective, model, micro_batches(count), count, exact=exact)
    assert_close(found, expected)
    assert terms["loss"].item() == pytest.approx(loss, rel=1e-6) and not terms["loss"].requires_grad
    own = {"slap": set(), "clap": {"log_scale"}, "siglip": {"log_scale", "logit_bias"}}
    assert {"log_scale", "logit_bias"} & expected.keys() == own[objective]
    if objective != "slap":  # the mean of the gradients of micro-batches would not do
        model.zero_grad()
        for k in range(4):
            (loss_of(objective, model(micro_batches(4)(k))) / 4).backward()
        assert apart(gradients(model), expected) > 1e-2


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_with_batchnorm_in_the_heads_exact_accumulation_alone_equals_the_large_batch(objective):
    whole, plain, exact = (joint(objective, batch_norm=True) for _ in range(3))
    loss, expected = by_hand(objective, whole)
    terms, found = accumulated(objective, exact, micro_batches(4), 4, exact=True)
    assert_close(found, expected)
    assert terms["loss"].item() == pytest.approx(loss, rel=1e-6)
    statistics = dict(exact.named_buffers())
    for name, buffer in whole.named_buffers():
        torch.testing.assert_close(statistics[name], buffer, rtol=0, atol=1e-9)
    assert apart(accumulated(objective, plain, micro_batches(4), 4)[1], expected) > 1e-3


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_dropout_and_batchnorm_repeat_in_the_second_pass(objective, batch_norm):
    model = joint(objective, dropout=0.3, batch_norm=batch_norm)
    twin = copy.deepcopy(model)
    _, expected = by_hand(objective, twin, micro_batches(4, seeded=True), 4)
    assert_close(accumulated(objective, model, micro_batches(4, seeded=True), 4)[1], expected)
    _, other = by_hand(objective, twin, micro_batches(1, seeded=True))
    assert apart(other, expected) > 1e-3  # dropout is at work: with another seed, the gradient is another


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_statistics_count_every_micro_batch_once(objective, momentum):
    model = joint(objective, batch_norm=True)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm1d)]
    for norm in norms:
        norm.momentum = momentum
    twin = copy.deepcopy(model)
    for k in range(4):
        twin(micro_batches(4)(k))
    accumulated(objective, model, micro_batches(4), 4)
    expected = dict(twin.named_buffers())
    assert all(torch.equal(buffer, expected[name]) for name, buffer in model.named_buffers())
    assert model.audio.projector[1].num_batches_tracked == 4 and all(norm.momentum == momentum for norm in norms)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_no_more_than_one_micro_batch_is_held(objective):
    calls, alive = [], []

    def batch(k: int):
        calls.append((k, torch.is_grad_enabled()))
        inputs = micro_batches(4)(k)
        marker = torch.ones((), dtype=torch.float64, requires_grad=True)
        marker.register_hook(lambda g: alive.append(("freed", k)))
        alive.append(("held", k))
        return inputs | {"audio": inputs["audio"] * marker}

    accumulated(objective, joint(objective), batch, 4)
    without = [] if objective == "slap" else [(k, False) for k in range(4)]
    assert calls == without + [(k, True) for k in range(4)]
    assert alive[len(without) :] == [(what, k) for k in range(4) for what in ("held", "freed")]


def test_slap_reports_the_terms_of_the_whole_batch():
    model = joint("slap")
    terms, _ = accumulated("slap", model, micro_batches(4), 4)
    with torch.no_grad():
        out = model(data())
    expected = slap_loss(**{name: out[name] for name in SLAP}, lam=0.3)._asdict()
    expected["loss"] = expected.pop("total")
    assert terms.keys() == expected.keys()
    assert all(terms[name].item() == pytest.approx(value.item(), abs=1e-6) for name, value in expected.items())


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_gradients_are_added_to_what_is_there(objective, count):
    model = joint(objective)
    _, once = accumulated(objective, model, micro_batches(count), count)
    _, twice = accumulated(objective, model, micro_batches(count), count)
    assert_close(twice, {name: 2 * g for name, g in once.items()}, tolerance=1e-12)


WAYS = [(1, False), (2, False), (2, True)]  # micro-batches, exact


def process(folder: Path) -> None:
    """One of two processes: gradients of this rank's half of the pairs, exchanged."""
    accelerator, results = Accelerator(cpu=True), {}
    assert accelerator.num_processes == 2
    half = PAIRS // 2
    rows = slice(accelerator.process_index * half, (accelerator.process_index + 1) * half)
    x = {name: value[rows] for name, value in data().items()}
    for objective in OBJECTIVES:
        for count, exact in WAYS:
            wrapped = accelerator.prepare(joint(objective))
            assert isinstance(wrapped, nn.parallel.DistributedDataParallel)
            given = {"exact": exact, "accelerator": accelerator}
            for _ in range(2):  # twice, because of what a first exchange may leave behind
                wrapped.zero_grad(set_to_none=True)
                terms, found = accumulated(objective, wrapped, micro_batches(count, x), count, **given)
            found = {name.removeprefix("module."): gradient for name, gradient in found.items()}
            results[objective, count, exact] = accelerator.reduce(terms["loss"], "mean").item(), found
    torch.save(results, folder / f"{accelerator.process_index}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def exchanged(tmp_path_factory):
    """Results of two processes, by rank."""
    folder = tmp_path_factory.mktemp("processes")
    in_two_processes(__file__, str(folder))
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize(("count", "exact"), WAYS)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_two_processes_have_the_gradient_of_one_with_all_rows(exchanged, objective, count, exact):
    model = joint(objective)
    loss, expected = by_hand(objective, model)
    for rank in range(2):
        found_loss, found = exchanged[rank][objective, count, exact]
        assert_close(found, expected)
        assert found_loss == pytest.approx(loss, rel=1e-6)


if __name__ == "__main__":
    process(Path(sys.argv[1]))
