"""What the weights alone tell: are they finite, were they trained, do they belong together?

Training leaves a mark that shuffling destroys. A matrix of independent entries has a largest singular value that the
shape and the spread of its entries fix; learning adds a few strong directions on top. So the largest singular value of
a trained matrix lies above that of the same entries shuffled, and that of a random one does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from slapkit.hub.doctor.check import Check, judged, unknown
from slapkit.hub.doctor.probes import CAPTIONS
from slapkit.hub.doctor.subject import Subject

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_LARGEST = 1024  # rows and columns looked at: enough to tell structure from chance, and quick
_SMALLEST = 16  # rows or columns: below, chance alone makes strong directions
_SHUFFLES = 5
_NO_JOINT = "the weights of a model of another make are not looked at"


def finite_weights(subject: Subject) -> Check:
    """Are all weights and running statistics finite?"""
    import torch

    if subject.joint is None:
        return unknown("finite weights", _NO_JOINT)
    state = {n: t for n, t in subject.joint.state_dict().items() if t.is_floating_point()}
    bad = [n for n, t in state.items() if not bool(torch.isfinite(t).all())]
    return judged(
        "finite weights", len(bad), warn=1, fail=1,
        words=f"{len(bad)} of {len(state)} tensors hold NaN or infinity, {bad[0]} for one" if bad
        else f"all {len(state)} tensors are finite",
        remedy="training diverged, or the file is damaged: go back to an earlier checkpoint, and train with a lower lr "
        "or precision='no'",
    )  # fmt: skip


def text_encoder(subject: Subject) -> Check:
    """Is a frozen text encoder, which checkpoints keep by reference, the one that the model was trained with?"""
    joint = subject.joint
    wanted = None if joint is None else joint.config.text.fingerprint
    if wanted is None or not joint.text.frozen:
        return unknown("text encoder", "only a frozen text encoder of a saved model has a fingerprint to compare with")
    found = joint.text.encoder.fingerprint()
    return judged(
        "text encoder", float(found != wanted), warn=1, fail=1,
        words=f"its fingerprint is {found}" + ("" if found == wanted else f", and the model was trained with {wanted}"),
        remedy=f"install the text model {joint.config.text.source!r} in the version that this model was trained with",
    )  # fmt: skip


def learned(subject: Subject) -> Check:
    """Do the weights of both towers bear the mark of training?"""
    if subject.joint is None:
        return unknown("trained weights", _NO_JOINT)
    ratios = {modality: max(_ratios(subject.joint, modality), default=None) for modality in ("audio", "text")}
    ratios = {modality: ratio for modality, ratio in ratios.items() if ratio is not None}
    if not ratios:
        return unknown("trained weights", "no weight matrix is large enough to tell learning from chance")
    weakest = min(ratios, key=lambda modality: ratios[modality])
    return judged(
        "trained weights", ratios[weakest], warn=1.2, fail=1.08, less_is_worse=True,
        words=f"the strongest direction in the {weakest} tower's weights is {ratios[weakest]:.2f} times what the same "
        "entries give when shuffled",
        remedy="the weights look random: untrained, or their entries were shuffled; load the checkpoint again from "
        "its source",
    )  # fmt: skip


def _ratios(joint: torch.nn.Module, modality: str) -> Iterator[float]:
    """Yield, for each matrix of a tower that is trained, its largest singular value by that of its shuffled entries."""
    import torch

    tower, generator = getattr(joint, modality), torch.Generator().manual_seed(0)
    for name, parameter in tower.named_parameters():
        if parameter.dim() < 2 or (tower.frozen and name.startswith("encoder.")):
            continue
        matrix = parameter.detach().float().cpu().flatten(1)[:_LARGEST, :_LARGEST]
        if min(matrix.shape) < _SMALLEST or not bool(torch.isfinite(matrix).all()):
            continue
        matrix = matrix - matrix.mean()
        by_chance = max(_strongest(_shuffled(matrix, generator)) for _ in range(_SHUFFLES))
        yield _strongest(matrix) / by_chance if by_chance > 0 else 0.0


def _shuffled(matrix: Tensor, generator: torch.Generator) -> Tensor:
    import torch

    return matrix.flatten()[torch.randperm(matrix.numel(), generator=generator)].view_as(matrix)


def _strongest(matrix: Tensor, rounds: int = 25) -> float:
    """Largest singular value, by power iteration."""
    import torch

    vector = torch.randn(matrix.shape[1], generator=torch.Generator().manual_seed(0))
    for _ in range(rounds):
        vector = torch.nn.functional.normalize(matrix.T @ (matrix @ vector), dim=0)
    return float((matrix @ vector).norm())


def running_statistics(subject: Subject) -> Check:
    """Do BatchNorm's running statistics describe what arrives there?

    Mean and spread of each channel, over the sounds and captions given or the probes, are compared with the running
    ones, in units of the running spread and as the logarithm of a ratio. The probes differ from real music, but not by
    orders of magnitude; what weights make that do not belong to the statistics does.
    """
    from torch.nn.modules.batchnorm import _BatchNorm

    name = "running statistics"
    layers = (
        {} if subject.joint is None else {n: m for n, m in subject.joint.named_modules() if isinstance(m, _BatchNorm)}
    )
    layers = {n: m for n, m in layers.items() if m.running_mean is not None}
    sums: dict[str, list] = {n: [0, 0.0, 0.0] for n in layers}
    if not layers:
        return unknown(name, "there is no BatchNorm, whose statistics could be compared")
    hooks = [layers[n].register_forward_pre_hook(_adding(sums[n])) for n in layers]
    try:
        subject.hear(subject.given_sounds or subject.waves)
        subject.read(subject.given_captions or CAPTIONS)
    finally:
        for hook in hooks:
            hook.remove()
    off = {n: _mismatch(layers[n], *sums[n]) for n in layers if sums[n][0]}
    if not off:
        return unknown(name, "sounds and captions reach no BatchNorm")
    worst = next((n for n in off if off[n] != off[n]), max(off, key=lambda n: off[n]))
    return judged(
        name, off[worst], warn=1.5, fail=2.0,
        words=f"inputs of BatchNorm differ from its running statistics by up to {off[worst]:.2f} (spreads, or powers "
        f"of e), most at {worst}",
        remedy="weights and statistics do not belong together, or sound reaches the encoder otherwise than in "
        "training (front end, level): load the checkpoint again, and check config.json beside it",
    )  # fmt: skip


def _adding(sums: list):
    """Return a hook that adds up number, sum and sum of squares of a layer's input by channel."""

    def hook(module, inputs) -> None:
        x = inputs[0].detach().double().transpose(0, 1).flatten(1)
        sums[0] += x.shape[1]
        sums[1] = sums[1] + x.sum(1)
        sums[2] = sums[2] + x.square().sum(1)

    return hook


def _mismatch(layer: torch.nn.Module, count: int, total: Tensor, squares: Tensor) -> float:
    """Median over the channels of how far mean and spread are off, the larger of both."""
    mean = total / count
    variance = (squares / count - mean.square()).clamp(min=0) + layer.eps
    expected = layer.running_var.double() + layer.eps
    shift = (mean - layer.running_mean.double()).abs() / expected.sqrt()
    scale = (variance / expected).log().abs() / 2
    # Of a tensor with NaN, median is NaN and max would hide it.
    shift, scale = float(shift.median()), float(scale.median())
    return shift + scale if shift != shift or scale != scale else max(shift, scale)
