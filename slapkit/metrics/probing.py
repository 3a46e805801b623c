"""Probing: small classifiers on the representation of a frozen audio encoder, before the projector.

As in arXiv 2506.17815: one hidden layer of 512 with ReLU, learning rate 1e-4, early stopping by the validation loss.
Features are standardised by the training split's mean and std, so that one learning rate suits every encoder.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from slapkit.config import Config, require
from slapkit.data import AudioTextDataset
from slapkit.errors import DataError
from slapkit.metrics.embedded import embed_clips
from slapkit.models.inference import Model


@dataclass(frozen=True)
class ProbeConfig(Config):
    """How a probe is trained."""

    hidden: int = 512  # width of the hidden layer; 0 for a linear probe
    lr: float = 1e-4
    batch_size: int = 64
    epochs: int = 500  # at most
    patience: int = 20  # epochs without a better validation loss after which training stops

    def check(self) -> None:
        require(self.hidden >= 0, "hidden", self.hidden, "a width, or 0 for a linear probe")
        for name in ("lr", "batch_size", "epochs", "patience"):
            require(getattr(self, name) > 0, name, getattr(self, name), "a positive number")


class Examples(NamedTuple):
    """Representations `x [N, H]` and their truth `y`: class numbers `[N]`, or bool tags `[N, C]`."""

    x: np.ndarray
    y: np.ndarray


class Probed(NamedTuple):
    """Scores `[N, C]` of the test clips, and the epoch of the best weights."""

    scores: np.ndarray
    epoch: int


def probe(
    *, train: Examples, validation: Examples, test: np.ndarray, classes: int, seed: int,
    config: ProbeConfig | None = None,
) -> Probed:  # fmt: skip
    """Train one probe and score the test clips.

    Args:
        validation: examples whose loss stops training.
        test: `[N, H]`.
        classes: C, the number of classes or tags.
        seed: of weights and of the order of clips.

    Raises:
        DataError: shapes do not fit, a split is empty, training has a single class, or the loss is not finite.
    """
    config = config or ProbeConfig()
    _check(train, validation, test, classes)
    single = train.y.ndim == 1  # one class a clip, else tags
    mean, std = train.x.mean(axis=0), train.x.std(axis=0)
    std = np.where(std > 1e-8, std, 1.0)

    def features(x: np.ndarray) -> Tensor:
        return torch.from_numpy(((x - mean) / std).astype(np.float32))

    x, held_x = features(train.x), features(validation.x)
    y, held_y = (torch.from_numpy(part.y.astype(np.int64 if single else np.float32)) for part in (train, validation))
    loss_of = nn.CrossEntropyLoss() if single else nn.BCEWithLogitsLoss()
    with torch.random.fork_rng(devices=[]):  # the global state of torch is left as it is
        torch.default_generator.manual_seed(seed)
        widths = [x.shape[1], *([config.hidden] if config.hidden else []), classes]
        layers = [part for sizes in zip(widths, widths[1:]) for part in (nn.Linear(*sizes), nn.ReLU())]
        network = nn.Sequential(*layers[:-1])
        best_loss, best_epoch, best = float("inf"), 0, {}
        optimizer = torch.optim.Adam(network.parameters(), lr=config.lr, fused=True)
        for epoch in range(1, config.epochs + 1):
            for rows in torch.randperm(len(x)).split(config.batch_size):
                optimizer.zero_grad()
                loss_of(network(x[rows]), y[rows]).backward()
                optimizer.step()
            with torch.no_grad():
                loss = float(loss_of(network(held_x), held_y))
            if loss < best_loss:
                best_loss, best_epoch, best = loss, epoch, copy.deepcopy(network.state_dict())
            elif epoch - best_epoch >= config.patience:
                break
    if not best_epoch:
        raise DataError(f"the validation loss is never finite: take a lower lr (now {config.lr}), or check the model")
    network.load_state_dict(best)
    with torch.no_grad():
        return Probed(network(features(test)).numpy(), best_epoch)


def _check(train: Examples, validation: Examples, test: np.ndarray, classes: int) -> None:
    if classes < 2:
        raise DataError(f"classes={classes}: a probe needs at least two classes to choose from")
    for name, (x, y) in (("train", train), ("validation", validation)):
        if x.ndim != 2 or len(x) != len(y) or not len(x):
            raise DataError(f"the {name} split has representations {x.shape} and truth {y.shape}: [N, H] and N needed")
        if y.ndim == 2 and y.shape[1] != classes:
            raise DataError(f"the {name} split has {y.shape[1]} tags, and classes={classes}")
        if y.ndim == 1 and (y.min() < 0 or y.max() >= classes):
            raise DataError(f"the {name} split names classes {y.min()}..{y.max()}, and classes={classes}")
    if test.ndim != 2 or len({test.shape[1], train.x.shape[1], validation.x.shape[1]}) > 1 or not test.shape[1]:
        shapes = f"train {train.x.shape}, validation {validation.x.shape}, test {test.shape}"
        raise DataError(f"representations must have one width, at least 1: {shapes}")
    if train.y.ndim == 1 and len(np.unique(train.y)) < 2:
        raise DataError(f"all {len(train.y)} training clips are of class {train.y[0]}: nothing can be learned")


def represent_clips(
    model: Model, dataset: AudioTextDataset, *, cache_dir: str | Path, progress: bool = True
) -> tuple[np.ndarray, list[str]]:
    """Return the audio encoder's representations of clips, before the projector, float32 `[N, H]`, and the N ids.

    Each is the mean over the fixed windows that cover the clip; clips whose audio cannot be used are left out.
    """
    clips, (windows,) = embed_clips(model, dataset, model.represent, cache_dir=cache_dir, progress=progress)
    means = [own.mean(axis=0, dtype=np.float64) for own in windows]
    return np.stack(means).astype(np.float32), [clip.id for clip in clips]


def class_numbers(values: Sequence[str | None], classes: Sequence[str]) -> np.ndarray:
    """Return the number of each value among `classes`, -1 where it is none of them."""
    number = {name: i for i, name in enumerate(classes)}
    return np.array([number.get(value, -1) for value in values], dtype=np.int64)


def tag_matrix(values: Sequence[Sequence[str]], tags: Sequence[str]) -> np.ndarray:
    """Return bool `[N, C]`: which of `tags` each clip has."""
    return np.array([[tag in own for tag in tags] for own in map(set, values)], dtype=bool).reshape(-1, len(tags))
