"""Accumulated gradients equal those of the whole batch: over micro-batches, and over processes.

Run as a program, this file is one of the processes: `python tests/test_objective.py FOLDER`.
"""

from __future__ import annotations

import copy
import os
import socket
import subprocess
import sys
import time
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


def joint(objective: str, *, batch_norm: bool = False, dropout: float = 0.0, dtype=torch.float64) -> JointModel:
    head = HeadConfig(hidden=10, batch_norm=batch_norm, dropout=dropout)
    config = ModelConfig(
        audio=AudioEncoderConfig(),
        text=TextEncoderConfig(frozen=False),
        audio_projector=head,
        text_projector=head,
        predictor=head,
        dim=5,
    )
    torch.manual_seed(0)
    model = JointModel(config, objective, Flat(), Flat())
    model.add_targets()
    with torch.no_grad():  # targets that are not the context towers, and a bias and a scale with a say
        for name, parameter in model.named_parameters():
            if name.startswith("target_"):
                parameter.add_(0.1 * torch.randn_like(parameter))
            elif name == "logit_bias":
                parameter.fill_(-2.0)
    return model.to(dtype).train()


def data(dtype=torch.float64) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    audio = torch.randn(PAIRS, 3, 4, generator=generator, dtype=torch.float64)
    text = audio + torch.randn(PAIRS, 3, 4, generator=generator, dtype=torch.float64)
    return {"audio": audio.to(dtype), "text": text.to(dtype)}


def micro_batches(x: dict[str, torch.Tensor], count: int, *, seeded: bool = False):
    """Inputs of micro-batch k, with dropout that repeats."""
    size = len(x["audio"]) // count

    def batch(k: int) -> dict[str, torch.Tensor]:
        if seeded:
            torch.manual_seed(k)
        return {name: value[k * size : (k + 1) * size] for name, value in x.items()}

    return batch


def loss_of(objective: str, out: dict[str, torch.Tensor], lam: float = 0.3) -> torch.Tensor:
    if objective == "slap":
        return slap_loss(**{name: out[name] for name in SLAP}, lam=lam).total
    return (clip_loss if objective == "clap" else siglip_loss)(**out)


def gradients(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def accumulated(objective: str, model: JointModel, batch, count: int, *, exact: bool = False):
    model.zero_grad(set_to_none=True)
    terms = backward(model, batch, count, objective=objective, lam=0.3, accelerator=Accelerator(cpu=True), exact=exact)
    return terms, gradients(model)


def by_hand(objective: str, model: JointModel, batch, count: int):
    """All micro-batches in one graph, one loss over all rows."""
    model.zero_grad(set_to_none=True)
    parts = [model(batch(k)) for k in range(count)]
    out = {name: torch.cat([p[name] for p in parts]) if v.dim() else v for name, v in parts[0].items()}
    loss = loss_of(objective, out)
    loss.backward()
    return loss.detach(), gradients(model)


def assert_close(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], tolerance: float = 1e-6) -> None:
    """Equal to `tolerance` of the largest value: the loss is taken in float32, whatever the model's precision."""
    assert found.keys() == expected.keys() and found
    assert max(g.abs().max() for g in expected.values()) > 1e-2  # else nothing was compared
    for name, gradient in expected.items():
        atol = tolerance * max(1.0, gradient.abs().max().item())
        torch.testing.assert_close(found[name], gradient, rtol=0, atol=atol, msg=lambda m, name=name: f"{name}: {m}")


