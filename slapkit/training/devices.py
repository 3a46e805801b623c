"""The device, or devices, of a training, and threads and memory of this process."""

import contextlib
import ctypes
import sys
from collections.abc import Iterator

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs

from slapkit.errors import ConfigError
from slapkit.training.config import TrainConfig


def make_accelerator(config: TrainConfig) -> Accelerator:
    """Return the devices and the precision of `config`; `ConfigError` if it asks for a GPU that is not there."""
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "device='cuda' but torch sees no GPU: take device='cpu' or 'auto', or install a torch build for your GPU"
        )
    # A notebook trains more than once in one process, with other settings; Accelerate would keep the first.
    AcceleratorState._reset_state()
    kwargs = DistributedDataParallelKwargs(broadcast_buffers=False)
    return Accelerator(cpu=config.device == "cpu", mixed_precision=config.precision, kwargs_handlers=[kwargs])


def with_precision(config: TrainConfig) -> TrainConfig:
    """Return the configuration with the precision that "auto" stands for on this machine."""
    if config.precision != "auto":
        return config
    cuda = config.device != "cpu" and torch.cuda.is_available()
    native = torch.cuda.is_bf16_supported(including_emulation=False) if cuda else torch.cpu._is_avx512_bf16_supported()
    return config.replace(precision="bf16" if native else "no")


def keep_freed_memory() -> None:
    """Let glibc reuse freed blocks of activations in the next step.

    By default it maps every large block anew and unmaps it, which costs page faults: about 15 % of a step of the `tiny`
    preset on two cores. The peak stays the same.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform.startswith("linux") else None
    if mallopt:
        mallopt(-3, 32 * 2**20)  # M_MMAP_THRESHOLD: larger blocks are mapped one by one; glibc allows no more
        mallopt(-1, 512 * 2**20)  # M_TRIM_THRESHOLD


@contextlib.contextmanager
def one_thread(*, where: bool) -> Iterator[None]:
    """Let torch work in one thread of the CPU, if `where`.

    Steps of heads alone are so small that a second thread gains nothing where threads sleep while they wait, and it is
    of use to another training. Nor do sums then depend on how many cores there are.
    """
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1 if where else threads)
        yield
    finally:
        torch.set_num_threads(threads)
