"""A model as MTEB, and its audio benchmark MAEB, call it: encoders of audio and text, with their metadata.

MTEB takes `mteb_model(path)` where it takes a model: `mteb.evaluate(mteb_model(path), mteb.get_tasks(MUSIC_TASKS))`. It
reads its tasks from the network. Its `hit_rate_at_k` is R@k of `slapkit.metrics.retrieval`; its `recall_at_k` is the
mean share of the right answers that are among the first k, which differs where a query has several. Captions that are
equal are one only where its task says so. Candidates of equal cosine it orders by their ids, the last first, where ours
count as in random order: of an embedding that is the same for all, its figures say nothing.
"""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize
from tqdm.auto import tqdm

from slapkit._io import locate
from slapkit.errors import AudioError, need_extra
from slapkit.hub.load import load_model
from slapkit.models.embed import Sound
from slapkit.models.inference import Embedding, Model, Precision

if TYPE_CHECKING:
    from mteb.models import ModelMeta

logger = logging.getLogger(__name__)

MUSIC_TASKS = (
    "MusicCapsT2ARetrieval", "MusicCapsA2TRetrieval", "SongDescriberT2ARetrieval", "SongDescriberA2TRetrieval",
    "LPMusicCapsMTTT2ARetrieval", "LPMusicCapsMTTA2TRetrieval",  # clips of MagnaTagATune
    "GTZANGenre", "GTZANGenreClustering", "GTZANAudioReranking",
)  # fmt: skip


def mteb_model(
    path: str | Path, *, name: str | None = None, embedding: Embedding = "q", device: str = "auto",
    precision: Precision = "no", tokenizer: str | Path | None = None,
) -> "MtebModel":  # fmt: skip
    """Return the checkpoint at `path` as a model of MTEB.

    Args:
        path: see `slapkit.load`, as for `device`, `precision` and `tokenizer`.
        name: "owner/model", by which MTEB files its results; by default "slapkit/" and the last part of `path`. Results
            are filed by the model's fingerprint too: those of other weights are never taken for its own.
        embedding: prediction "q" or projection "z".

    Raises:
        CheckpointError: nothing usable is at `path`.
        MissingExtraError: MTEB is not installed.
    """
    model = load_model(path, device=device, precision=precision, tokenizer=tokenizer)
    place = locate(path).resolve()
    of_run = place.name in ("checkpoint", "together")
    own = place.parent.name if of_run else place.stem if place.is_file() else place.name
    return MtebModel(model, name or f"slapkit/{own}", embedding=embedding)


class MtebModel:
    """A loaded model with the methods of MTEB's `EncoderProtocol`.

    Each clip is embedded whole, as the mean over its windows, resampled by slapkit's own front end; a sound of which
    the model makes nothing, such as silence, has zeros for an embedding, and is warned of. Tasks' instructions are not
    read.

    Args:
        model: embeds.
        name: "owner/model".
        embedding: prediction "q" or projection "z".

    Raises:
        MissingExtraError: MTEB is not installed.
    """

    def __init__(self, model: Model, name: str, *, embedding: Embedding = "q") -> None:
        need_extra("mteb", "mteb")
        self.model, self.embedding = model, embedding
        self.mteb_model_meta = _meta(model, name, embedding)

    def encode(self, inputs: Iterable[Mapping[str, Any]], **options: Any) -> Tensor:
        """Return float32 `[N, D]` of unit norm, on the CPU, of batches with "audio", "text" or both, which are added.

        Args:
            inputs: MTEB's loader; a batch has lists of texts or of sounds, each with its array and sampling rate.
            options: of MTEB, of which `show_progress_bar` is heeded.
        """
        rows = []
        for batch in tqdm(inputs, "embedding", unit="batch", disable=not options.get("show_progress_bar", True)):
            parts = [self._embed_audio(list(batch["audio"]))] if "audio" in batch else []
            if "text" in batch:
                parts.append(self.model.embed_text(list(batch["text"]), embedding=self.embedding))
            rows.append(np.sum(parts, axis=0))
        return normalize(torch.from_numpy(np.concatenate(rows)), dim=1)

    def _embed_audio(self, sounds: list[Sound]) -> np.ndarray:
        try:
            return self.model.embed_audio(sounds, embedding=self.embedding)
        except AudioError as error:
            if len(sounds) > 1:
                return np.concatenate([self._embed_audio([sound]) for sound in sounds])
            logger.warning("a sound has zeros for an embedding: %s", error)
            return np.zeros((1, self.model.dim), np.float32)

    def similarity(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the cosines `[N, M]` of embeddings `[N, D]` and `[M, D]`."""
        return torch.as_tensor(a) @ torch.as_tensor(b).T

    def similarity_pairwise(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the cosine `[N]` of each row of two embeddings `[N, D]`."""
        return (torch.as_tensor(a) * torch.as_tensor(b)).sum(dim=-1)


def _meta(model: Model, name: str, embedding: Embedding) -> "ModelMeta":
    """What MTEB files with the results; what slapkit does not know, such as the licence, is None."""
    from mteb.models import ModelMeta

    used = [p for n, p in model.joint.named_parameters() if not n.startswith("target_")]
    chosen = {"embedding": embedding, "precision": model.precision}
    usual = {"embedding": "q", "precision": "no"}
    return ModelMeta(
        loader=None,
        name=name,
        revision=model.fingerprint(),
        release_date=None,
        languages=["eng-Latn"],
        modalities=["audio", "text"],
        n_parameters=sum(p.numel() for p in used),
        memory_usage_mb=sum(p.nbytes for p in used) / 2**20,
        max_tokens=model.config.text.max_tokens,
        embed_dim=model.dim,
        license=None,
        open_weights=None,
        public_training_code=None,
        public_training_data=None,
        framework=["PyTorch"],
        similarity_fn_name="cosine",
        use_instructions=False,
        training_datasets=None,
        experiment_kwargs={key: value for key, value in chosen.items() if value != usual[key]} or None,
    )
