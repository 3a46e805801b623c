"""From sound files to window embeddings: features computed by helper processes, or found in a cache, then one encoder.

The features are those of training (float16 log-mel, `slapkit.audio.worker`), so a cache that training filled serves.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from slapkit._io import available_cores
from slapkit.audio.frontend import FrontendConfig
from slapkit.audio.store import FeatureFile
from slapkit.audio.windows import tiled_starts
from slapkit.errors import AudioError, StorageError
from slapkit.models.inference import Model

_WORTH_WORKERS = 40  # files: fewer are done before a helper process has started
_MOST_WORKERS = 16
_BATCH = 64  # windows that go through the encoder together
_LONG_S = 900.0  # s: a longer file is heard in pieces, for the spectrum of an hour takes gigabytes
_PIECE_S = 60.0


@dataclass(frozen=True)
class Job:
    """A file to embed; `sha` is the SHA-256 of its content, `id` whatever the caller knows it by."""

    id: str
    path: Path
    sha: str


@dataclass(frozen=True)
class Embedded:
    """What became of a job: `vectors` `[W, D]` of unit norm, `frames` of log-mel, `duration_s` in s, or `failure`."""

    vectors: np.ndarray | None = None
    frames: int = 0
    duration_s: float = 0.0
    failure: str | None = None


class Embedder:
    """A model with its helper processes, cache of features and windowing; a context manager.

    Args:
        embedding: prediction "q" or projection "z".
        hop: frames from one window to the next.
        expected: about how many files there are to hear: a few are done before a helper has started.
        cache_dir: folder with feature files of earlier work; nothing is written there.
        workers: helper processes that decode; 0 chooses.
    """

    def __init__(
        self,
        model: Model,
        *,
        embedding: Literal["q", "z"],
        hop: int,
        expected: int = 0,
        cache_dir: Path | None = None,
        workers: int = 0,
    ) -> None:
        from slapkit.audio.worker import Workers

        self.model, self.embedding, self.hop = model, embedding, hop
        self.frontend, self.window = model.config.audio.frontend, model.config.audio.window_frames
        self.cache = _Cache(cache_dir, self.frontend)
        # A helper starts when it is first needed: where the cache has everything, none does.
        chosen = min(available_cores(), _MOST_WORKERS) if expected >= _WORTH_WORKERS else 1
        self.helpers = Workers(workers or chosen)

    def __enter__(self) -> Embedder:
        self.helpers.__enter__()
        return self

    def __exit__(self, *error) -> None:
        self.helpers.__exit__(*error)

    def embed(self, jobs: Sequence[Job]) -> Iterator[list[tuple[Job, Embedded]]]:
        """Yield jobs with what became of them, in order, some at a time."""
        waiting: list[tuple[Job, float, np.ndarray | str]] = []
        pending = 0
        for job, (features, duration_s) in zip(jobs, self._features(jobs), strict=True):
            waiting.append((job, duration_s, features))
            pending += 0 if isinstance(features, str) else len(tiled_starts(len(features), self.window, self.hop))
            if pending >= _BATCH:
                yield self._encode(waiting)
                waiting, pending = [], 0
        if waiting:
            yield self._encode(waiting)

    def _encode(self, heard: list[tuple[Job, float, np.ndarray | str]]) -> list[tuple[Job, Embedded]]:
        """Put the windows of several files through the encoder together and hand them back file by file."""
        cuts = {
            job: [features[s : s + self.window] for s in tiled_starts(len(features), self.window, self.hop)]
            for job, _, features in heard
            if not isinstance(features, str)
        }
        vectors, row = self._forward([cut for windows in cuts.values() for cut in windows]), 0
        result = []
        for job, duration_s, features in heard:
            if isinstance(features, str):
                result.append((job, Embedded(failure=features)))
                continue
            own = vectors[row : row + len(cuts[job])]
            row += len(own)
            if np.isfinite(own).all():
                result.append((job, Embedded(own, len(features), duration_s)))
            else:
                result.append((job, Embedded(failure="the model gives it an embedding that is not finite")))
        return result

    def _forward(self, cuts: list[np.ndarray]) -> np.ndarray:
        """Return the embeddings `[W, D]` of windows of features."""
        import torch

        parts = [np.zeros((0, self.model.dim), dtype=np.float32)]
        for start in range(0, len(cuts), _BATCH):
            batch = torch.from_numpy(np.stack(cuts[start : start + _BATCH]).astype(np.float32))
            z, q = self.model.encode(batch, "audio")
            parts.append((q if self.embedding == "q" else z).numpy())
        return np.concatenate(parts)

    def _features(self, jobs: Sequence[Job]) -> Iterator[tuple[np.ndarray | str, float]]:
        """Yield the features `[frames, n_mels]` of each file, or why there are none, and its duration in s."""
        durations = [duration(job.path) for job in jobs]
        cached = [self.cache.has(job.sha) for job in jobs]
        plain = [not cached[i] and durations[i] <= _LONG_S for i in range(len(jobs))]
        paths = [str(job.path) for i, job in enumerate(jobs) if plain[i]]
        with contextlib.closing(self.helpers.map(paths, self.frontend)) as computed:
            for i, job in enumerate(jobs):
                if plain[i]:
                    features = next(computed)
                elif cached[i]:
                    features = self.cache.get(job.sha)
                else:
                    features = _in_pieces(job.path, self.frontend, durations[i])
                told = 0.0 if isinstance(features, str) else len(features) * self.frontend.hop_s
                yield features, durations[i] or told


class _Cache:
    """The feature files of one front end in a folder, looked up by the content of the sound."""

    def __init__(self, folder: Path | None, frontend: FrontendConfig) -> None:
        from slapkit.audio.features import cache_path

        self.places: dict[str, tuple[FeatureFile, int]] = {}
        prefix = cache_path(folder or ".", frontend, []).name.split("-")[0]
        for path in sorted(Path(folder).glob(f"{prefix}-*.features")) if folder else []:
            with contextlib.suppress(StorageError):
                file = FeatureFile(path)
                self.places |= {key: (file, row) for key, row in file.index.items()}
        self._known: dict[str, bool] = {}

    def has(self, sha: str) -> bool:
        """Say whether intact features are there."""
        if sha not in self._known:
            place = self.places.get(sha)
            self._known[sha] = place is not None and place[0].intact(place[1])
        return self._known[sha]

    def get(self, sha: str) -> np.ndarray:
        """Return the features, float16 `[frames, n_mels]`."""
        file, row = self.places[sha]
        return file.row(row)


def duration(path: Path) -> float:
    """Return how long a sound file says it lasts, in s; 0 where it does not say."""
    import soundfile

    try:
        info = soundfile.info(str(path))
        return info.frames / info.samplerate if 0 < info.frames < 2**62 else 0.0
    except (soundfile.SoundFileError, OSError, ValueError, ZeroDivisionError):
        return 0.0


def _in_pieces(path: Path, frontend: FrontendConfig, duration_s: float) -> np.ndarray | str:
    """Return the features of a long file, decoded and transformed a minute at a time; frames at the seams are near."""
    import torch

    from slapkit.audio import decode
    from slapkit.audio.frontend import make_transform

    transform, parts, start = make_transform(frontend).eval(), [], 0.0
    loudest = 0.0
    piece = round(_PIECE_S / frontend.hop_s)  # frames, so that pieces join on the grid of frames
    while start < duration_s - frontend.hop_s:
        last = start + 2 * piece * frontend.hop_s > duration_s  # what is left over goes with the last piece
        length = None if last else piece * frontend.hop_s
        try:
            wave = decode.read(path, sample_rate=frontend.sample_rate, start_s=start, duration_s=length)
        except AudioError as error:
            return str(error).replace(str(path), "the sound")
        loudest = max(loudest, float(np.abs(wave).max()))
        mel = transform(torch.from_numpy(wave)[None])[0].numpy().astype(np.float16)
        parts.append(mel if last else mel[:piece])
        if last:
            break
        start += piece * frontend.hop_s
    if loudest < decode.SILENCE:
        return f"the sound is silent: its peak is {loudest:.1e} of full scale, less than {decode.SILENCE:.0e}"
    return np.concatenate(parts)
