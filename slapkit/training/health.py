"""Health of a training, measured on validation pairs. A collapsed training stops.

In a collapse all inputs get nearly the same embedding. SLAP's loss is low then; the effective rank falls towards 1.
"""

from __future__ import annotations

import numpy as np
import torch

from slapkit.errors import CollapseError
from slapkit.metrics import Space, retrieval_scores
from slapkit.models.embed import mean_by_clip
from slapkit.models.joint import JointModel
from slapkit.training.batches import AudioSource, TextSource

COLLAPSED_RANK = 1.5  # an effective rank below this, seen twice in a row after warm-up, is a collapse


@torch.no_grad()
def predictions(
    model: JointModel, audio: AudioSource, text: TextSource, device: torch.device, *, batch_size: int = 64
) -> tuple[np.ndarray, np.ndarray]:
    """Predictions q of clips `[N, D]`, the mean over the fixed windows of each, and of captions `[M, D]`; float32, of
    unit norm."""
    clips, starts = audio.tiles()
    captions = np.arange(len(text))
    modes = model.training
    model.eval()

    def embedded(x, modality: str) -> torch.Tensor:
        return torch.nn.functional.normalize(model.embed(x, modality)[1].float(), dim=-1).cpu()

    of_windows, of_captions = [], []
    for i in range(0, len(clips), batch_size):
        windows = audio.take(clips[i : i + batch_size], starts[i : i + batch_size])
        of_windows.append(embedded(windows.to(device), "audio"))
    for i in range(0, len(captions), batch_size):
        of_captions.append(embedded(text.take(captions[i : i + batch_size], device), "text"))
    model.train(modes)
    return mean_by_clip(torch.cat(of_windows).numpy(), clips, len(audio)), torch.cat(of_captions).numpy()


def measure(*, audio: np.ndarray, text: np.ndarray, clip_of_caption: np.ndarray) -> dict[str, float]:
    """Return recall, effective rank and embedding std (the lower of both modalities) and gap of `audio [N, D]` and
    `text [M, D]`."""
    space = Space(audio=audio, text=text, clip_of_caption=clip_of_caption)
    scores = retrieval_scores(space.text_to_audio, at=(1, 10))
    return {
        "R@1": scores["R@1"],
        "R@10": scores["R@10"],
        "effective_rank": min(space.effective_ranks.values()),
        "embedding_std": space.embedding_std,
        "centroid_distance": float(space.along_gap.mean()),
    }


def collapse_message(step: int, ranks: list[float], *, lam: float, tau: float, lr: float) -> str:
    """Say what was seen and what to try."""
    seen = ", ".join(f"{rank:.2f}" for rank in ranks)
    return (
        f"training collapsed at step {step}: the effective rank of the validation embeddings was {seen} in the last "
        "checks (1 means that all inputs look alike). "
        f"Try lam nearer 0.5 (now {lam}), a higher tau (now {tau}), a lower lr (now {lr}), BatchNorm in the "
        "predictors, or a larger batch; "
        "stop_on_collapse=False lets a collapsed run go on"
    )


class CollapseWatch:
    """Raises once two checks in a row after warm-up found a collapse."""

    def __init__(self, *, warmup_steps: int, lam: float, tau: float, lr: float) -> None:
        self.warmup_steps, self.settings, self.low = warmup_steps, {"lam": lam, "tau": tau, "lr": lr}, []

    def check(self, step: int, rank: float) -> None:
        """Take note of one check.

        Raises:
            CollapseError: this check and the one before it found a collapse.
        """
        if step <= self.warmup_steps or rank >= COLLAPSED_RANK:
            self.low = []
            return
        self.low.append(rank)
        if len(self.low) >= 2:
            raise CollapseError(collapse_message(step, self.low, **self.settings))
