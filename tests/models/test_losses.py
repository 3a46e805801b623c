"""The objectives against slow oracles: python floats, loops, nothing shared with the code under test."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slapkit.errors import MetricError
from slapkit.models.losses import clip_loss, siglip_loss, slap_loss

examples = settings(deadline=None, max_examples=60, derandomize=True, database=None)
sizes = {"seed": st.integers(0, 10_000), "n": st.integers(1, 7), "d": st.integers(1, 9)}
TERMS = ("audio_to_text", "text_to_audio", "audio", "text")


def cosine(a: list[float], b: list[float]) -> float:
    dot = sum(x * y for x, y in zip(a, b))
    return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))


def mean_distance(a: list[list[float]], b: list[list[float]]) -> float:
    return sum(1 - cosine(x, y) for x, y in zip(a, b)) / len(a)


def slap_oracle(q_audio, q_text, target_audio, target_text, lam):
    terms = {
        "audio_to_text": mean_distance(q_audio, target_text),
        "text_to_audio": mean_distance(q_text, target_audio),
        "audio": mean_distance(q_audio, target_audio),
        "text": mean_distance(q_text, target_text),
    }
    inter, intra = terms["audio_to_text"] + terms["text_to_audio"], terms["audio"] + terms["text"]
    return terms | {"total": lam * inter + (1 - lam) * intra}


def clip_oracle(z_audio, z_text, scale):
    n, total = len(z_audio), 0.0
    for i in range(n):
        of_audio = [math.exp(scale * cosine(z_audio[i], z_text[j])) for j in range(n)]
        of_text = [math.exp(scale * cosine(z_audio[j], z_text[i])) for j in range(n)]
        total -= math.log(of_audio[i] / sum(of_audio)) + math.log(of_text[i] / sum(of_text))
    return total / (2 * n)


def siglip_oracle(z_audio, z_text, scale, bias):
    n, total = len(z_audio), 0.0
    for i in range(n):
        for j in range(n):
            x = scale * cosine(z_audio[i], z_text[j]) + bias
            probability = 1 / (1 + math.exp(-x))
            total -= math.log(probability if i == j else 1 - probability)
    return total / n


def rows(count: int, n: int, d: int, *, seed: int = 0, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, d, generator=generator, dtype=torch.float64).to(dtype) for _ in range(count)]


def named(q_audio, q_text, target_audio, target_text) -> dict[str, torch.Tensor]:
    return {"q_audio": q_audio, "q_text": q_text, "target_audio": target_audio, "target_text": target_text}


@examples
@given(lam=st.floats(0, 1), **sizes)
def test_slap_and_its_terms_equal_the_oracle(seed, n, d, lam):
    x = rows(4, n, d, seed=seed)
    found = slap_loss(**named(*x), lam=lam)
    expected = slap_oracle(*(t.tolist() for t in x), lam)
    for name in ("total", *TERMS):
        assert getattr(found, name).item() == pytest.approx(expected[name], abs=1e-12), name


@examples
@given(scale=st.floats(0.01, 100), **sizes)
def test_clip_equals_the_oracle(seed, n, d, scale):
    z_audio, z_text = rows(2, n, d, seed=seed)
    expected = clip_oracle(z_audio.tolist(), z_text.tolist(), scale)
    assert clip_loss(z_audio=z_audio, z_text=z_text, logit_scale=scale).item() == pytest.approx(expected, abs=1e-9)


@examples
@given(scale=st.floats(0.01, 20), bias=st.floats(-12, 5), **sizes)
def test_siglip_equals_the_oracle(seed, n, d, scale, bias):
    z_audio, z_text = rows(2, n, d, seed=seed)
    found = siglip_loss(z_audio=z_audio, z_text=z_text, logit_scale=scale, logit_bias=bias)
    assert found.item() == pytest.approx(siglip_oracle(z_audio.tolist(), z_text.tolist(), scale, bias), rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_low_precision_costs_no_more_than_the_rounding_of_the_input(dtype):
    x = rows(4, 6, 64, dtype=dtype)
    lists = [t.double().tolist() for t in x]
    slap = slap_loss(**named(*x), lam=0.3)
    expected = slap_oracle(*lists, 0.3)
    assert slap.total.item() == pytest.approx(expected["total"], abs=2e-6)
    assert all(getattr(slap, name).item() == pytest.approx(expected[name], abs=2e-6) for name in TERMS)
    clip = clip_loss(z_audio=x[0], z_text=x[1], logit_scale=50.0)
    assert clip.item() == pytest.approx(clip_oracle(lists[0], lists[1], 50.0), rel=1e-5)
    siglip = siglip_loss(z_audio=x[0], z_text=x[1], logit_scale=10.0, logit_bias=-10.0)
    assert siglip.item() == pytest.approx(siglip_oracle(lists[0], lists[1], 10.0, -10.0), rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_zero_row_gives_a_finite_loss_and_leaves_gradients_of_the_other_rows(dtype):
    x = rows(4, 3, 5, dtype=dtype)
    for t in x:
        t[1] = 0
        t.requires_grad_()
    slap = slap_loss(**named(*x)).total
    clip = clip_loss(z_audio=x[0], z_text=x[1], logit_scale=10.0)
    siglip = siglip_loss(z_audio=x[0], z_text=x[1], logit_scale=10.0, logit_bias=-10.0)
    for loss in (slap, clip, siglip):
        gradients = torch.autograd.grad(loss, x[:2], retain_graph=True)
        assert loss.isfinite()
        assert all(g[[0, 2]].isfinite().all() and g.dtype == dtype for g in gradients)


def test_gradients_equal_finite_differences():
    x = rows(4, 4, 3)
    a, b = (t.clone().requires_grad_() for t in x[:2])
    scale, bias = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (7.0, -3.0))
    assert torch.autograd.gradcheck(
        lambda q, p: slap_loss(q_audio=q, q_text=p, target_audio=x[2], target_text=x[3], lam=0.3).total, (a, b)
    )
    assert torch.autograd.gradcheck(lambda a, b, s: clip_loss(z_audio=a, z_text=b, logit_scale=s), (a, b, scale))
    assert torch.autograd.gradcheck(
        lambda a, b, s, c: siglip_loss(z_audio=a, z_text=b, logit_scale=s, logit_bias=c), (a, b, scale, bias)
    )


def test_no_gradient_reaches_the_targets():
    q_audio, q_text, target_audio, target_text = (t.requires_grad_() for t in rows(4, 3, 4))
    slap_loss(q_audio=q_audio, q_text=q_text, target_audio=target_audio, target_text=target_text).total.backward()
    assert target_audio.grad is None and target_text.grad is None
    assert q_audio.grad.abs().sum() > 0 and q_text.grad.abs().sum() > 0


def test_lam_zero_is_byol_for_each_modality():
    x, unit = named(*rows(4, 5, 6)), torch.nn.functional.normalize
    # BYOL, equation 2: the squared distance of unit vectors, which is twice 1 - cos.
    byol = sum(
        (unit(x[f"q_{m}"]) - unit(x[f"target_{m}"])).square().sum(-1).mean().item() / 2 for m in ("audio", "text")
    )
    assert slap_loss(**x, lam=0.0).total.item() == pytest.approx(byol, abs=1e-12)


def test_exchanging_the_predictions_exchanges_inter_and_intra_modal_terms():
    q_audio, q_text, target_audio, target_text = rows(4, 5, 6)
    right = slap_loss(**named(q_audio, q_text, target_audio, target_text), lam=0.8)
    wrong = slap_loss(**named(q_text, q_audio, target_audio, target_text), lam=0.8)
    assert (wrong.audio_to_text, wrong.text_to_audio) == (right.text, right.audio)
    assert (wrong.audio, wrong.text) == (right.text_to_audio, right.audio_to_text)
    assert abs(wrong.total - right.total) > 1e-3
    # At lam = 0.5 the mistake does not show in the loss, which is why the arguments have names.
    halves = [slap_loss(**named(*q, target_audio, target_text)).total for q in ((q_audio, q_text), (q_text, q_audio))]
    assert halves[0].item() == pytest.approx(halves[1].item(), abs=1e-12)


@pytest.mark.parametrize("lam", [-0.01, 1.01, float("nan")])
def test_lam_out_of_range_is_refused_by_value(lam):
    with pytest.raises(MetricError, match=f"lam={lam}"):
        slap_loss(**named(*rows(4, 2, 3)), lam=lam)


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (3,), (2, 3, 1), (3, 3), (2, 4)])
def test_shapes_that_are_no_pairs_are_refused(shape):
    odd, good = torch.ones(shape), torch.ones(2, 3)
    for other in (good, odd) if shape not in ((3, 3), (2, 4)) else (good,):
        for call in (
            lambda x=other: slap_loss(q_audio=x, q_text=x, target_audio=x, target_text=odd),
            lambda x=other: clip_loss(z_audio=x, z_text=odd, logit_scale=1.0),
            lambda x=other: siglip_loss(z_audio=odd, z_text=x, logit_scale=1.0, logit_bias=0.0),
        ):
            with pytest.raises(MetricError, match=r"\[N, D\]"):
                call()
