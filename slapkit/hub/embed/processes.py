"""This process's place among those that a launcher (torchrun, accelerate, srun with the same variables) started."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from slapkit.errors import ConfigError


@dataclass(frozen=True)
class Place:
    """One process out of `world`, and out of the `local_world` processes on its machine."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    local_world: int = 1

    def __post_init__(self) -> None:
        for number, count, names in (
            (self.rank, self.world, "RANK, WORLD_SIZE"),
            (self.local_rank, self.local_world, "LOCAL_RANK, LOCAL_WORLD_SIZE"),
        ):
            if not 0 <= number < count:
                raise ConfigError(f"{names} are {number}, {count}: a process is one of 0 to {count - 1}")

    def share(self, items: list) -> list:
        """Return every `world`-th item, beginning with the one at `rank`: all processes' shares make up all items."""
        return items[self.rank :: self.world]


def place(environ: Mapping[str, str] | None = None) -> Place:
    """Return the place that the environment tells; the only process where it tells none.

    Raises:
        ConfigError: RANK is set without WORLD_SIZE or the reverse, or they are no numbers, or contradict each other.
    """
    environ = os.environ if environ is None else environ
    if ("RANK" in environ) != ("WORLD_SIZE" in environ):
        there, absent = ("RANK", "WORLD_SIZE") if "RANK" in environ else ("WORLD_SIZE", "RANK")
        raise ConfigError(f"{there}={environ[there]!r} is set and {absent} is not: start with torchrun, or set both")
    world = _number(environ, "WORLD_SIZE", 1)
    rank = _number(environ, "RANK", 0)
    # A launcher that does not say otherwise runs all processes on this machine.
    local_world = _number(environ, "LOCAL_WORLD_SIZE", world)
    return Place(rank, world, _number(environ, "LOCAL_RANK", rank % max(1, local_world)), local_world)


def _number(environ: Mapping[str, str], name: str, default: int) -> int:
    try:
        return int(environ.get(name, default))
    except ValueError as error:
        raise ConfigError(f"{name}={environ[name]!r} must be a whole number") from error


def device_of(where: Place, device: str = "auto") -> str:
    """Return the torch device of a process: its own GPU where there are some, else the CPU.

    Raises:
        ConfigError: a GPU is asked for and none is there.
    """
    import torch

    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device={device!r}: take 'auto', 'cpu' or 'cuda'")
    count = torch.cuda.device_count() if device != "cpu" and torch.cuda.is_available() else 0
    if device == "cuda" and not count:
        raise ConfigError("device='cuda' but torch sees no GPU: take device='cpu' or 'auto'")
    return f"cuda:{where.local_rank % count}" if count else "cpu"
