"""One split as a trained model embeds it, with its clips, captions and ranks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
import torch
from tqdm.auto import tqdm

from slapkit.audio import features
from slapkit.data import AudioTextDataset
from slapkit.errors import DataError
from slapkit.metrics.space import Space
from slapkit.models import OBJECTIVE_NAMES
from slapkit.models.embed import BATCH, embed_windows, mean_by_clip
from slapkit.models.inference import Embedding as Kind
from slapkit.models.inference import Model
from slapkit.models.representations import Representations, represent_captions

if TYPE_CHECKING:
    import pandas as pd

KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclasses.dataclass(frozen=True, eq=False)
class Embedded:
    """One split in one model's space.

    `arrays` are `q_audio`, `z_audio` `[N, D]` and `q_text`, `z_text` `[M, D]` of unit norm; `*_first` and `*_last`
    `[N, D]` are the first and the last window of each clip, equal where it has only one.
    """

    name: str  # of the model ("SLAP")
    objective: str  # what it was trained by ("slap")
    split: str
    clips: AudioTextDataset  # the N clips that can be used
    arrays: dict[str, np.ndarray]
    candidates: int  # clips among which `text_ranks` were taken: the whole split, though a sample shows fewer
    text_ranks: dict[str, np.ndarray]  # kind -> expected 1-based rank of its clip for each caption, [M]

    def __len__(self) -> int:
        """Number of points: clips and captions."""
        return len(self.clips) + len(self.captions)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row per clip: id, path, split, group, captions, facts."""
        return self.clips.to_pandas()

    @cached_property
    def captions(self) -> list[str]:
        """The M captions, in the order of the clips."""
        return self.clips.captions_flat()[0]

    @cached_property
    def clip_of_caption(self) -> np.ndarray:
        """Index of each caption's clip, int64 `[M]`."""
        return np.asarray(self.clips.captions_flat()[1])

    @cached_property
    def works(self) -> np.ndarray:
        """Index of the group (the work) of each clip, `[N]`."""
        return np.unique([clip.group for clip in self.clips], return_inverse=True)[1]

    def audio(self, kind: Kind = "q") -> np.ndarray:
        """Embeddings `[N, D]` of the clips."""
        return self.arrays[f"{kind}_audio"]

    def text(self, kind: Kind = "q") -> np.ndarray:
        """Embeddings `[M, D]` of the captions."""
        return self.arrays[f"{kind}_text"]

    def points(self, kind: Kind = "q") -> np.ndarray:
        """Embeddings `[N + M, D]` of clips, then captions: the rows of a map."""
        return np.concatenate([self.audio(kind), self.text(kind)])

    @cached_property
    def full(self) -> np.ndarray:
        """Which captions describe their clip, bool `[M]`; partial ones, true of many clips, do not."""
        return self.clips.full_captions()

    def space(self, kind: Kind = "q", *, seed: int = 0, of: np.ndarray | None = None) -> Space:
        """Return the space of one kind of embedding, to be measured: of the captions `of`, by default all full ones."""
        rows = np.flatnonzero(self.full if of is None else of)
        given = {"audio": self.audio(kind), "text": self.text(kind)[rows], "captions": [self.captions[i] for i in rows]}
        return Space(**given, clip_of_caption=self.clip_of_caption[rows], seed=seed)

    def hits(self, caption: int, k: int = 3, *, kind: Kind = "q") -> np.ndarray:
        """Return the rows `[<= k]` of the clips nearest to a caption, best first, ties in the order of clips."""
        similarity = self.audio(kind) @ self.text(kind)[caption]
        return np.argsort(-similarity, kind="stable")[:k]

    def sample(self, points: int | None, *, seed: int = 0) -> Embedded:
        """Return at most `points` points, whole clips drawn at random; ranks stay those among all clips. Raise
        `DataError` where there is no room for one clip."""
        if points is None or len(self) <= points:
            return self
        order = np.random.default_rng(seed).permutation(len(self.clips))
        sizes = 1 + np.bincount(self.clip_of_caption, minlength=len(self.clips))[order]
        count = int(np.searchsorted(np.cumsum(sizes), points, side="right"))
        if count < 1:
            raise DataError(f"points={points} has no room for one clip with its {int(sizes[0]) - 1} captions")
        chosen = np.sort(order[:count])
        captions = np.flatnonzero(np.isin(self.clip_of_caption, chosen))
        return dataclasses.replace(
            self,
            clips=self.clips.subset(chosen),
            arrays={n: array[captions if n.endswith("text") else chosen] for n, array in self.arrays.items()},
            text_ranks={kind: ranks[captions] for kind, ranks in self.text_ranks.items()},
        )


