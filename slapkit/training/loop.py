"""The training loop: one function, `train`, and the steps it is made of."""

import math
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
from slapkit.errors import CollapseError, DataError
from slapkit.models.ema import update_target
from slapkit.models.encoders.text import tensor_digest
from slapkit.models.joint import JointModel, ModelConfig
from slapkit.models.representations import Representations, raw
from slapkit.models.weights import save_model
from slapkit.training import checkpoint, health
from slapkit.training.batches import AudioSource, BatchSource, TextSource, fitted, strata_of
from slapkit.training.checks import check, check_masks
from slapkit.training.config import TrainConfig
from slapkit.training.devices import keep_freed_memory, make_accelerator, one_thread, with_precision
from slapkit.training.log import Callback, TrainLog
from slapkit.training.objective import backward
from slapkit.training.schedules import tau_schedule, warmup_cosine
from slapkit.training.streaming import StreamAudio, StreamBatches, StreamStore, open_store


@dataclass
class Trained:
    """What `train` returns: the model, the rows of its log, and the folder that `slapkit.load` takes."""

    model: JointModel
    history: list[dict[str, Any]]
    folder: Path


def train(
    *, model: ModelConfig | JointModel, config: TrainConfig, dataset: AudioTextDataset, out_dir: str | Path,
    cache_dir: str | Path, callbacks: Sequence[Callback] = (), progress: bool = True, tensorboard: bool = False,
    resume: bool = True, streaming: bool = False, workers: int | None = None,
) -> Trained:  # fmt: skip
    """Train a joint model on the split "train", watching the split "validation" if there is one.

    Args:
        model: what to train: a configuration, or a model with weights such as `slapkit.hub.start_from` returns.
        out_dir: takes the model, `train.jsonl`, and `training/` with all that is needed to go on after a kill.
        cache_dir: features and representations of frozen encoders.
        callbacks: called with every logged row.
        tensorboard: also write TensorBoard events.
        resume: go on from the last checkpoint in `out_dir`; False removes what an earlier training wrote there.
        streaming: decode sounds while training instead of keeping their features, for collections that have no room;
            clips that turn out to be unusable are replaced, and listed in `unusable-<process>.jsonl`.
        workers: processes for each device that decode while streaming; default: all CPUs.

    Raises:
        CollapseError: the embeddings collapsed, or the loss is no longer finite.
        ConfigError, DataError, CheckpointError, StorageError: as their names say.
    """
    given = {"progress": progress, "streaming": streaming, "workers": workers}
    trainer = Trainer(model, config, dataset, Path(out_dir), Path(cache_dir), **given)
    with one_thread(where=trainer.heads_alone and trainer.device.type == "cpu"):
        return trainer.run(callbacks=callbacks, tensorboard=tensorboard, resume=resume)


