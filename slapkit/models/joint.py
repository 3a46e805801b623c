"""The joint model: two context towers, and for SLAP their predictors and target towers.

    input -> encoder -> representation h -> projector -> projection z -> predictor -> prediction q

Names follow arXiv 2506.17815. All embeddings are `[B, D]` and not yet normalised.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Self, get_args

import torch
from torch import Tensor, nn

from slapkit.config import Config, nearest, require
from slapkit.errors import ConfigError, short
from slapkit.models import Objective
from slapkit.models.encoders import AudioEncoderConfig, TextEncoderConfig, build_audio_encoder, build_text_encoder

Input = Tensor | dict[str, Tensor]  # features [B, frames, width], tokens, or representations [B, H]
Batch = dict[str, Input]


@dataclass(frozen=True)
class HeadConfig(Config):
    """A projector or predictor: one hidden layer, ReLU, optionally BatchNorm before and dropout after it; or, with
    `hidden=0`, a linear layer, optionally BatchNorm after it."""

    hidden: int = 512
    batch_norm: bool = True
    dropout: float = 0.0

    def check(self) -> None:
        require(self.hidden >= 0, "hidden", self.hidden, "a width, or 0 for a linear head")
        require(0 <= self.dropout < 1, "dropout", self.dropout, "a probability in [0, 1)")
        require(self.hidden > 0 or not self.dropout, "dropout", self.dropout, "0 in a linear head")


@dataclass(frozen=True)
class ModelConfig(Config):
    """Encoders, heads and the width `dim` of projections and predictions."""

    audio: AudioEncoderConfig = field(default_factory=AudioEncoderConfig)
    text: TextEncoderConfig = field(default_factory=TextEncoderConfig)
    audio_projector: HeadConfig = field(default_factory=HeadConfig)
    text_projector: HeadConfig = field(default_factory=HeadConfig)
    predictor: HeadConfig = field(default_factory=lambda: HeadConfig(hidden=4096))
    dim: int = 512

    def check(self) -> None:
        require(self.dim > 0, "dim", self.dim, "a positive width")


def head(config: HeadConfig, dim_in: int, dim_out: int) -> nn.Sequential:
    """Return the MLP, or the linear layer, `[B, dim_in] -> [B, dim_out]`."""
    width = config.hidden or dim_out
    layers: list[nn.Module] = [nn.Linear(dim_in, width, bias=not config.batch_norm)]
    if config.batch_norm:
        layers.append(nn.BatchNorm1d(width))
    if not config.hidden:
        return nn.Sequential(*layers)
    layers.append(nn.ReLU(inplace=True))
    if config.dropout:
        layers.append(nn.Dropout(config.dropout))
    return nn.Sequential(*layers, nn.Linear(config.hidden, dim_out))


class Tower(nn.Module):
    """Encoder and projector of one modality. A frozen encoder stays in evaluation mode and gets no gradient."""

    def __init__(self, encoder: nn.Module, projector: nn.Module, *, frozen: bool) -> None:
        super().__init__()
        self.encoder, self.projector, self.frozen = encoder, projector, frozen
        if frozen:
            encoder.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all but a frozen encoder."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def represent(self, x: Input) -> Tensor:
        """Representation `h [B, H]`; a matrix `[B, H]` is one already."""
        if _is_representation(x):
            return x
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            return self.encoder(x)

    def forward(self, x: Input) -> Tensor:
        """Projection `z [B, D]`."""
        return self.projector(self.represent(x))


class TargetTower(nn.Module):
    """The moving average of a tower (`slapkit.models.ema`): no gradient, no dropout. A frozen encoder is shared with
    the context.

    BatchNorm normalises by the batch, as in the context: with averaged statistics the targets lose what distinguishes
    the pairs of a batch, and SLAP learns several times slower. The running statistics are averaged like weights and
    never changed by the target's own passes.
    """

    def __init__(self, context: Tower) -> None:
        super().__init__()
        self.encoder = None if context.frozen else copy.deepcopy(context.encoder)
        self.projector = copy.deepcopy(context.projector)
        self.requires_grad_(False)
        for layer in self.batch_norms():
            layer.track_running_stats = False
        self.train(self.training)

    def batch_norms(self) -> list[nn.Module]:
        """Return the BatchNorm layers that the tower has now: `convert_sync_batchnorm` puts others in their place."""
        return [module for module in self.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]

    def train(self, mode: bool = True) -> Self:
        """Set the mode of BatchNorm; everything else stays in evaluation mode."""
        super().train(False)
        for layer in self.batch_norms():
            layer.train(mode)
        self.training = mode
        return self

    @torch.no_grad()
    def represent(self, x: Input, *, context: Tower) -> Tensor:
        """The target's own representation `h [B, H]`; a matrix `[B, H]` is one already."""
        if _is_representation(x):
            return x
        return context.represent(x) if self.encoder is None else self.encoder(x)

    @torch.no_grad()
    def forward(self, x: Input, *, context: Tower) -> Tensor:
        """Target projection `z_bar [B, D]`."""
        return self.projector(self.represent(x, context=context))