def make(
    clips: AudioTextDataset, arrays: dict[str, np.ndarray], *, name: str = "", objective: str = "", split: str = "test"
) -> Embedded:
    """Return the embedded form of `clips` with their arrays; ranks are computed here, never read from a file."""
    arrays = dict(arrays)
    for kind in KINDS:
        arrays.setdefault(f"{kind}_first", arrays[f"{kind}_audio"])
        arrays.setdefault(f"{kind}_last", arrays[f"{kind}_first"])
    name = name or OBJECTIVE_NAMES.get(objective, objective)
    found = Embedded(name, objective, split, clips, arrays, len(clips), text_ranks={})
    spaces = {kind: found.space(kind, of=np.ones(len(found.captions), dtype=bool)) for kind in KINDS}
    return dataclasses.replace(found, text_ranks={kind: spaces[kind].text_to_audio.expected for kind in KINDS})


def embed_split(
    model: Model, dataset: AudioTextDataset, *, split: str, cache_dir: str | Path, progress: bool = True
) -> Embedded:
    """Embed one split of `dataset`, with features kept in `cache_dir`; raise `DataError` where it is missing or has no
    usable clip."""
    given = {"split": split, "cache_dir": cache_dir, "progress": progress}
    clips, (z, q) = embed_clips(model, dataset, lambda windows: model.encode(windows, "audio"), **given)
    clip_of_window = np.repeat(np.arange(len(clips)), [len(windows) for windows in z])
    arrays = {}
    for kind, windows in (("z", z), ("q", q)):
        arrays[f"{kind}_audio"] = mean_by_clip(np.concatenate(windows), clip_of_window, len(clips))
        arrays[f"{kind}_first"] = np.stack([own[0] for own in windows])
        arrays[f"{kind}_last"] = np.stack([own[-1] for own in windows])
    captions, tower = clips.captions_flat()[0], model.joint.text
    parts = [np.empty((len(captions), model.dim), dtype=np.float32) for _ in "zq"]
    if tower.frozen:
        settings = {"device": model.device, "precision": model.precision, "progress": progress}
        h = represent_captions(tower.encoder, captions, cache_dir, **settings)
        batches = ((rows, h[rows]) for rows in np.split(np.arange(len(h)), range(BATCH, len(h), BATCH)))
    else:
        batches = tower.encoder.batches(captions, BATCH)
    for rows, inputs in batches:
        for part, value in zip(parts, model.encode(inputs, "text")):
            part[rows] = value.numpy()
    arrays |= dict(zip(("z_text", "q_text"), parts))
    return make(clips, arrays, objective=model.joint.objective, split=split)


def embed_clips(
    model: Model, dataset: AudioTextDataset, forward: Callable[[torch.Tensor], tuple[torch.Tensor, ...]], *,
    split: str | None = None, cache_dir: str | Path, progress: bool = True,
) -> tuple[AudioTextDataset, list[list[np.ndarray]]]:  # fmt: skip
    """Put the windows of clips through `forward`, which takes `[B, frames, width]` and returns outputs `[B, D]`; where
    the audio encoder is frozen it takes its representations `[B, H]`, which `cache_dir` keeps.

    Returns:
        the usable clips, and for each output of `forward` the values `[windows, D]` of each clip.

    Raises:
        DataError: the split is missing or has no usable clip.
    """
    part = dataset.split(split) if split else dataset
    store = features.build(part.audio_files(), model.config.audio.frontend, cache_dir, progress=progress)
    ids, tower = store.ids, model.joint.audio
    usable = set(ids)
    clips = part.with_clips(clip for clip in part if clip.id in usable)
    if tower.frozen:
        settings = {"device": model.device, "precision": model.precision, "progress": progress}
        kept = Representations(store, ids, tower.encoder, model.config.audio, cache_dir, **settings)
        clip_of, places = kept.tiles()
        batches = np.split(np.arange(len(places)), range(BATCH, len(places), BATCH))
        parts = zip(*(forward(kept.take(clip_of[rows], places[rows])) for rows in batches))
        ends = np.cumsum(np.bincount(clip_of))[:-1]
        return clips, [np.split(torch.cat(part).cpu().numpy(), ends) for part in parts]
    rows = (store.row(store.row_of(id)) for id in ids)
    found = embed_windows(rows, forward, window=model.config.audio.window_frames)
    bar = tqdm(found, "embedding", len(clips), unit="clip", disable=not progress, leave=False)
    return clips, [list(values) for values in zip(*(one.outputs for one in bar))]


def require_same_clips(models: Sequence[Embedded]) -> None:
    """Raise `DataError` unless there are models, and all embedded the same clips and captions in the same order."""
    if not models:
        raise DataError("no model is given: there is nothing to draw")
    shown = [[(clip.id, clip.captions) for clip in model.clips] for model in models]
    if any(own != shown[0] for own in shown):
        names = ", ".join(model.name for model in models)
        raise DataError(f"{names} embedded different clips or captions: compare models on one split of one data set")
