"""What does a frozen audio encoder know? Small classifiers on its representation, before the projector.

As in arXiv 2506.17815: one hidden layer of 512 with ReLU, learning rate 1e-4, stopped early by the loss on validation,
whose best weights are kept; beside it a linear probe, and several seeds. Features are standardised by the training
split's mean and spread first, so that one learning rate suits every encoder.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from slapkit.config import Config, require
from slapkit.data import AudioTextDataset
from slapkit.errors import DataError
from slapkit.models.inference import Model
from slapkit.models.inputs import AudioSource

Task = Literal["single", "multi"]


@dataclass(frozen=True)
class ProbeConfig(Config):
    """How a probe is trained.

    Attributes:
        hidden: width of the hidden layer; 0 for a linear probe.
        lr: learning rate of Adam.
        batch_size: clips a step.
        epochs: at most this many.
        patience: epochs without a better validation loss after which training stops.
    """

    hidden: int = 512
    lr: float = 1e-4
    batch_size: int = 64
    epochs: int = 500
    patience: int = 20

    def check(self) -> None:
        require(self.hidden >= 0, "hidden", self.hidden, "a width, or 0 for a linear probe")
        require(self.lr > 0, "lr", self.lr, "a positive learning rate")
        require(self.batch_size > 0, "batch_size", self.batch_size, "at least 1")
        require(self.epochs > 0, "epochs", self.epochs, "at least 1")
        require(self.patience > 0, "patience", self.patience, "at least 1")


class Examples(NamedTuple):
    """Representations `x [N, H]` and their truth `y`: class numbers `[N]`, or bool tags `[N, C]`."""

    x: np.ndarray
    y: np.ndarray


class Probed(NamedTuple):
    """Scores `[N, C]` of the test clips, and after which epoch the best weights were found."""

    scores: np.ndarray
    epoch: int


def probe(
    *,
    train: Examples,
    validation: Examples,
    test: np.ndarray,
    classes: int,
    seed: int,
    config: ProbeConfig | None = None,
) -> Probed:
    """Train one probe and score the test clips.

    Args:
        train, validation: what is learned from, and what stops it.
        test: `[N, H]`.
        classes: C, the number of classes or tags.
        seed: of weights and of the order of clips.
        config: default: the paper's.

    Raises:
        DataError: shapes do not fit, a split is empty, or training has a single class.
    """
    config = config or ProbeConfig()
    task = _checked(train, validation, test, classes)
    mean, spread = train.x.mean(axis=0), train.x.std(axis=0)
    spread = np.where(spread > 1e-8, spread, 1.0)

    def features(x: np.ndarray) -> Tensor:
        return torch.from_numpy(((x - mean) / spread).astype(np.float32))

    x, y = features(train.x), _target(train.y, task)
    held_x, held_y = features(validation.x), _target(validation.y, task)
    generator = torch.Generator().manual_seed(seed)
    network = _network(x.shape[1], classes, config.hidden, generator)
    optimizer = torch.optim.Adam(network.parameters(), lr=config.lr, fused=True)
    loss_of = nn.CrossEntropyLoss() if task == "single" else nn.BCEWithLogitsLoss()
    best_loss, best_epoch, best = float("inf"), 0, copy.deepcopy(network.state_dict())
    for epoch in range(1, config.epochs + 1):
        for rows in torch.randperm(len(x), generator=generator).split(config.batch_size):
            optimizer.zero_grad()
            loss_of(network(x[rows]), y[rows]).backward()
            optimizer.step()
        with torch.no_grad():
            loss = float(loss_of(network(held_x), held_y))
        if loss < best_loss:
            best_loss, best_epoch, best = loss, epoch, copy.deepcopy(network.state_dict())
        elif epoch - best_epoch >= config.patience:
            break
    network.load_state_dict(best)
    with torch.no_grad():
        return Probed(network(features(test)).numpy(), best_epoch)


def _network(dim_in: int, classes: int, hidden: int, generator: torch.Generator) -> nn.Sequential:
    """Return the probe, its weights drawn from `generator` alone: the global state of torch stays as it is."""
    widths = [dim_in, *([hidden] if hidden else []), classes]
    layers: list[nn.Module] = []
    for before, after in zip(widths, widths[1:]):
        linear = nn.utils.skip_init(nn.Linear, before, after)
        bound = before**-0.5  # as torch initialises a linear layer
        for tensor in (linear.weight, linear.bias):
            nn.init.uniform_(tensor, -bound, bound, generator=generator)
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _target(y: np.ndarray, task: Task) -> Tensor:
    return torch.from_numpy(y.astype(np.int64) if task == "single" else y.astype(np.float32))


def _checked(train: Examples, validation: Examples, test: np.ndarray, classes: int) -> Task:
    """Return whether truth is one class a clip or any number of tags."""
    if classes < 2:
        raise DataError(f"classes={classes}: a probe needs at least two classes to choose from")
    for name, (x, y) in (("train", train), ("validation", validation)):
        if x.ndim != 2 or len(x) != len(y) or not len(x):
            raise DataError(f"the {name} split has representations {x.shape} and truth {y.shape}: [N, H] and N needed")
        if y.ndim == 2 and y.shape[1] != classes:
            raise DataError(f"the {name} split has {y.shape[1]} tags, and classes={classes}")
        if y.ndim == 1 and (y.min() < 0 or y.max() >= classes):
            raise DataError(f"the {name} split names classes {y.min()}..{y.max()}, and classes={classes}")
    if test.ndim != 2 or test.shape[1] != train.x.shape[1] != 0 or validation.x.shape[1] != train.x.shape[1]:
        raise DataError(
            f"representations differ in width: train {train.x.shape}, validation {validation.x.shape}, "
            f"test {test.shape}"
        )
    if train.y.ndim == 1 and len(np.unique(train.y)) < 2:
        raise DataError(f"all {len(train.y)} training clips are of class {train.y[0]}: nothing can be learned")
    return "single" if train.y.ndim == 1 else "multi"


@torch.no_grad()
def represent_clips(
    model: Model, dataset: AudioTextDataset, *, cache_dir: str | Path, batch_size: int = 64, progress: bool = True
) -> tuple[np.ndarray, list[str]]:
    """Return what the audio encoder makes of clips before the projector, float32 `[N, H]`, and the N ids.

    The mean over the fixed windows that cover each clip; clips whose sound cannot be used are left out.
    """
    from tqdm.auto import tqdm

    from slapkit.audio import features

    store = features.build(dataset.audio_files(), model.config.audio.frontend, cache_dir, progress=progress)
    known = set(store.ids)
    ids = [clip.id for clip in dataset.clips if clip.id in known]
    source = AudioSource(store, ids, model.config.audio.window_frames)
    clips, starts = source.tiles()
    steps = range(0, len(clips), batch_size)
    parts = [
        model.joint.audio.represent(source.take(clips[i : i + batch_size], starts[i : i + batch_size]).to(model.device))
        for i in tqdm(steps, desc="representations", unit="batch", disable=not progress, leave=False)
    ]
    windows = torch.cat(parts).double().cpu().numpy()
    sums = np.zeros((len(ids), windows.shape[1]))
    np.add.at(sums, clips, windows)
    return (sums / np.bincount(clips, minlength=len(ids))[:, None]).astype(np.float32), ids


def class_numbers(values: Sequence[str | None], classes: Sequence[str]) -> np.ndarray:
    """Return the number of each value among `classes`, -1 where it is none of them."""
    number = {name: i for i, name in enumerate(classes)}
    return np.array([number.get(value, -1) for value in values], dtype=np.int64)


def tag_matrix(values: Sequence[Sequence[str]], tags: Sequence[str]) -> np.ndarray:
    """Return bool `[N, C]`: which of `tags` each clip has."""
    return np.array([[tag in own for tag in tags] for own in map(set, values)], dtype=bool).reshape(-1, len(tags))
