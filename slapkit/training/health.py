"""Is training healthy? Measured on validation pairs, and acted on: a collapsed run stops.

Collapse means that all inputs get nearly the same embedding. The loss does not tell: for SLAP it is even low. The
effective rank does, falling towards 1.
"""

from __future__ import annotations

import numpy as np

from slapkit.errors import CollapseError
from slapkit.metrics import Space, retrieval_scores

COLLAPSED_RANK = 1.5  # an effective rank below this, seen twice in a row after warm-up, is a collapse


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
