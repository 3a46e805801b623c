"""Refusals of settings that do not fit each other, before any work is done."""

from slapkit.config import require
from slapkit.errors import ConfigError
from slapkit.models import Objective
from slapkit.models.encoders import AudioEncoderConfig
from slapkit.models.joint import ModelConfig
from slapkit.training.batches import shares
from slapkit.training.config import TrainConfig


def check(shape: ModelConfig, config: TrainConfig, devices: int, *, made_for: Objective | None) -> None:
    """Refuse a starting point that was not made, or for another objective (`made_for`, None: there is no model yet); a
    batch that cannot be divided; and BatchNorm on a single row."""
    if made_for is None and config.init is not None:
        raise ConfigError(f"init={config.init!r}: pass model=slapkit.hub.start_from(model, objective, init)")
    if made_for not in (None, config.objective):
        raise ConfigError(f"objective={config.objective!r}, but the model was made for {made_for!r}")
    heads = [shape.audio_projector, shape.text_projector, *([shape.predictor] if config.objective == "slap" else [])]
    share, micro = shares(config, devices)
    rows = share if config.exact_accumulation else micro
    if config.sync_batchnorm:
        rows *= devices
    if rows == 1 and any(head.batch_norm for head in heads):
        name, value = ("batch_size", config.batch_size) if share == 1 else ("micro_batch", config.micro_batch)
        raise ConfigError(
            f"{name}={value} gives BatchNorm in the heads one pair to normalise by: take at least 2 pairs a device, "
            "exact_accumulation=True, or heads with batch_norm=False"
        )


def check_masks(audio: AudioEncoderConfig, config: TrainConfig) -> None:
    """Refuse masks of SpecAugment that are wider than a window."""
    frontend = audio.frontend
    if not config.masks:
        return
    short = round(config.time_mask_s / frontend.hop_s) <= audio.window_frames
    require(short, "time_mask_s", config.time_mask_s, f"0 to {audio.window_s} s, the length of a window")
    narrow = frontend.kind == "wave" or config.freq_mask <= frontend.n_mels
    require(narrow, "freq_mask", config.freq_mask, f"0 to {frontend.n_mels} mel bands")
