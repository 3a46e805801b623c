"""Gradient checkpointing: activations are recomputed in the backward pass instead of kept."""

from __future__ import annotations

from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint


def recompute_layers(encoder: nn.Module) -> int:
    """Recompute every layer that transformers marks as able to, and return how many there are.

    transformers' own switch refuses CLAP, whose stages are such layers all the same.
    """
    able = [module for module in encoder.modules() if hasattr(module, "gradient_checkpointing")]
    for module in able:
        module.gradient_checkpointing = True
        module._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False)
        if hasattr(module, "config"):
            module.config.use_cache = False  # a cache would keep the activations
    return len(able)
