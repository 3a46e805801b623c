"""A published CLAP as slapkit's own model: objective "clap", two towers, no predictor.

slapkit's towers have the same parts: HTS-AT, RoBERTa with its pooler, and a projection of linear, ReLU, linear. Only
names differ, so the embeddings are those of the original. Audio longer than the window differs on purpose: the original
takes a random piece, or fuses pieces, and slapkit takes all windows.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from slapkit.errors import CheckpointError, ConfigError
from slapkit.models.encoders import AudioEncoderConfig, TextEncoderConfig
from slapkit.models.encoders.htsat import HTSAT
from slapkit.models.encoders.text import TextEncoder
from slapkit.models.joint import HeadConfig, JointModel, ModelConfig
from slapkit.models.weights import load_strictly

logger = logging.getLogger(__name__)

_TOKENIZER_FILES = ("tokenizer.json", "vocab.json")
_FILES = "RoBERTa's tokenizer (tokenizer.json, or vocab.json and merges.txt)"
_GIVE_TOKENIZER = (
    f"Put {_FILES} into a folder `tokenizer` beside the file, where it is found, or name its folder: "
    "slapkit.load(path, tokenizer=folder), --tokenizer FOLDER in a shell, -p tokenizer=FOLDER of a run. "
    "`slapkit export FILE --tokenizer FOLDER --to hub-folder --out NEW` makes a folder that brings its own"
)
_MOST_LAYERS = 200  # a claim beyond this would keep the machine busy before any weight is looked at
# Counts, zeros, and the second temperature, for text to audio: training goes on with one for both directions, and
# `assemble` keeps it for an export.
_IGNORED = ("text_model.embeddings.position_ids", "text_model.embeddings.token_type_ids", "logit_scale_t")
PREFIXES = {
    "audio_model.": "audio.encoder.model.",
    "text_model.": "text.encoder.model.",
    "audio_projection.linear1.": "audio.projector.0.",
    "audio_projection.linear2.": "audio.projector.2.",
    "text_projection.linear1.": "text.projector.0.",
    "text_projection.linear2.": "text.projector.2.",
}


@dataclass(frozen=True)
class Published:
    """What a loader found: `tensors` by the names of transformers' `ClapModel`, and what is needed to place them.

    `file` holds the weights, `source` is the user's name of the checkpoint, `roberta` are arguments of transformers'
    `RobertaConfig`, `tokenizer` is a folder (a `Path`) or a name.
    """

    file: Path
    source: str
    audio: AudioEncoderConfig
    roberta: Mapping[str, Any]
    dim: int
    max_tokens: int
    tokenizer: str | Path
    tensors: Mapping[str, Tensor]


def assemble(found: Published) -> JointModel:
    """Return the joint model with the weights of `found`; raise `CheckpointError` where weights and configuration do
    not fit each other, tensors are missing or unknown, or the tokenizer cannot be had or is another model's."""
    text = TextEncoderConfig(source=found.source, pooling="pooler", max_tokens=found.max_tokens, frozen=False)
    plain = HeadConfig(hidden=found.dim, batch_norm=False)
    config = ModelConfig(
        audio=found.audio, text=text, audio_projector=plain, text_projector=plain, predictor=plain, dim=found.dim
    )
    depth = max([found.roberta["num_hidden_layers"], len(found.audio.htsat["depths"]), *found.audio.htsat["depths"]])
    if not 0 < depth <= _MOST_LAYERS:
        raise CheckpointError(f"{found.file} claims {depth} layers: 1 to {_MOST_LAYERS} can be true")
    tokenizer = load_tokenizer(found)
    state = _our_names(found)
    # First without memory: shapes are compared with the file's before anything of a claimed size is made.
    with torch.device("meta"):
        load_strictly(_build(config, found, tokenizer), state, found.file)
    joint = _build(config, found, tokenizer)
    for name, tensor in joint.state_dict().items():
        # An index that is not what the shapes give would reach out of its table.
        if name.endswith("relative_position_index") and not torch.equal(tensor, state[name].to(tensor.dtype)):
            raise CheckpointError(f"{found.file}: {name} is not what windows of this size have: the file is damaged")
    load_strictly(joint, state, found.file)
    if (second := found.tensors.get("logit_scale_t")) is not None and second.numel() == 1:
        joint.log_scale_text = second.item()
    return joint


