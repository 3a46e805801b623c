"""The training configuration."""

from dataclasses import dataclass
from typing import Literal

from slapkit.config import Config, require
from slapkit.models.joint import Objective


@dataclass(frozen=True)
class TrainConfig(Config):
    """How a model is trained.

    `batch_size` counts pairs per optimiser step over all devices; `micro_batch` pairs per device go through the model
    at once (None: all of a device's share), and gradients accumulate. `time_mask_s` (s), `freq_mask` (mel bands) and
    `masks` are SpecAugment's. `tau` is the EMA decay, moving to `tau_end` if given. `lam` weighs the inter-modal terms
    of SLAP. With `text_views`, the target tower takes another random caption of the clip than the context tower, with
    `window_views` another random window; without, as in the paper, both take the same. CLAP and SigLIP have no targets.
    Steps are optimiser steps. `precision="auto"` is "bf16" where the device has instructions for it. `init` names the
    checkpoint that the model was made from by `slapkit.hub.start_from`, for the record.

    Where gradients accumulate, BatchNorm sees a micro-batch. `exact_accumulation` lets the heads see all of a device's
    share, so that the gradient is that of the large batch; SLAP then takes a second pass through trained encoders. An
    encoder's own BatchNorm (that of the preset `tiny`) sees micro-batches in any case.
    """

    objective: Objective = "slap"
    init: str | None = None
    steps: int = 600
    batch_size: int = 64
    micro_batch: int | None = None
    exact_accumulation: bool = False
    lr: float = 1e-3
    weight_decay: float = 0.01
    warmup_fraction: float = 0.1
    clip_norm: float | None = 1.0
    tau: float = 0.95
    tau_end: float | None = None
    lam: float = 0.5
    text_views: bool = False
    window_views: bool = False
    time_mask_s: float = 0.4
    freq_mask: int = 8
    masks: int = 2
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["no", "bf16", "auto"] = "no"
    sync_batchnorm: bool = False
    log_every: int = 10
    eval_every: int = 100
    checkpoint_every: int = 100
    stop_on_collapse: bool = True

    def check(self) -> None:
        for key in ("steps", "batch_size", "log_every", "eval_every", "checkpoint_every"):
            require(getattr(self, key) >= 1, key, getattr(self, key), "at least 1")
        require(self.init is None or bool(self.init.strip()), "init", self.init, "a path or a name, or None")
        require(self.batch_size >= 2, "batch_size", self.batch_size, "at least 2 pairs")
        micro = self.micro_batch
        require(
            micro is None or 1 <= micro <= self.batch_size, "micro_batch", micro, f"1 to batch_size={self.batch_size}"
        )
        require(self.lr > 0, "lr", self.lr, "> 0")
        require(self.weight_decay >= 0, "weight_decay", self.weight_decay, ">= 0")
        require(0 <= self.warmup_fraction < 1, "warmup_fraction", self.warmup_fraction, "a fraction in [0, 1)")
        require(self.clip_norm is None or self.clip_norm > 0, "clip_norm", self.clip_norm, "> 0, or None")
        require(0 <= self.tau <= 1, "tau", self.tau, "a decay in [0, 1]")
        require(self.tau_end is None or 0 <= self.tau_end <= 1, "tau_end", self.tau_end, "a decay in [0, 1], or None")
        require(0 <= self.lam <= 1, "lam", self.lam, "a weight in [0, 1]")
        for key in ("time_mask_s", "freq_mask", "masks"):
            require(getattr(self, key) >= 0, key, getattr(self, key), ">= 0")
        require(0 <= self.seed < 2**32, "seed", self.seed, "0 to 2**32 - 1, as scikit-learn takes it in evaluation")
