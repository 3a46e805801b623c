"""What a map is drawn of: one split as a trained model embeds it, with its captions, facts and ranks."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from slapkit._io import atomic_path, sha256_file
from slapkit.data import AudioTextDataset
from slapkit.errors import CheckpointError, DataError, StorageError
from slapkit.metrics import Ranks, text_to_audio_ranks
from slapkit.models import OBJECTIVE_NAMES

if TYPE_CHECKING:
    import pandas as pd

    from slapkit.models.inference import Model

Kind = Literal["q", "z"]
FORMAT = 1
ARRAYS = tuple(f"{kind}_{what}" for kind in "qz" for what in ("audio", "text", "first", "last"))


@dataclasses.dataclass(frozen=True)
class Embedded:
    """One split in one model's space.

    Attributes:
        name: of the model, as it is written ("SLAP").
        objective: as the theme knows it ("slap").
        split: name of the split.
        frame: one row per clip, N of them: id, path, split, group, captions, facts.
        captions: the M captions of these clips, in their order.
        clip_of_caption: int64 `[M]`, the clip of each caption.
        arrays: `q_audio`, `z_audio` `[N, D]` and `q_text`, `z_text` `[M, D]` of unit norm; `*_first` and `*_last`
            `[N, D]` are the first and the last window of each clip, equal where it has only one.
        candidates: number of clips among which `text_ranks` were taken: the whole split, though a sample shows fewer.
        text_ranks: kind -> expected 1-based rank of its clip for each caption, `[M]`.
    """

    name: str
    objective: str
    split: str
    frame: pd.DataFrame
    captions: list[str]
    clip_of_caption: np.ndarray
    arrays: dict[str, np.ndarray]
    candidates: int
    text_ranks: dict[str, np.ndarray]

    def __len__(self) -> int:
        """Number of points: clips and captions."""
        return len(self.frame) + len(self.captions)

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
    def first_captions(self) -> np.ndarray:
        """Numbers `[N]` of the first caption of each clip: one pair a clip, as the gap is measured."""
        return np.unique(self.clip_of_caption, return_index=True)[1]

    @cached_property
    def works(self) -> np.ndarray:
        """Number of the group (the work) that each clip belongs to, `[N]`."""
        return np.unique(self.frame["group"].to_numpy(dtype=str), return_inverse=True)[1]

    def hits(self, caption: int, k: int = 3, *, kind: Kind = "q") -> np.ndarray:
        """Return the rows `[<= k]` of the clips nearest to a caption, best first, ties in the order of clips."""
        similarity = self.audio(kind) @ self.text(kind)[caption]
        return np.argsort(-similarity, kind="stable")[:k]

    def sample(self, points: int | None, *, seed: int = 0) -> Embedded:
        """Return at most `points` points (clips with all their captions), clips drawn at random; ranks stay as they
        were among all clips.

        Raises:
            DataError: too few points for one clip.
        """
        if points is None or len(self) <= points:
            return self
        order = np.random.default_rng(seed).permutation(len(self.frame))
        sizes = 1 + np.bincount(self.clip_of_caption, minlength=len(self.frame))[order]
        count = int(np.searchsorted(np.cumsum(sizes), points, side="right"))
        if count < 1:
            raise DataError(f"points={points} has no room for one clip with its {int(sizes[0]) - 1} captions")
        return self.only(np.sort(order[:count]))

    def only(self, clips: np.ndarray) -> Embedded:
        """Return the part of these clips (rows of `frame`) with their captions."""
        texts = np.flatnonzero(np.isin(self.clip_of_caption, clips))
        number = np.full(len(self.frame), -1)
        number[clips] = np.arange(len(clips))
        rows = {name: texts if name.endswith("text") else clips for name in self.arrays}
        return dataclasses.replace(
            self,
            frame=self.frame.iloc[clips].reset_index(drop=True),
            captions=[self.captions[i] for i in texts],
            clip_of_caption=number[self.clip_of_caption[texts]],
            arrays={name: array[rows[name]] for name, array in self.arrays.items()},
            text_ranks={kind: ranks[texts] for kind, ranks in self.text_ranks.items()},
        )


def embed_run(
    run: str | Path,
    dataset: AudioTextDataset,
    *,
    split: str = "test",
    cache_dir: str | Path,
    name: str | None = None,
    progress: bool = True,
) -> Embedded:
    """Embed one split with the model of a run; the second time it is read from `maps/` beside the model.

    Args:
        run: a run's folder, or a checkpoint folder.
        dataset: the data set, all splits.
        split: which split.
        cache_dir: where features are kept.
        name: what the model is called; None takes the name of its objective.

    Raises:
        CheckpointError: no usable model there.
        DataError: the split is missing or has no usable clip.
    """
    from slapkit.hub.load import load_model

    model_file = _model_file(Path(run))
    part = dataset.split(split)
    content = json.dumps([FORMAT, sha256_file(model_file), part.fingerprint, split])
    path = model_file.parent / "maps" / f"embedded-{hashlib.sha256(content.encode()).hexdigest()[:16]}.safetensors"
    cached = _read(path)
    if cached is None:
        model = load_model(run, device="cpu")
        arrays, ids = _compute(model, dataset, split, cache_dir, progress)
        cached = arrays, ids, model.joint.objective
        # A run kept where nothing can be written is still good to look at.
        with contextlib.suppress(StorageError):
            _write(path, *cached)
    arrays, ids, objective = cached
    known = set(ids)
    return make(
        part.with_clips(clip for clip in part if clip.id in known),
        arrays,
        name=name or OBJECTIVE_NAMES.get(objective, objective),
        objective=objective,
        split=split,
    )


def make(
    clips: AudioTextDataset, arrays: dict[str, np.ndarray], *, name: str, objective: str = "", split: str = "test"
) -> Embedded:
    """Return the embedded form of `clips` with their arrays; ranks are computed here, never read from a file."""
    captions, clip_of_caption = clips.captions_flat()
    clip_of_caption = np.asarray(clip_of_caption)
    for kind in "qz":
        arrays.setdefault(f"{kind}_first", arrays[f"{kind}_audio"])
        arrays.setdefault(f"{kind}_last", arrays[f"{kind}_first"])
    ranks: dict[str, Ranks] = {
        kind: text_to_audio_ranks(
            audio=arrays[f"{kind}_audio"], text=arrays[f"{kind}_text"], clip_of_caption=clip_of_caption
        )
        for kind in "qz"
    }
    return Embedded(
        name=name,
        objective=objective,
        split=split,
        frame=clips.to_frame(),
        captions=captions,
        clip_of_caption=clip_of_caption,
        arrays=arrays,
        candidates=len(clips),
        text_ranks={kind: found.expected for kind, found in ranks.items()},
    )


def require_same_clips(models: Sequence[Embedded]) -> None:
    """Raise `DataError` unless there are models, and all embedded the same clips and captions in the same order."""
    if not models:
        raise DataError("no model is given: there is nothing to draw")
    for model in models[1:]:
        if model.frame["id"].tolist() != models[0].frame["id"].tolist() or model.captions != models[0].captions:
            raise DataError(
                f"{models[0].name} and {model.name} embedded different clips or captions: only maps of the same split "
                "of the same data set can stand side by side"
            )


def _model_file(run: Path) -> Path:
    for folder in (run, run / "checkpoint"):
        if (folder / "model.safetensors").is_file():
            return folder / "model.safetensors"
    raise CheckpointError(f"{run} holds no trained model (no model.safetensors): name a run whose training has ended")


def _compute(
    model: Model, dataset: AudioTextDataset, split: str, cache_dir: str | Path, progress: bool
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Embed clips, captions, and the two ends of each clip."""

    from slapkit.audio import features
    from slapkit.metrics.evaluate import embed_split
    from slapkit.models.inputs import AudioSource

    arrays, _, _, clips = embed_split(model, dataset, split=split, cache_dir=cache_dir, progress=progress)
    ids = [clip.id for clip in clips]
    store = features.build(dataset.audio_files(), model.config.audio.frontend, cache_dir, progress=False)
    source = AudioSource(store, ids, model.config.audio.window_frames)
    owner, starts = source.tiles()
    numbers = np.arange(len(ids))
    for end, tile in (
        ("first", np.searchsorted(owner, numbers)),
        ("last", np.searchsorted(owner, numbers, "right") - 1),
    ):
        parts: dict[str, list[np.ndarray]] = {"z": [], "q": []}
        for i in range(0, len(numbers), 64):
            windows = source.take(numbers[i : i + 64], starts[tile[i : i + 64]])
            for kind, value in zip("zq", model.encode(windows, "audio")):
                parts[kind].append(value.numpy())
        arrays |= {f"{kind}_{end}": np.concatenate(values) for kind, values in parts.items()}
    return arrays, ids


def _write(path: Path, arrays: dict[str, np.ndarray], ids: list[str], objective: str) -> None:
    from safetensors.numpy import save_file

    with atomic_path(path, needed=sum(a.nbytes for a in arrays.values())) as temporary:
        about = {"ids": json.dumps(ids), "objective": objective}
        save_file({name: np.ascontiguousarray(arrays[name]) for name in ARRAYS}, temporary, metadata=about)


def _read(path: Path) -> tuple[dict[str, np.ndarray], list[str], str] | None:
    """Return what `_write` kept, None where there is nothing of use."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            about = file.metadata()
            return {name: file.get_tensor(name) for name in ARRAYS}, json.loads(about["ids"]), about["objective"]
    except (OSError, SafetensorError, KeyError, ValueError, TypeError):
        return None