# --- micro-batches ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("count", [1, 2, 4, 64])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_accumulation_equals_the_large_batch(objective, count, exact, dtype):
    model, x = joint(objective, dtype=dtype), data(dtype)
    loss, expected = by_hand(objective, model, micro_batches(x, 1), 1)
    terms, found = accumulated(objective, model, micro_batches(x, count), count, exact=exact)
    assert_close(found, expected)
    assert terms["loss"].item() == pytest.approx(loss.item(), rel=1e-6)
    assert not any(value.requires_grad for value in terms.values())
    assert {"log_scale", "logit_bias"} & expected.keys() == {"slap": set(), "clap": {"log_scale"}}.get(
        objective, {"log_scale", "logit_bias"}
    )


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_with_batchnorm_in_the_heads_exact_accumulation_alone_equals_the_large_batch(objective):
    whole, plain, exact = (joint(objective, batch_norm=True) for _ in range(3))
    x = data()
    loss, expected = by_hand(objective, whole, micro_batches(x, 1), 1)
    terms, found = accumulated(objective, exact, micro_batches(x, 4), 4, exact=True)
    assert_close(found, expected)
    assert terms["loss"].item() == pytest.approx(loss.item(), rel=1e-6)
    statistics = dict(exact.named_buffers())
    for name, buffer in whole.named_buffers():
        torch.testing.assert_close(statistics[name], buffer, rtol=0, atol=1e-9)
    _, other = accumulated(objective, plain, micro_batches(x, 4), 4)
    assert max((other[name] - g).abs().max() for name, g in expected.items()) > 1e-3


@pytest.mark.parametrize("objective", ["clap", "siglip"])
def test_adding_up_contrastive_micro_batches_would_not_do(objective):
    model, x = joint(objective), data()
    _, expected = by_hand(objective, model, micro_batches(x, 1), 1)
    model.zero_grad()
    batch = micro_batches(x, 4)
    for k in range(4):
        (loss_of(objective, model(batch(k))) / 4).backward()
    naive = gradients(model)
    assert max((naive[name] - g).abs().max() for name, g in expected.items()) > 1e-2


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_dropout_and_batchnorm_repeat_in_the_second_pass(objective, batch_norm):
    model, x = joint(objective, dropout=0.3, batch_norm=batch_norm), data()
    twin = copy.deepcopy(model)
    _, expected = by_hand(objective, twin, micro_batches(x, 4, seeded=True), 4)
    _, found = accumulated(objective, model, micro_batches(x, 4, seeded=True), 4)
    assert_close(found, expected)
    # Dropout is at work: without the seed, or with another one, the gradient is another.
    _, other = by_hand(objective, twin, micro_batches(x, 1, seeded=True), 1)
    assert max((other[name] - g).abs().max() for name, g in expected.items()) > 1e-3


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_statistics_count_every_micro_batch_once(objective, momentum):
    model, x = joint(objective, batch_norm=True), data()
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm1d)]
    for norm in norms:
        norm.momentum = momentum
    twin = copy.deepcopy(model)
    batch = micro_batches(x, 4)
    for k in range(4):
        twin(batch(k))
    accumulated(objective, model, micro_batches(x, 4), 4)
    expected = dict(twin.named_buffers())
    counted = [name for name in expected if name.endswith("num_batches_tracked") and not name.startswith("target_")]
    assert counted
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, expected[name]), name
        assert name not in counted or buffer == 4
    assert all(norm.momentum == momentum for norm in norms)


def test_a_failing_first_pass_leaves_batchnorm_as_it_was():
    model, x = joint("clap", batch_norm=True), data()
    before = copy.deepcopy(model.state_dict())

    def forward(k: int):
        if k == 1:
            raise MemoryError("too large")
        return micro_batches(x, 4)(k)

    with pytest.raises(MemoryError):
        accumulated("clap", model, forward, 4)
    assert all(m.momentum == 0.1 for m in model.modules() if isinstance(m, nn.BatchNorm1d))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        ("slap", [(k, True) for k in range(4)]),
        ("clap", [(k, False) for k in range(4)] + [(k, True) for k in range(4)]),
        ("siglip", [(k, False) for k in range(4)] + [(k, True) for k in range(4)]),
    ],
)
def test_no_more_than_one_micro_batch_is_held(objective, expected):
    model, x, calls, alive = joint(objective), data(), [], []
    inner, original = micro_batches(x, 4), model.forward

    def batch(k: int):
        calls.append((k, torch.is_grad_enabled()))
        return inner(k)

    def forward(inputs):
        k, out = calls[-1][0], original(inputs)
        if out["z_audio"].grad_fn is not None:
            marker = torch.ones((), requires_grad=True)
            out["z_audio"] = out["z_audio"] * marker.double()
            marker.register_hook(lambda g: alive.append(("freed", k)))
            alive.append(("held", k))
        return out

    model.forward = forward
    # SLAP's loss is of q, so its z is no part of the graph.
    accumulated(objective, model, batch, 4)
    assert calls == expected
    if objective != "slap":
        assert alive == [(what, k) for k in range(4) for what in ("held", "freed")]


