"""Features kept on disk, or sounds decoded while training: the one place where training tells them apart."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slapkit.audio import features
from slapkit.audio.features import FeatureStore
from slapkit.data import AudioTextDataset
from slapkit.models.encoders import AudioEncoderConfig
from slapkit.training.batches import AudioSource
from slapkit.training.streaming_source import StreamAudio, StreamConfig, StreamStore

if TYPE_CHECKING:
    from accelerate import Accelerator

    from slapkit.training.batches import BatchSource


def open_store(
    dataset: AudioTextDataset,
    audio: AudioEncoderConfig,
    cache_dir: str | Path,
    streaming: StreamConfig | None,
    *,
    progress: bool = True,
) -> FeatureStore | StreamStore:
    """Return the features of all clips, from `cache_dir` or computed into it, or what stands in for them."""
    if streaming is None:
        files = dataset.audio_files(progress=progress)
        trained = {clip.id for clip in dataset if clip.split == "train"}
        return features.build(files, audio.frontend, cache_dir, moments_of=trained, progress=progress)
    return StreamStore(dataset, audio.frontend, audio.window_frames, cache_dir, progress=progress)


def audio_source(store: FeatureStore | StreamStore, ids: Sequence[str], window: int) -> AudioSource | StreamAudio:
    """Return the windows, of `window` frames, of clips."""
    return store.source(ids, window) if isinstance(store, StreamStore) else AudioSource(store, ids, window)


def open_batches(
    parts: tuple[Any, ...], accelerator: Accelerator, streaming: StreamConfig | None, out_dir: Path
) -> BatchSource:
    """Return this process's micro-batches out of `parts`, the first arguments of `BatchSource`."""
    from slapkit.training.batches import BatchSource

    rank, devices = accelerator.process_index, accelerator.num_processes
    if streaming is None:
        return BatchSource(*parts, rank=rank, devices=devices)
    from slapkit.training.streaming_batches import StreamBatches

    out_dir.mkdir(parents=True, exist_ok=True)
    local = int(os.environ.get("LOCAL_WORLD_SIZE", devices))
    listed = out_dir / f"unusable-{rank}.jsonl"
    places = {"rank": rank, "devices": devices, "local_devices": local}
    return StreamBatches(*parts, stream=streaming, listed=listed, **places)
