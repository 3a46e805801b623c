"""Health of a training, measured on validation pairs. A collapsed training stops.

In a collapse all inputs get nearly the same embedding. SLAP's loss is low then; the effective rank falls towards 1.
"""

import numpy as np
import torch

from slapkit.errors import CollapseError
from slapkit.metrics import Space, retrieval_scores
from slapkit.models.embed import mean_by_clip
from slapkit.models.joint import JointModel
from slapkit.models.representations import Representations
from slapkit.training.batches import AudioSource, TextSource
from slapkit.training.config import TrainConfig

COLLAPSED_RANK = 1.5  # an effective rank below this, seen twice in a row after warm-up, is a collapse
FEWEST_CLIPS = 4  # for validation to show a collapse: the effective rank of fewer is about as low without one
_AT_ONCE = 64


@torch.no_grad()
def measure(
    model: JointModel, audio: AudioSource | Representations, text: TextSource, clip_of_caption: np.ndarray,
    device: torch.device,
) -> dict[str, float]:  # fmt: skip
    """Return recall, effective rank and embedding std (the lower of both modalities) and gap of the predictions of
    clips, each the mean over its fixed windows, and captions."""
    clips, starts = audio.tiles()
    modes = model.training
    model.eval()

    def embedded(x, modality: str) -> torch.Tensor:
        return torch.nn.functional.normalize(model.embed(x, modality)[1].float(), dim=-1).cpu()

    of_windows, of_captions = [], []
    for i in range(0, len(clips), _AT_ONCE):
        windows = audio.take(clips[i : i + _AT_ONCE], starts[i : i + _AT_ONCE])
        of_windows.append(embedded(windows.to(device), "audio"))
    for i in range(0, len(text), _AT_ONCE):
        captions = text.take(np.arange(i, min(i + _AT_ONCE, len(text))), device)
        of_captions.append(embedded(captions, "text"))
    model.train(modes)
    q_audio = mean_by_clip(torch.cat(of_windows).numpy(), clips, len(audio))
    space = Space(audio=q_audio, text=torch.cat(of_captions).numpy(), clip_of_caption=clip_of_caption)
    scores = retrieval_scores(space.text_to_audio, at=(1, 10))
    return {
        "R@1": scores["R@1"],
        "R@10": scores["R@10"],
        "effective_rank": min(space.effective_ranks.values()),
        "embedding_std": space.embedding_std,
        "centroid_distance": float(space.along_gap.mean()),
    }


def check_collapse(low: list[float], rank: float, *, step: int, config: TrainConfig) -> list[float]:
    """Return the effective ranks of a collapse in a row, after those in `low` and another one; raise `CollapseError`
    where there are two, after warm-up."""
    if step <= round(config.steps * config.warmup_fraction) or rank >= COLLAPSED_RANK:
        return []
    low = [*low, rank]
    if len(low) < 2:
        return low
    seen = ", ".join(f"{value:.2f}" for value in low)
    raise CollapseError(
        f"training collapsed at step {step}: the effective rank of the validation embeddings was {seen} in the last "
        "checks (1 means that all inputs look alike). Try lam "
        f"nearer 0.5 (now {config.lam}), a higher tau (now {config.tau}), a lower lr (now {config.lr}), BatchNorm in "
        "the predictors, or a larger batch; stop_on_collapse=False lets a collapsed run go on"
    )
