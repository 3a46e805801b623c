"""HTS-AT's inference path against transformers' own forward pass, its independent oracle."""

import copy

import pytest
import torch

from slapkit.audio.frontend import FRONTENDS
from slapkit.models.encoders import AudioEncoderConfig, build_audio_encoder, htsat_inference
from slapkit.models.joint import TargetTower, Tower

SMALL = {"spec_size": 128, "window_size": 4, "patch_embeds_hidden_size": 16}
SMALL |= {"depths": [2, 3, 2, 2], "num_attention_heads": [1, 2, 4, 8]}
SHAPES = {
    "shifted windows": {},
    "windows as large as the last maps": {"window_size": 2, "spec_size": 64},
    "no bias": {"qkv_bias": False},
    "a wide MLP": {"mlp_ratio": 2.0},
    "fused": {"enable_fusion": True},
}


def encoder(**changes):
    """A small encoder with weights that count: at the start position biases are zero and attention hardly matters."""
    torch.manual_seed(0)
    frontend = FRONTENDS["light"]
    config = AudioEncoderConfig(kind="htsat", frontend=frontend, htsat=SMALL | changes, window_s=0.8)
    built = build_audio_encoder(config).eval()
    for name, parameter in built.named_parameters():
        if parameter.dim() < 2 or name.endswith("bias_table"):  # norms and biases too
            torch.nn.init.normal_(parameter, 1.0 if "norm" in name and name.endswith("weight") else 0.0, 0.5)
        else:
            torch.nn.init.normal_(parameter, 0.0, 1.5 * parameter[0].numel() ** -0.5)
    norm = built.model.audio_encoder.batch_norm
    norm.running_mean.uniform_(-45, -35)
    norm.running_var.uniform_(50, 300)
    return built


def sounds(count: int) -> torch.Tensor:
    """Log-mels `[count, 41, 64]` (dB), each with a spectrum of its own that comes and goes."""
    spectrum, course = 15 * torch.randn(count, 1, 64), torch.rand(count, 41, 1)
    return 5 * torch.randn(count, 41, 64) + spectrum * course - 40


@torch.no_grad()
def oracle(built, mel):
    longer = torch.zeros(len(mel), 1, dtype=torch.bool) if built.fused else None
    return built.model(input_features=mel.unsqueeze(1), is_longer=longer).pooler_output


@pytest.fixture
def paths(monkeypatch):
    """Which calls took the inference path."""
    taken, encode = [], htsat_inference.encode
    monkeypatch.setattr(htsat_inference, "encode", lambda *args: taken.append(1) or encode(*args))
    return taken


@torch.no_grad()
@pytest.mark.parametrize("changes", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("count", [1, 6])
def test_it_gives_what_transformers_gives(changes, count, paths):
    built, mel = encoder(**changes), sounds(count)
    expected = oracle(built, mel)
    torch.testing.assert_close(built(mel), expected, rtol=1e-4, atol=1e-5)
    assert paths and (count == 1 or expected.std(0).mean() > 0.01)  # sounds differ by more than numbers


@torch.no_grad()
def test_weights_that_change_count_at_once():
    built, mel = encoder(), sounds(2)
    before = built(mel)
    for name, parameter in built.named_parameters():
        if "query" in name:
            parameter.mul_(1.5)
    changed = built(mel)
    assert (changed - before).abs().max() > 0.01
    torch.testing.assert_close(changed, oracle(built, mel), rtol=1e-5, atol=1e-5)
    built.load_state_dict(encoder().state_dict())
    torch.testing.assert_close(built(mel), before)
    other = copy.deepcopy(built)
    other.model.audio_encoder.norm.bias.add_(1)
    torch.testing.assert_close(other(mel), before + 1)
    torch.testing.assert_close(built(mel), before)


@torch.no_grad()
def test_bfloat16_keeps_the_direction():
    built, mel = encoder(), sounds(6)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = built(mel)
    assert rounded.dtype == torch.float32
    exact = oracle(built, mel)
    assert not torch.equal(rounded, exact)
    spread = exact - exact.mean(0)  # by which the sounds differ
    assert (rounded - exact).norm() < 0.01 * exact.norm() and (rounded - exact).norm() < 0.15 * spread.norm()


def test_training_gradients_and_dropout_take_the_model_itself(paths):
    built, mel = encoder(), sounds(2)
    built(mel).sum().backward()
    assert built.model.audio_encoder.layers[0].blocks[0].attention.self.query.weight.grad is not None
    with torch.no_grad():
        built.train()(mel)
        built.eval()
        built.model.audio_encoder.layers[1].blocks[0].attention.self.dropout.train()
        built(mel)
    assert not paths


@torch.no_grad()
@pytest.mark.parametrize("changes", [{"spec_size": 192}, {"hidden_act": "gelu_new"}])  # 6 patches a side, windows of 4
def test_maps_that_windows_do_not_divide_and_other_activations_take_the_model_itself(changes, paths):
    built, mel = encoder(**changes), sounds(2)
    torch.testing.assert_close(built(mel), oracle(built, mel))
    assert not paths


@torch.no_grad()
def test_a_target_normalises_by_the_batch_here_too(paths):
    built, mel = encoder(), sounds(6)
    target = TargetTower(Tower(built, torch.nn.Identity(), frozen=False)).train()
    found = target(mel, context=None)
    assert paths
    torch.testing.assert_close(found, oracle(target.encoder, mel), rtol=1e-5, atol=1e-5)
    assert (found - oracle(built, mel)).abs().max() > 1e-3
