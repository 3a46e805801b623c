"""The objectives, as pure functions of embeddings `[N, D]`; row i of every argument belongs to pair i.

Embeddings need not be normalised: every function works on cosines. Arguments are keyword-only and carry the paper's
names: swapped modalities would not show at lam = 0.5. `MetricError` is raised where shapes differ or N = 0.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from slapkit.errors import MetricError


class SlapLoss(NamedTuple):
    """`slap_loss`: the total and its four terms, each a scalar."""

    total: Tensor
    audio_to_text: Tensor
    text_to_audio: Tensor
    audio: Tensor
    text: Tensor


def _require_pairs(**embeddings: Tensor) -> None:
    shapes = {name: tuple(value.shape) for name, value in embeddings.items()}
    if len(set(shapes.values())) != 1 or any(len(shape) != 2 or 0 in shape for shape in shapes.values()):
        raise MetricError(f"embeddings must be matrices [N, D] of one shape with N, D >= 1; found {shapes}")


def _unit(x: Tensor) -> Tensor:
    """Rows of norm 1, in float32 at least: half precision leaves a cosine three digits, and a zero row is 0 / 0."""
    return F.normalize(x.float() if x.dtype in (torch.float16, torch.bfloat16) else x, dim=-1)


def slap_loss(
    *, q_audio: Tensor, q_text: Tensor, target_audio: Tensor, target_text: Tensor, lam: float = 0.5
) -> SlapLoss:
    """SLAP (arXiv 2506.17815, section 3): predictions approach the other modality's target, and their own.

        L = lam (L_AT + L_TA) + (1 - lam) (L_A + L_T),    L_XY = mean_i 1 - cos(q_X[i], target_Y[i])

    Without negatives: a mean of per-pair terms. With `lam=0` it is BYOL (arXiv 2006.07733) per modality.

    Args:
        q_audio, q_text: predictions `[N, D]` of the context towers.
        target_audio, target_text: projections `[N, D]` of the target towers; no gradient flows into them.
        lam: weight of the inter-modal terms, in [0, 1]; `MetricError` beyond.

    Examples:
        >>> import torch
        >>> z = torch.eye(2)  # two pairs at right angles
        >>> float(slap_loss(q_audio=z, q_text=z, target_audio=z, target_text=z).total)
        0.0
        >>> swapped = slap_loss(q_audio=z, q_text=z, target_audio=z.flip(0), target_text=z, lam=1.0)
        >>> float(swapped.text_to_audio), float(swapped.audio_to_text)
        (1.0, 0.0)
    """
    _require_pairs(q_audio=q_audio, q_text=q_text, target_audio=target_audio, target_text=target_text)
    if not 0.0 <= lam <= 1.0:
        raise MetricError(f"lam={lam!r} weighs the inter-modal terms and must lie in [0, 1]")
    q_audio, q_text = _unit(q_audio), _unit(q_text)
    target_audio, target_text = _unit(target_audio.detach()), _unit(target_text.detach())
    audio_to_text = 1 - (q_audio * target_text).sum(-1).mean()
    text_to_audio = 1 - (q_text * target_audio).sum(-1).mean()
    audio = 1 - (q_audio * target_audio).sum(-1).mean()
    text = 1 - (q_text * target_text).sum(-1).mean()
    total = lam * (audio_to_text + text_to_audio) + (1 - lam) * (audio + text)
    return SlapLoss(total, audio_to_text, text_to_audio, audio, text)


def clip_loss(*, z_audio: Tensor, z_text: Tensor, logit_scale: Tensor | float) -> Tensor:
    """Symmetric InfoNCE (CLIP, arXiv 2103.00020; CLAP, arXiv 2211.06687): each projection picks its partner out of all
    N of the other modality.

        L = 1/2 (CE(s S, I) + CE(s S^T, I)),    S[i, j] = cos(z_audio[i], z_text[j])

    Args:
        z_audio, z_text: projections `[N, D]`, gathered from all devices.
        logit_scale: s > 0, the inverse temperature.

    Examples:
        >>> import torch
        >>> same = torch.ones(4, 8)  # nothing tells the four pairs apart: log 4
        >>> round(float(clip_loss(z_audio=same, z_text=same, logit_scale=10.0)), 4)
        1.3863
    """
    _require_pairs(z_audio=z_audio, z_text=z_text)
    logits = logit_scale * (_unit(z_audio) @ _unit(z_text).T)
    pairs = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, pairs) + F.cross_entropy(logits.T, pairs)) / 2


def siglip_loss(*, z_audio: Tensor, z_text: Tensor, logit_scale: Tensor | float, logit_bias: Tensor | float) -> Tensor:
    """Sigmoid loss (SigLIP, arXiv 2303.15343): each of the N x N combinations is classified as pair or no pair.

        L = -1/N sum_ij log sigmoid(y_ij (s S[i, j] + b)),    y_ii = 1, y_ij = -1

    Args:
        z_audio, z_text: projections `[N, D]`, gathered from all devices.
        logit_scale: s > 0, the inverse temperature.
        logit_bias: b, negative at first: most combinations are no pairs.
    """
    _require_pairs(z_audio=z_audio, z_text=z_text)
    logits = logit_scale * (_unit(z_audio) @ _unit(z_text).T) + logit_bias
    signs = 2 * torch.eye(len(logits), device=logits.device, dtype=logits.dtype) - 1
    return -F.logsigmoid(signs * logits).sum() / len(logits)