class Trainer:
    """State of one training run; see `train` for the arguments."""

    def __init__(
        self, model: ModelConfig | JointModel, config: TrainConfig, dataset: AudioTextDataset, out_dir: Path,
        cache_dir: Path, *, progress: bool, streaming: bool = False, workers: int | None = None,
    ) -> None:  # fmt: skip
        self.out_dir, self.cache_dir, self.progress = out_dir, cache_dir, progress
        keep_freed_memory()
        self.config = config = with_precision(config)
        self.accelerator = make_accelerator(config)
        self.device, self.main = self.accelerator.device, self.accelerator.is_main_process
        rank, devices = self.accelerator.process_index, self.accelerator.num_processes
        everything, _ = _splits(dataset, {clip.id for clip in dataset})
        config = fitted(config, len(everything), devices)
        given_model = isinstance(model, JointModel)
        shape = model.config if given_model else model
        check(shape, config, devices, made_for=model.objective if given_model else None)  # before any work
        if streaming or not shape.audio.frozen:  # representations that are kept get no masks
            check_masks(shape.audio, config)
        strata_of(everything, config.batch_size)
        digest = tensor_digest(model.state_dict()) if given_model else None
        given = {"streaming": streaming, "progress": progress and self.main}
        with self.accelerator.main_process_first():
            store = open_store(dataset, shape.audio.frontend, shape.audio.window_frames, cache_dir, **given)
        training, validation = _splits(dataset, set(store.ids))
        self.config = config = fitted(config, len(training), devices)
        self.model = model if given_model else self._build(model, store, training)
        self.model.add_targets()
        if note := training.caption_note:
            self.model.note = "; ".join(filter(None, [self.model.note, f"in training, {note}"]))
        if not given_model or self.model.vocabulary:  # a start without a list may know any word
            self.model.vocabulary |= training.vocabulary
        self.model.to(self.device)
        *sources, clip_of = self._sources(training, store)
        if not given_model and hasattr(self.model.audio.encoder, "standardise_by"):
            self._standardise(sources[0], store)
        self.validation = self._sources(validation, store) if len(validation) else None
        place = {"strata": strata_of(training, config.batch_size), "rank": rank, "devices": devices}
        parts = (*sources, clip_of, config)
        if streaming:
            self.batches = StreamBatches(*parts, workers=workers, listed=out_dir / f"unusable-{rank}.jsonl", **place)
        else:
            self.batches = BatchSource(*parts, **place)
        self.heads_alone = not streaming and self.model.audio.frozen and self.model.text.frozen
        self._wrap()
        self.identity = {
            "model": self.model.config.to_dict(),
            "train": config.to_dict() | {"device": None, "init": None},
            "init": digest,  # by its weights: where they lie makes no difference
            "data": store.fingerprint if streaming else dataset.fingerprint,
            "devices": devices,
        }

    def _build(self, config: ModelConfig, store: FeatureStore | StreamStore, training: AudioTextDataset) -> JointModel:
        """Return a new model, which normalises by the levels of its data."""
        moments = {"mel_mean": round(float(store.mean), 3), "mel_std": round(max(float(store.std), 1e-3), 3)}
        config = config.replace(audio=config.audio.replace(**moments))
        torch.manual_seed(self.config.seed)
        return JointModel.build(config, self.config.objective, captions=training.captions_flat()[0])

    def _sources(
        self, dataset: AudioTextDataset, store: FeatureStore | StreamStore
    ) -> tuple[AudioSource | Representations | StreamAudio, TextSource, np.ndarray]:
        """Return sounds, captions, and the index of each caption's clip."""
        ids, config = [clip.id for clip in dataset.clips], self.model.config.audio
        streamed = isinstance(store, StreamStore)
        audio = store.source(ids, config.window_frames) if streamed else AudioSource(store, ids, config.window_frames)
        given = {"device": self.device, "cache_dir": self.cache_dir, "progress": self.progress and self.main}
        # What a frozen encoder makes of streamed sounds has no room either: it runs in every step.
        if config.frozen and isinstance(audio, AudioSource):
            audio = Representations(audio.store, ids, self.model.audio.encoder, config, **given)
        tower, (captions, clip_of) = self.model.text, dataset.captions_flat()
        given |= {"frozen": tower.frozen, "precision": self.config.precision}  # captions: as a step would compute them
        return audio, TextSource(tower.encoder, captions, **given), np.asarray(clip_of)

    def _standardise(self, audio: Representations | StreamAudio, store: FeatureStore | StreamStore) -> None:
        """Let an encoder that standardises its representations do so by those of the training split."""
        encoder = self.model.audio.encoder
        if isinstance(audio, Representations):
            h = audio.sample()
        else:  # streamed
            h = torch.cat([raw(encoder, part.to(self.device)) for part in store.windows.split(64)])
        encoder.standardise_by(h.to(self.device))

    def _wrap(self) -> None:
        """Optimiser, and what the flags ask for, around the bare model."""
        config = self.config
        if config.sync_batchnorm and self.accelerator.num_processes > 1:
            self.model = torch.nn.SyncBatchNorm.convert_sync_batchnorm(self.model)
        self.trained = [p for p in self.model.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in self.trained if p.dim() > 1], "weight_decay": config.weight_decay},
            {"params": [p for p in self.trained if p.dim() <= 1], "weight_decay": 0.0},  # biases, norms, temperature
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=config.lr, fused=True)
        self.wrapped = self.accelerator.prepare(self.model)

    def run(self, *, callbacks: Sequence[Callback], tensorboard: bool, resume: bool) -> Trained:
        """Train to the end, from the last checkpoint on if there is one."""
        config, folder = self.config, self.out_dir / "training"
        if not resume and self.main:
            checkpoint.clear(self.out_dir)
        self.accelerator.wait_for_everyone()
        found = checkpoint.load(folder, self.model, self.optimizer, self.identity)
        found = found or {"step": 0, "time_s": 0.0, "low_ranks": []}
        low = found["low_ranks"]
        log = TrainLog(
            self.out_dir / "train.jsonl",
            total=config.steps,
            resume_at=found["step"],
            callbacks=callbacks,
            progress=self.progress,
            tensorboard=tensorboard,
            active=self.main,
        )
        began = time.perf_counter() - found["time_s"]
        enough = self.validation is not None and len(self.validation[0]) >= health.FEWEST_CLIPS
        try:
            for step in range(found["step"], config.steps):
                row = self._logged_step(step, log, began)
                if "validation" in row and config.stop_on_collapse and enough:
                    rank = row["validation"]["effective_rank"]
                    low = health.check_collapse(low, rank, step=step + 1, config=config)
                if self.main and ((step + 1) % config.checkpoint_every == 0 or step + 1 == config.steps):
                    state = {"identity": self.identity, "time_s": time.perf_counter() - began, "low_ranks": low}
                    checkpoint.save(folder, step + 1, self.model, self.optimizer, state)
        finally:
            log.close()
        if self.main:
            save_model(self.model, self.out_dir, train=config.to_dict(), step=config.steps)
            checkpoint.end(folder)
        self.accelerator.wait_for_everyone()
        return Trained(self.model, log.history, self.out_dir)

    def _logged_step(self, step: int, log: TrainLog, began: float) -> dict[str, Any]:
        """One optimiser step; measure and log what is due after it, and return the row."""
        started = time.perf_counter()
        terms, lr, tau = self.step(step)
        log.bar.update()
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
            measured = [health.measure(self.model, *self.validation, self.device) if self.main else None]
            row["validation"] = broadcast_object_list(measured)[0]
        if len(row) > 1:
            log.write(row | {"time_s": round(time.perf_counter() - began, 3)})
        return row

    def step(self, step: int) -> tuple[dict[str, torch.Tensor], float, float]:
        """Gradients of the whole batch, one optimiser step, one EMA update; return loss terms, learning rate and
        tau."""
        config = self.config
        if not self.wrapped.training:  # a walk through all modules, frozen ones too
            self.wrapped.train()
        lr = warmup_cosine(step=step, total=config.steps, warmup_fraction=config.warmup_fraction, peak=config.lr)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        # Gradients stay where they are: given back and made anew amid the activations of an encoder, they would break
        # up the heap. Heads alone have few, and save the time to clear and to add.
        self.optimizer.zero_grad(set_to_none=self.model.audio.frozen and self.model.text.frozen)
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
        end = config.tau if config.tau_end is None else config.tau_end
        tau = tau_schedule(step=step, total=config.steps, start=config.tau, end=end)
        self._update_targets(tau)
        return terms, lr, tau

    @torch.no_grad()
    def _update_targets(self, tau: float) -> None:
        if self.accelerator.num_processes > 1:  # each device saw its own rows: the statistics of all count
            for buffer in self.model.buffers():
                if buffer.is_floating_point():
                    torch.distributed.all_reduce(buffer)
                    buffer /= self.accelerator.num_processes
        if self.model.has_predictor:
            update_target(self.model.target_audio, self.model.audio, tau=tau)
            update_target(self.model.target_text, self.model.text, tau=tau)


def _splits(dataset: AudioTextDataset, usable: set[str]) -> list[AudioTextDataset]:
    """Return the usable clips of the splits "train" and "validation"."""
    parts = [[clip for clip in dataset if clip.split == split] for split in ("train", "validation")]
    training, validation = (dataset.with_clips(clip for clip in part if clip.id in usable) for part in parts)
    if not len(training):
        raise DataError(
            f"{dataset.name}: no usable clip is in the split 'train' (splits: {dataset.splits or 'none'}): "
            "give the table a column 'split', or divide it by data.make_splits and data.write_table"
        )
    return [training, validation.described()]