def test_slap_reports_the_terms_of_the_whole_batch():
    model, x = joint("slap"), data()
    terms, _ = accumulated("slap", model, micro_batches(x, 4), 4)
    with torch.no_grad():
        out = model(x)
    expected = slap_loss(**{name: out[name] for name in SLAP}, lam=0.3)
    assert terms.keys() == {"loss", "audio_to_text", "text_to_audio", "audio", "text"}
    assert terms["loss"].item() == pytest.approx(expected.total.item(), abs=1e-6)
    for name in terms.keys() - {"loss"}:
        assert terms[name].item() == pytest.approx(getattr(expected, name).item(), abs=1e-6), name
    inter, intra = terms["audio_to_text"] + terms["text_to_audio"], terms["audio"] + terms["text"]
    assert terms["loss"].item() == pytest.approx((0.3 * inter + 0.7 * intra).item(), abs=1e-6)


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_gradients_are_added_to_what_is_there(objective, count):
    model, x = joint(objective), data()
    _, once = accumulated(objective, model, micro_batches(x, count), count)
    batch = micro_batches(x, count)
    backward(model, batch, count, objective=objective, lam=0.3, accelerator=Accelerator(cpu=True))
    assert_close(gradients(model), {name: 2 * g for name, g in once.items()}, tolerance=1e-12)


# --- processes -------------------------------------------------------------------------------------------------------

WAYS = [(1, False), (2, False), (2, True)]  # micro-batches, exact


def process(folder: Path) -> None:
    """One of two processes: gradients of this rank's half of the pairs, exchanged."""
    accelerator, results = Accelerator(cpu=True), {}
    assert accelerator.num_processes == 2
    for objective in OBJECTIVES:
        for count, exact in WAYS:
            share = PAIRS // 2
            rows = slice(accelerator.process_index * share, (accelerator.process_index + 1) * share)
            x = {name: value[rows] for name, value in data().items()}
            model = joint(objective)
            wrapped = accelerator.prepare(model)
            assert isinstance(wrapped, nn.parallel.DistributedDataParallel)
            batch = micro_batches(x, count)
            for _ in range(2):  # twice, for what a first exchange may leave behind
                wrapped.zero_grad(set_to_none=True)
                terms = backward(
                    wrapped, batch, count, objective=objective, lam=0.3, accelerator=accelerator, exact=exact
                )
            loss = accelerator.reduce(terms["loss"], "mean")
            results[objective, count, exact] = (loss, gradients(model))
    torch.save(results, folder / f"{accelerator.process_index}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def exchanged(tmp_path_factory):
    """Results of two processes, by rank."""
    folder = tmp_path_factory.mktemp("processes")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    common["PYTHONPATH"] = str(Path(__file__).parents[2])  # the slapkit that this test belongs to
    command = [sys.executable, __file__, str(folder)]
    processes = []
    for rank in range(2):
        environment = os.environ | common | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        processes.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    deadline = time.monotonic() + 120
    try:
        errors = [p.communicate(timeout=max(1.0, deadline - time.monotonic()))[1] for p in processes]
    finally:
        for p in processes:
            p.kill()
    for p, error in zip(processes, errors):
        assert p.returncode == 0, error
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize(("count", "exact"), WAYS)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_two_processes_have_the_gradient_of_one_with_all_rows(exchanged, objective, count, exact):
    model = joint(objective)
    loss, expected = by_hand(objective, model, micro_batches(data(), 1), 1)
    for rank in range(2):
        found_loss, found = exchanged[rank][objective, count, exact]
        assert_close(found, expected)
        assert found_loss.item() == pytest.approx(loss.item(), rel=1e-6)
    # Negatives of the other process count: the mean of each half's gradient is another one.
    if objective != "slap":
        batch = micro_batches(data(), 2)
        model.zero_grad()
        for k in range(2):
            (loss_of(objective, model(batch(k))) / 2).backward()
        assert max((gradients(model)[name] - g).abs().max() for name, g in expected.items()) > 1e-2


if __name__ == "__main__":
    process(Path(sys.argv[1]))
