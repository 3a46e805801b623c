"""The joint model on stand-in encoders: outputs, gradients, targets, frozen towers, state."""

import copy
import math

import pytest
import torch
from torch import nn

from slapkit.models.ema import update_target
from slapkit.models.encoders import AudioEncoderConfig, TextEncoderConfig
from slapkit.models.joint import HeadConfig, JointModel, ModelConfig, head
from slapkit.models.losses import slap_loss
from slapkit.presets import preset

OUTPUTS = {
    "slap": {"z_audio", "z_text", "q_audio", "q_text", "target_audio", "target_text"},
    "clap": {"z_audio", "z_text", "logit_scale"},
    "siglip": {"z_audio", "z_text", "logit_scale", "logit_bias"},
}


class Audio(nn.Module):
    """Stand-in audio encoder `[B, T, F] -> [B, 6]`, with the layers whose mode matters."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm, self.drop = nn.Linear(12, 6), nn.BatchNorm1d(6), nn.Dropout(0.5)
        self.dim, self.calls = 6, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.drop(self.norm(self.layer(x.flatten(1))))


class Text(nn.Module):
    """Stand-in text encoder: tokens `[B, L]` to `[B, 5]`, with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.drop = nn.Embedding(20, 5), nn.Dropout(0.5)
        self.dim, self.calls = 5, 0

    def forward(self, tokens: dict[str, torch.Tensor]) -> torch.Tensor:
        self.calls += 1
        return self.drop(self.table(tokens["input_ids"]).mean(1))


def joint(objective: str = "slap", *, frozen: tuple[str, ...] = ()) -> JointModel:
    torch.manual_seed(0)
    audio, text = AudioEncoderConfig(frozen="audio" in frozen), TextEncoderConfig(frozen="text" in frozen)
    heads = dict.fromkeys(("audio_projector", "text_projector"), HeadConfig(hidden=7))
    config = ModelConfig(audio=audio, text=text, predictor=HeadConfig(hidden=9), dim=4, **heads)
    model = JointModel(config, objective, Audio(), Text())
    model.add_targets()
    return model


def batch(n: int = 8, seed: int = 0) -> dict:
    generator = torch.Generator().manual_seed(seed)
    audio = torch.randn(n, 3, 4, generator=generator)
    return {"audio": audio, "text": {"input_ids": torch.randint(0, 20, (n, 5), generator=generator)}}


def slap_of(out: dict[str, torch.Tensor]) -> torch.Tensor:
    return slap_loss(**{k: out[k] for k in ("q_audio", "q_text", "target_audio", "target_text")}).total


