"""Several models as one: those of other training seeds over the same frozen encoders.

The embedding of the whole is that of all members side by side, so that its cosine is the mean of theirs, each weighted
by the norms of its embeddings. What one seed mistakes by chance the others rarely share.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from slapkit.errors import ConfigError
from slapkit.models.joint import HeadConfig, JointModel

_PROJECTORS, _PREDICTORS = ("audio.projector", "text.projector"), ("audio_predictor", "text_predictor")


def together(models: Sequence[JointModel]) -> JointModel:
    """Return one model, of width K * D, of K models of width D that share their frozen encoders; not to be trained.

    Heads become one head: layers on the same input lie side by side, those that follow are block-diagonal. Temperatures
    are averaged. Raise `ConfigError` unless there are models, of one configuration and objective, with frozen encoders.
    """
    if not models:
        raise ConfigError("no model is given: there is nothing to put together")
    first, count = models[0], len(models)
    for model in models:
        config = model.config
        if (config, model.objective) != (first.config, first.objective):
            raise ConfigError("models of other settings have no common space: put together seeds of one training")
        if not (config.audio.frozen and config.text.frozen):
            raise ConfigError("encoders that were trained differ between the models: keep both frozen")

    def wider(head: HeadConfig) -> HeadConfig:
        return head.replace(hidden=count * head.hidden)

    config = dataclasses.replace(
        first.config, dim=count * first.config.dim, audio_projector=wider(first.config.audio_projector),
        text_projector=wider(first.config.text_projector), predictor=wider(first.config.predictor),
    )  # fmt: skip
    whole = JointModel(config, first.objective, first.audio.encoder, first.text.encoder)
    own = dict(whole.named_parameters())
    with torch.no_grad():
        for name in (*_PROJECTORS, *(_PREDICTORS if whole.has_predictor else ())):
            parts = [model.get_submodule(name) for model in models]
            _fill(whole.get_submodule(name), parts, shared=name in _PROJECTORS)
        for name in ("log_scale", "logit_bias"):
            if name in own:
                own[name].copy_(torch.stack([getattr(model, name) for model in models]).mean(0))
    whole.note, whole.start = first.note, first.start
    whole.vocabulary = frozenset().union(*(model.vocabulary for model in models))
    return whole.eval()


def _fill(whole: nn.Module, parts: Sequence[nn.Module], *, shared: bool) -> None:
    """Give one head the weights of several; with `shared`, all of them take the same input."""
    for own, *theirs in zip(whole, *parts):
        if not isinstance(own, nn.Linear | nn.BatchNorm1d):
            continue
        for name, tensor in own.state_dict().items():
            found = [layer.state_dict()[name] for layer in theirs]
            tensor.copy_(_beside(found, apart=tensor.ndim == 2 and not shared))
        shared = shared and not isinstance(own, nn.Linear)


def _beside(tensors: Sequence[Tensor], *, apart: bool) -> Tensor:
    """Return matrices one above the other, or as blocks of one; vectors joined; of counts the first."""
    if tensors[0].ndim == 0:
        return tensors[0]
    return torch.block_diag(*tensors) if apart else torch.cat(list(tensors))