def _build(config: ModelConfig, found: Published, tokenizer) -> JointModel:
    from transformers import RobertaConfig, RobertaModel

    try:
        model = RobertaModel(RobertaConfig(**found.roberta))
        return JointModel(config, "clap", HTSAT(config.audio), TextEncoder(model, tokenizer, config.text))
    except CheckpointError:
        raise
    except (ConfigError, ValueError, TypeError, RuntimeError, KeyError, ZeroDivisionError) as error:
        raise CheckpointError(f"{found.file}: its configuration gives no model ({error})") from error


def _our_names(found: Published) -> dict[str, Tensor]:
    """Return the tensors by the names of `JointModel`."""
    state, unknown = {}, []
    for name, tensor in found.tensors.items():
        prefix = next((p for p in PREFIXES if name.startswith(p)), None)
        if name in _IGNORED:
            continue
        if name == "logit_scale_a":
            state["log_scale"] = tensor.reshape(()) if tensor.numel() == 1 else tensor
        elif prefix is None:
            unknown.append(name)
        else:
            state[PREFIXES[prefix] + name.removeprefix(prefix)] = tensor
    if unknown:
        raise CheckpointError(
            f"{found.file} has {len(unknown)} tensors that CLAP with HTS-AT and RoBERTa has not, e.g. "
            f"{', '.join(sorted(unknown)[:3])}: it is another model"
        )
    return state


def load_tokenizer(found: Published):
    """Return the tokenizer; only a name that the user gave may reach the network. Raise `CheckpointError` where there
    is none, or it is another model's."""
    from transformers import AutoTokenizer, RobertaTokenizer

    place = Path(found.tokenizer)
    local = isinstance(found.tokenizer, Path) or place.exists() or place.is_absolute()
    remedy = f"Put {_FILES} into it" if place == found.file.parent else _GIVE_TOKENIZER
    if local and not any((place / name).is_file() for name in _TOKENIZER_FILES):
        held = "has no tokenizer.json and no vocab.json" if place.is_dir() else "is no folder"
        raise CheckpointError(f"{found.source} needs a tokenizer, and {str(place)!r} {held}. {remedy}")
    # A folder may name the class of its tokenizer; words and merges alone can only be RoBERTa's.
    named = not local or any((place / name).is_file() for name in ("config.json", "tokenizer_config.json"))
    try:
        kind = AutoTokenizer if named else RobertaTokenizer
        tokenizer = kind.from_pretrained(found.tokenizer, local_files_only=local)
    except Exception as error:  # the hub's client and the readers of a dozen formats have as many classes
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        where = "cannot be read" if local else "is no folder here and cannot be had from the hub"
        raise CheckpointError(
            f"{found.source} needs the tokenizer {str(found.tokenizer)!r}, which {where}: {reason} {remedy}"
        ) from error
    words, pad = found.roberta["vocab_size"], found.roberta["pad_token_id"]
    if len(tokenizer) > words or tokenizer.pad_token_id != pad:
        raise CheckpointError(
            f"{found.source}: the tokenizer {str(found.tokenizer)!r} has {len(tokenizer)} tokens and pads with "
            f"{tokenizer.pad_token_id}; the model knows {words} and pads with {pad}: it is another model's"
        )
    if len(tokenizer) < words:
        logger.warning(
            "%s: the tokenizer %r has %s tokens, the model %s: unless it is the model's own, texts are read wrongly",
            found.source, str(found.tokenizer), f"{len(tokenizer):,}", f"{words:,}",
        )  # fmt: skip
    return tokenizer
