"""The device, or devices, that a run trains on."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs

from slapkit.errors import ConfigError
from slapkit.training.config import TrainConfig


def make_accelerator(config: TrainConfig) -> Accelerator:
    """The device, or devices, and the precision.

    Raises:
        ConfigError: a GPU is asked for and none is there.
    """
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "device='cuda' but torch sees no GPU: take device='cpu' or 'auto', or install a torch build for your GPU"
        )
    # A notebook trains more than once in one process, with other settings; Accelerate would hold on to the first.
    AcceleratorState._reset_state()
    kwargs = DistributedDataParallelKwargs(broadcast_buffers=False)
    return Accelerator(cpu=config.device == "cpu", mixed_precision=config.precision, kwargs_handlers=[kwargs])
