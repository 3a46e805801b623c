"""The training loop: one function, `train`, and the steps it is made of."""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import broadcast_object_list

from slapkit.audio.features import FeatureStore
from slapkit.data import AudioTextDataset
from slapkit.errors import CollapseError, ConfigError, DataError
from slapkit.models.ema import update_target
from slapkit.models.joint import JointModel, ModelConfig
from slapkit.models.weights import save_model
from slapkit.training import health
from slapkit.training.batches import AudioSource, BatchSource, TextSource
from slapkit.training.checkpoint import TrainingState
from slapkit.training.config import TrainConfig
from slapkit.training.devices import keep_freed_memory, make_accelerator
from slapkit.training.log import Callback, TrainLog
from slapkit.training.objective import backward
from slapkit.training.prefetch import StreamBatches
from slapkit.training.schedules import tau_schedule, warmup_cosine
from slapkit.training.streaming import StreamConfig, StreamStore, open_store


@dataclass
class Trained:
    """What `train` returns: the model, the rows of its log, and the folder that `slapkit.load` takes."""

    model: JointModel
    history: list[dict[str, Any]]
    folder: Path


def train(
    *,
    model: ModelConfig | JointModel,
    config: TrainConfig,
    dataset: AudioTextDataset,
    out_dir: str | Path,
    cache_dir: str | Path,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
    tensorboard: bool = False,
    resume: bool = True,
    streaming: StreamConfig | None = None,
) -> Trained:
    """Train a joint model on the split "train", watching the split "validation" if there is one.

    Args:
        model: what to train: a configuration, or a model with weights such as `slapkit.hub.start_from` returns.
        config: how to train it.
        dataset: clips with captions and splits.
        out_dir: takes the model, `train.jsonl`, and `training/` with all that is needed to go on after a kill.
        cache_dir: features and representations of frozen encoders.
        callbacks: called with every logged row.
        tensorboard: also write TensorBoard events.
        resume: go on from the last checkpoint in `out_dir`; False removes what an earlier training wrote there.
        streaming: decode sounds while training instead of keeping their features, for collections that have no room;
            clips that turn out to be unusable are replaced, and listed in `unusable-<process>.jsonl`.

    Raises:
        CollapseError: the embeddings collapsed, or the loss is no longer finite.
        ConfigError, DataError, CheckpointError, StorageError: as their names say.
    """
    trainer = Trainer(model, config, dataset, Path(out_dir), Path(cache_dir), progress=progress, streaming=streaming)
    return trainer.run(callbacks=callbacks, tensorboard=tensorboard, resume=resume, progress=progress)


