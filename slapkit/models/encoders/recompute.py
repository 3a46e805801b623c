"""Gradient checkpointing of transformers' models: activations are recomputed in the backward pass instead of kept."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn


def recompute_layers(model: nn.Module) -> None:
    """Recompute every layer of a transformers model that can be.

    transformers' own switch refuses CLAP, though its stages are checkpointable layers, so the layers are told one by
    one.
    """
    if hasattr(model, "config"):
        model.config.use_cache = False  # a cache would keep what is to be thrown away
    for module in model.modules():
        if hasattr(module, "gradient_checkpointing"):
            module.gradient_checkpointing = True
            module._gradient_checkpointing_func = partial(torch.utils.checkpoint.checkpoint, use_reentrant=False)