def snapshot(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("objective", OUTPUTS)
def test_outputs_by_name_and_shape(objective):
    model, x = joint(objective).eval(), batch()
    out = model(x)
    assert out.keys() == OUTPUTS[objective]
    for name, value in out.items():
        assert value.shape == (() if name.startswith("logit") else (8, 4)), name
        assert value.requires_grad != name.startswith("target"), name
    for name in ("audio", "text"):
        z, q = model.embed(x[name], name)
        torch.testing.assert_close(z, out[f"z_{name}"])
        if objective == "slap":
            torch.testing.assert_close(q, out[f"q_{name}"])
            torch.testing.assert_close(q, getattr(model, f"{name}_predictor")(z))
            torch.testing.assert_close(out[f"target_{name}"], z)  # right after their creation targets are the context
        else:
            assert q is z and model.target_audio is None


def test_the_target_has_its_own_view():
    model = joint().eval()
    x, other = batch(), batch(seed=1)
    for modality in ("audio", "text"):
        target = f"target_{modality}"
        out, other_view = model(x), model(x | {target: other[modality]})
        assert {name for name in out if not torch.equal(out[name], other_view[name])} == {target}
        torch.testing.assert_close(other_view[target], model(other)[target])


@pytest.mark.parametrize(("objective", "scale", "bias"), [("clap", 1 / 0.07, None), ("siglip", 10.0, -10.0)])
def test_the_scale_starts_as_published_stays_within_100_and_can_come_back(objective, scale, bias):
    model = joint(objective)
    out = model(batch())
    assert out["logit_scale"].item() == pytest.approx(scale, rel=1e-6)
    assert bias is None or out["logit_bias"].item() == bias
    with torch.no_grad():
        model.log_scale.fill_(math.log(500.0))
    for direction in (1.0, -1.0):  # a gradient that asks for less must be followed from the limit on
        out = model(batch())
        assert out["logit_scale"].item() == pytest.approx(100, rel=1e-5)
        (gradient,) = torch.autograd.grad(direction * out["logit_scale"], model.log_scale)
        assert gradient.item() == pytest.approx(direction * 100, rel=1e-5)
    with torch.no_grad():
        model.log_scale -= 1
    assert model(batch())["logit_scale"].item() == pytest.approx(100 / math.e, rel=1e-5)


def test_targets_follow_by_moving_average_and_nothing_else():
    model = joint().train()
    targets = (model.target_audio, model.target_text)
    before = [snapshot(target) for target in targets]
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    for seed in range(3):
        optimizer.zero_grad()
        slap_of(model(batch(seed=seed))).backward()
        optimizer.step()
    # Neither gradients nor BatchNorm's statistics have touched them; all of the context is trained.
    assert all(same(state, snapshot(target)) for state, target in zip(before, targets))
    trained = {name for name, p in model.named_parameters() if p.grad is not None}
    assert trained == {name for name, _ in model.named_parameters() if not name.startswith("target_")}
    update_target(model.target_audio, model.audio, tau=0.25)
    for name, tensor in model.target_audio.state_dict().items():
        if tensor.is_floating_point():
            expected = 0.25 * before[0][name] + 0.75 * model.audio.state_dict()[name]
            torch.testing.assert_close(tensor, expected, msg=name)


def test_targets_normalise_by_the_batch_and_drop_nothing():
    model, x = joint().train(), batch()
    targets = [m for t in (model.target_audio, model.target_text) for m in t.modules()]
    norms = [m for m in targets if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert norms and all(m.training for m in norms)
    first, second = model(x), model(x)
    assert torch.equal(first["target_audio"], second["target_audio"])  # no dropout, no memory
    assert not torch.equal(first["z_audio"], second["z_audio"])
    model.eval()
    alone = model(batch(2) | {"target_audio": x["audio"][:2]})  # evaluation uses the averaged statistics
    torch.testing.assert_close(alone["target_audio"], model(x)["target_audio"][:2])


def test_synchronised_batch_norm_keeps_the_targets_modes_and_statistics():
    plain, x = joint().train(), batch()
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(plain))
    converted.eval(), converted.train()
    targets = [converted.target_audio, converted.target_text]
    norms = [m for target in targets for m in target.modules() if isinstance(m, nn.SyncBatchNorm)]
    assert len(norms) == 3 and all(m.training for m in norms)
    before = [snapshot(target) for target in targets]
    found, expected = converted(x), plain(x)
    for name in ("target_audio", "target_text"):
        torch.testing.assert_close(found[name], expected[name])
    assert all(same(state, snapshot(target)) for state, target in zip(before, targets))
    for target, context in ((targets[0], converted.audio), (targets[1], converted.text)):
        update_target(target, context, tau=0.0)
        assert same(snapshot(target), {name: snapshot(context)[name] for name in snapshot(target)})


def test_the_model_runs_on_representations_as_on_inputs():
    model, x = joint().eval(), batch() | {"target_audio": batch(seed=1)["audio"]}
    with torch.no_grad():
        for p in model.target_text.parameters():
            p.mul_(1.5)  # target and context differ
    h = model.represent(x)
    shapes = {name: tuple(value.shape) for name, value in h.items()}
    assert shapes == {"audio": (8, 6), "text": (8, 5), "target_audio": (8, 6), "target_text": (8, 5)}
    calls = model.text.encoder.calls
    later = model(h)
    assert model.text.encoder.calls == calls and same(model(x), later)


@pytest.mark.parametrize("frozen", ["audio", "text"])
def test_a_frozen_encoder_neither_learns_nor_drops_nor_counts_and_is_shared_with_its_target(frozen):
    model = joint(frozen=(frozen,)).eval().train()
    tower, target, x = getattr(model, frozen), getattr(model, f"target_{frozen}"), batch()
    assert not any(m.training for m in tower.encoder.modules()) and tower.projector.training
    before = snapshot(tower.encoder)
    slap_of(model(x)).backward()
    assert all(p.grad is None and not p.requires_grad for p in tower.encoder.parameters())
    assert all(p.grad is not None for p in tower.projector.parameters())
    assert same(before, snapshot(tower.encoder))
    h = tower.represent(x[frozen])
    assert torch.equal(h, tower.represent(x[frozen])) and not h.requires_grad
    assert not any(name.startswith(f"target_{frozen}.encoder") for name in model.state_dict())
    update_target(target, tower, tau=0.0)  # a target with fewer parts than its context
    out = model.eval()(x)
    torch.testing.assert_close(out[f"target_{frozen}"], out[f"z_{frozen}"])


@pytest.mark.parametrize("text_frozen", [True, False])
def test_own_state_leaves_out_the_frozen_text_encoder_alone(text_frozen):
    model = joint(frozen=("audio", "text") if text_frozen else ("audio",))
    left_out = model.state_dict().keys() - model.own_state().keys()
    everything = {name for name in model.state_dict() if name.startswith("text.encoder.")}
    assert left_out == (everything if text_frozen else set()) and everything
    assert any(name.startswith("audio.encoder.") for name in model.own_state())  # frozen, yet at home nowhere else


def test_the_paper_preset_has_193_million_parameters():
    with torch.device("meta"):
        model = JointModel.build(preset("paper").model, "slap", captions=["a slow waltz", "drums"])
    sizes = [sum(p.numel() for p in part.parameters()) for part in (model.audio, model.text, model.audio.encoder)]
    assert sum(sizes[:2]) == pytest.approx(193e6, rel=0.01) and sizes[2] == pytest.approx(68e6, rel=0.01)
    hidden = [layer.out_features for layer in model.audio_predictor if isinstance(layer, nn.Linear)]
    assert hidden == [4096, 512]


@pytest.mark.parametrize("batch_norm", [True, False])
def test_a_head_without_hidden_layer_is_linear(batch_norm):
    x, layers = torch.randn(50, 6), head(HeadConfig(hidden=0, batch_norm=batch_norm), 6, 4)
    first = layers[0]
    expected = x @ first.weight.T if batch_norm else x @ first.weight.T + first.bias
    if batch_norm:  # in training, by the batch
        expected = (expected - expected.mean(0)) / (expected.var(0, correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(layers(x), expected)
    assert sum(p.numel() for p in layers.parameters()) == 6 * 4 + 4 * (2 if batch_norm else 1)