class Trainer:
    """State of one training run."""

    def __init__(
        self,
        model: ModelConfig | JointModel,
        config: TrainConfig,
        dataset: AudioTextDataset,
        out_dir: Path,
        cache_dir: Path,
        *,
        progress: bool,
        streaming: StreamConfig | None = None,
    ) -> None:
        self.config, self.out_dir = config, out_dir
        keep_freed_memory()
        self.accelerator = make_accelerator(config)
        self.device = self.accelerator.device
        started, model = (model, model.config) if isinstance(model, JointModel) else (None, model)
        _check(model, started, config, self.accelerator.num_processes)  # before any work
        taken = None if started is None else _digest(started)
        with self.accelerator.main_process_first():
            show = progress and self.accelerator.is_main_process
            frontend, window = model.audio.frontend, model.audio.window_frames
            store = open_store(dataset, frontend, window, cache_dir, streaming, progress=show)
        usable = set(store.ids)
        training, validation = (_usable(dataset, split, usable) for split in ("train", "validation"))
        if not len(training):
            raise DataError(
                f"{dataset.name}: no usable clip is in the split 'train' (splits: {dataset.splits or 'none'}): "
                "give the table a column 'split', or divide it by data.make_splits and data.write_table"
            )
        model = model.replace(
            audio=model.audio.replace(
                mel_mean=round(float(store.mean), 3), mel_std=round(max(float(store.std), 1e-3), 3)
            )
        )
        captions, self.clip_of = training.captions_flat()
        if started is None:
            torch.manual_seed(config.seed)
            self.model = JointModel.build(model, config.objective, captions=captions)
        else:  # a trained CNN keeps the mean and std that its weights know
            self.model, model = started, started.config
        self.model.add_targets()
        self.model.to(self.device)
        self.train_audio, self.train_text = self._sources(training, store, captions, cache_dir, progress)
        self.validation = None
        if len(validation):
            held_out, clip_of_caption = validation.captions_flat()
            self.validation = (
                *self._sources(validation, store, held_out, cache_dir, progress),
                np.asarray(clip_of_caption),
            )
        captions_of = np.split(np.arange(len(captions)), np.flatnonzero(np.diff(self.clip_of)) + 1)
        parts = (self.train_audio, self.train_text, captions_of, config)
        place = {"rank": self.accelerator.process_index, "devices": self.accelerator.num_processes}
        if streaming is None:
            self.batches = BatchSource(*parts, **place)
        else:
            listed = self.out_dir / f"unusable-{place['rank']}.jsonl"
            local = int(os.environ.get("LOCAL_WORLD_SIZE", place["devices"]))
            self.batches = StreamBatches(*parts, stream=streaming, listed=listed, local_devices=local, **place)
        self._wrap()
        self.identity = {
            "model": model.to_dict(),
            "train": config.to_dict() | {"device": None, "init": None},
            "init": taken,  # by its weights: where they lie makes no difference
            "data": dataset.fingerprint if streaming is None else store.fingerprint,
            "devices": self.accelerator.num_processes,
        }

    def _sources(
        self,
        dataset: AudioTextDataset,
        store: FeatureStore | StreamStore,
        captions: list[str],
        cache_dir: Path,
        progress: bool,
    ) -> tuple[AudioSource, TextSource]:
        ids, window = [clip.id for clip in dataset.clips], self.model.config.audio.window_frames
        audio = store.source(ids, window) if isinstance(store, StreamStore) else AudioSource(store, ids, window)
        if self.model.audio.frozen:
            audio.freeze(self.model.audio.encoder, self.device, progress=progress)
        with self.accelerator.main_process_first():
            text = TextSource(
                self.model.text.encoder,
                captions,
                frozen=self.model.text.frozen,
                device=self.device,
                cache_dir=cache_dir,
                progress=progress,
            )
        return audio, text

    def _wrap(self) -> None:
        """Optimiser, and what the flags ask for, around the bare model."""
        config = self.config
        if config.gradient_checkpointing:
            self.model.enable_gradient_checkpointing()
        if config.sync_batchnorm and self.accelerator.num_processes > 1:
            self.model = torch.nn.SyncBatchNorm.convert_sync_batchnorm(self.model)
        if config.compile:
            for tower in (self.model.audio, self.model.text):
                if not tower.frozen:
                    tower.encoder.compile()
        trained = [p for p in self.model.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in trained if p.dim() > 1], "weight_decay": config.weight_decay},
            {"params": [p for p in trained if p.dim() <= 1], "weight_decay": 0.0},  # biases, norms, temperature
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=config.lr, fused=True)
        self.trained = trained
        self.wrapped = self.accelerator.prepare(self.model)

    def run(self, *, callbacks: Sequence[Callback], tensorboard: bool, resume: bool, progress: bool) -> Trained:
        """Train to the end, from the last checkpoint on if there is one."""
        state = TrainingState(self.out_dir / "training")
        if not resume and self.accelerator.is_main_process:
            _clear(self.out_dir)
        self.accelerator.wait_for_everyone()
        found = state.load(model=self.model, optimizer=self.optimizer, identity=self.identity)
        done, spent = (found["step"], found["time_s"]) if found else (0, 0.0)
        watch = health.CollapseWatch(
            warmup_steps=round(self.config.steps * self.config.warmup_fraction),
            lam=self.config.lam,
            tau=self.config.tau,
            lr=self.config.lr,
        )
        watch.low = found["low_ranks"] if found else []
        log = TrainLog(
            self.out_dir / "train.jsonl",
            total=self.config.steps,
            resume_at=done,
            callbacks=callbacks,
            progress=progress,
            tensorboard=tensorboard,
            active=self.accelerator.is_main_process,
        )
        began = time.perf_counter() - spent
        try:
            for step in range(done, self.config.steps):
                self._one(step, log, watch, began)
                if self.accelerator.is_main_process and (
                    (step + 1) % self.config.checkpoint_every == 0 or step + 1 == self.config.steps
                ):
                    extra = {"time_s": time.perf_counter() - began, "low_ranks": watch.low}
                    state.save(
                        step + 1, model=self.model, optimizer=self.optimizer, identity=self.identity, extra=extra
                    )
        finally:
            log.close()
        if self.accelerator.is_main_process:
            save_model(self.model, self.out_dir, train=self.config.to_dict(), step=self.config.steps)
        self.accelerator.wait_for_everyone()
        return Trained(self.model, log.history, self.out_dir)

    def _one(self, step: int, log: TrainLog, watch: health.CollapseWatch, began: float) -> None:
        """One optimiser step, with what is due after it."""
        started = time.perf_counter()
        terms, lr, tau = self.step(step)
        log.tick()
        number, last = step + 1, step + 1 == self.config.steps
        row: dict[str, Any] = {"step": number}
        if number % self.config.log_every == 0 or last or number == 1:
            values = {name: self.accelerator.reduce(value.float(), "mean").item() for name, value in terms.items()}
            row |= values | {"lr": lr, "step_s": time.perf_counter() - started}
            if self.model.has_predictor:
                row["tau"] = tau
            if not math.isfinite(values["loss"]):
                log.write(row)
                raise CollapseError(
                    f"the loss is {values['loss']} at step {number}: try a lower lr (now {self.config.lr}) or "
                    "precision='no'"
                )
        if self.validation and (number % self.config.eval_every == 0 or last):
            row["validation"] = self._validate()
        if len(row) > 1:
            log.write(row | {"time_s": round(time.perf_counter() - began, 3)})
        if "validation" in row and self.config.stop_on_collapse:
            watch.check(number, row["validation"]["effective_rank"])

    def step(self, step: int) -> tuple[dict[str, torch.Tensor], float, float]:
        """Gradients of the whole batch, one optimiser step, one EMA update; return loss terms, learning rate and
        tau."""
        config = self.config
        self.wrapped.train()
        lr = warmup_cosine(step=step, total=config.steps, warmup_fraction=config.warmup_fraction, peak=config.lr)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        # Gradients stay where they are: given back and made anew amid activations, they would break up the heap.
        self.optimizer.zero_grad(set_to_none=False)
        terms = backward(
            self.wrapped,
            lambda k: self.batches.micro_batch(step, k, self.device),
            self.batches.micro_batches,
            objective=config.objective,
            lam=config.lam,
            accelerator=self.accelerator,
            exact=config.exact_accumulation,
        )
        if config.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.trained, config.clip_norm)
        self.optimizer.step()
        tau = tau_schedule(
            step=step,
            total=config.steps,
            start=config.tau,
            end=config.tau if config.tau_end is None else config.tau_end,
        )
        self._update_targets(tau)
        return terms, lr, tau

    @torch.no_grad()
    def _update_targets(self, tau: float) -> None:
        if self.accelerator.num_processes > 1:  # each device saw its own rows: the statistics of all count
            for buffer in self.model.buffers():
                if buffer.is_floating_point():
                    torch.distributed.all_reduce(buffer)
                    buffer /= self.accelerator.num_processes
        for target, context in ((self.model.target_audio, self.model.audio), (self.model.target_text, self.model.text)):
            if target is not None:
                update_target(target, context, tau=tau)

    def _validate(self) -> dict[str, float]:
        """Health on the validation split, measured by the main process and known to all."""
        result: list[dict[str, float] | None] = [None]
        if self.accelerator.is_main_process:
            audio, text, clip_of_caption = self.validation
            q_audio, q_text = health.predictions(self.model, audio, text, self.device)
            result[0] = health.measure(audio=q_audio, text=q_text, clip_of_caption=clip_of_caption)
        return broadcast_object_list(result)[0]