def _is_representation(x: Input) -> bool:
    return isinstance(x, Tensor) and x.dim() == 2


class JointModel(nn.Module):
    """Context towers and what the objective adds: predictors and targets for SLAP, a temperature for CLAP, a bias too
    for SigLIP. `note` says of the captions that it learned from that a model wrote them; it goes where the model
    goes, as `vocabulary` does: the words of all captions. `start` says what it has from a checkpoint."""

    note = start = ""
    vocabulary: frozenset[str] = frozenset()
    log_scale_text: float | None = None  # second temperature of a published CLAP, kept for its export

    def __init__(
        self, config: ModelConfig, objective: Objective, audio_encoder: nn.Module, text_encoder: nn.Module
    ) -> None:
        super().__init__()
        self.config, self.objective = config, objective
        projectors = (
            head(config.audio_projector, audio_encoder.dim, config.dim),
            head(config.text_projector, text_encoder.dim, config.dim),
        )
        self.audio = Tower(audio_encoder, projectors[0], frozen=config.audio.frozen)
        self.text = Tower(text_encoder, projectors[1], frozen=config.text.frozen)
        self.target_audio = self.target_text = None
        if objective == "slap":
            self.audio_predictor = head(config.predictor, config.dim, config.dim)
            self.text_predictor = head(config.predictor, config.dim, config.dim)
        elif objective == "clap":
            self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))  # CLIP's initial temperature
        elif objective == "siglip":
            self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))
            self.logit_bias = nn.Parameter(torch.tensor(-10.0))  # SigLIP's: few combinations are pairs
        else:
            hint = nearest(str(objective), get_args(Objective))
            raise ConfigError(f"objective={short(objective)} is not a choice: {hint}")

    @classmethod
    def build(cls, config: ModelConfig, objective: Objective, *, captions: Sequence[str] = ()) -> Self:
        """Build towers and heads with weights drawn from torch's global generator."""
        audio, text = build_audio_encoder(config.audio), build_text_encoder(config.text, captions=captions)
        return cls(config, objective, audio, text)

    @property
    def has_predictor(self) -> bool:
        """Whether predictions `q` exist beside projections `z`."""
        return self.objective == "slap"

    def add_targets(self) -> None:
        """Create the target towers as copies of the context towers; only training needs them."""
        if self.has_predictor:
            self.target_audio, self.target_text = TargetTower(self.audio), TargetTower(self.text)

    def represent(self, batch: Batch) -> Batch:
        """Representations `h [B, H]` by the names that `forward` takes, so that `forward` may run later on them."""
        out = {}
        if self.has_predictor:
            for name, target, context in self._targets():
                out[f"target_{name}"] = target.represent(batch.get(f"target_{name}", batch[name]), context=context)
        return out | {"audio": self.audio.represent(batch["audio"]), "text": self.text.represent(batch["text"])}

    def _targets(self) -> list[tuple[str, TargetTower, Tower]]:
        return [("audio", self.target_audio, self.audio), ("text", self.target_text, self.text)]

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return everything that the objective needs, by the names of its arguments.

        Args:
            batch: `audio` (features `[B, frames, width]`) and `text` (tokens); optionally `target_audio`, the
                target's view of the audio. Each may be the representation `[B, H]` instead. That of an encoder which
                is trained differs between context and target, so `target_audio` and `target_text` go with it.
        """
        out = {}
        if self.has_predictor:  # targets first: the backward pass then finds the context's activations in the cache
            for name, target, context in self._targets():
                out[f"target_{name}"] = target(batch.get(f"target_{name}", batch[name]), context=context)
        out |= {"z_audio": self.audio(batch["audio"]), "z_text": self.text(batch["text"])}
        if self.has_predictor:
            out["q_audio"], out["q_text"] = self.audio_predictor(out["z_audio"]), self.text_predictor(out["z_text"])
            return out
        # At most 100 keeps float32 logits in range, as in CLIP. The parameter itself is kept there: clamped in the
        # graph it would get no gradient beyond the limit, and never come back.
        with torch.no_grad():
            self.log_scale.clamp_(max=math.log(100.0))
        out["logit_scale"] = self.log_scale.exp()
        if self.objective == "siglip":  # an output of its own, whose gradient can be cached like that of the others
            out["logit_bias"] = self.logit_bias + 0.0
        return out

    def embed(self, x: Input, modality: Literal["audio", "text"]) -> tuple[Tensor, Tensor]:
        """Projection z and prediction q `[B, D]` of one modality; without a predictor, q is z."""
        z = getattr(self, modality)(x)
        return z, getattr(self, f"{modality}_predictor")(z) if self.has_predictor else z

    def own_state(self, *, targets: bool = True) -> dict[str, Tensor]:
        """Return all weights and buffers, with or without those of the targets, but those of a frozen text encoder,
        which is saved as a reference."""
        left_out = (("text.encoder.",) if self.text.frozen else ()) + (() if targets else ("target_",))
        return {name: tensor for name, tensor in self.state_dict().items() if not name.startswith(left_out)}
