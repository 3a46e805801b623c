"""A small model that nobody trained, and sounds: what a library does is the same with any weights."""

import numpy as np
import torch

from slapkit.models.inference import Model
from slapkit.models.joint import JointModel
from slapkit.search import Library
from tests.training.tones import tiny

RATE = 24000


def make_model(seed: int = 0, objective: str = "slap") -> Model:
    """Return a model with random weights whose embeddings differ from sound to sound."""
    torch.manual_seed(seed)
    return Model(JointModel.build(tiny().model, objective))


def sound(number: int, seconds: float = 1.0) -> np.ndarray:
    """Return a chord with noise, float32 `[T]`, another one for every number."""
    rng = np.random.default_rng(number)
    t = np.arange(round(seconds * RATE)) / RATE
    wave = sum(np.sin(2 * np.pi * f * t) for f in rng.uniform(80, 8000, 4)) / 8
    return (wave + rng.uniform(0.001, 0.1) * rng.standard_normal(len(t))).astype(np.float32)


def vectors(library: Library) -> dict[str, np.ndarray]:
    """Return the rows of each track."""
    held = library._store
    return {id: held.vectors_of(entry.first, entry.windows) for id, entry in held.entries.items()}