def _check(model: ModelConfig, started: JointModel | None, config: TrainConfig, devices: int) -> None:
    """Refuse what could not be trained.

    Raises:
        ConfigError: a starting point that was not made, or one with another objective; or BatchNorm on a single row.
    """
    if started is None and config.init is not None:
        raise ConfigError(f"init={config.init!r}: pass model=slapkit.hub.start_from(model, objective, init)")
    if started is not None and started.objective != config.objective:
        raise ConfigError(f"objective={config.objective!r}, but the model was made for {started.objective!r}")
    heads = [model.audio_projector, model.text_projector, *([model.predictor] if config.objective == "slap" else [])]
    share = config.batch_size // devices
    rows = share if config.exact_accumulation else min(config.micro_batch or share, share)
    if config.sync_batchnorm:
        rows *= devices
    if rows == 1 and any(head.batch_norm for head in heads):
        name, value = ("batch_size", config.batch_size) if share == 1 else ("micro_batch", config.micro_batch)
        raise ConfigError(
            f"{name}={value} gives BatchNorm in the heads one pair to normalise by: take at least 2 pairs a device, "
            "exact_accumulation=True, or heads with batch_norm=False"
        )


def _digest(model: JointModel) -> str:
    """Return the digest of a model's weights; where they were read makes no difference."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def _clear(folder: Path) -> None:
    """Remove what a training writes into its folder, and nothing else."""
    names = ("config.json", "model.safetensors", "text_encoder", "train.jsonl", "training", "tensorboard")
    for path in [*(folder / name for name in names), *folder.glob("unusable-*.jsonl")]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _usable(dataset: AudioTextDataset, split: str, ids: set[str]) -> AudioTextDataset:
    """The split's clips that have features."""
    return dataset.with_clips(clip for clip in dataset.clips if clip.split == split and clip.id in ids)
