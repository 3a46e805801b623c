"""The folder that an export is written into, and what all exports are compared with."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from slapkit._io import sync_file, write_guard
from slapkit.errors import ConfigError, SlapkitError
from slapkit.models.inference import Model

TOLERANCE = 1e-4  # largest difference that an embedding of unit norm may show in any dimension
CAPTIONS = ("a slow waltz for two flutes", "drums", "Bright, hurried fiddle tune over a drone; ends on a long chord.")


class ExportError(SlapkitError):
    """A model that does not fit the form asked for, or an export that does not do what the model does."""


@contextlib.contextmanager
def staged_folder(out: str | Path) -> Iterator[Path]:
    """Yield a new folder beside `out`, which takes its name when the block ends well and goes when it does not.

    Raises:
        ConfigError: `out` is there already and is no empty folder.
        StorageError: the disk is full or does not let us.
    """
    out = Path(out)
    with write_guard(out):
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ConfigError(f"{out} is there already: name a new folder, or remove it")
        staged = out.with_name(f".{out.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
        try:
            staged.mkdir(parents=True)
            yield staged
            for path in staged.rglob("*"):
                if path.is_file():
                    sync_file(path)
            os.replace(staged, out)
        finally:
            shutil.rmtree(staged, ignore_errors=True)


def probe_sounds(model: Model, count: int = 3) -> list[np.ndarray]:
    """Return sounds `[T]` of one window each, at the rate that the model hears: noises of changing colour and level."""
    audio = model.config.audio
    samples = round(audio.window_s * audio.frontend.sample_rate)
    sounds = []
    for number in range(count):
        rng = np.random.default_rng(number)
        noise = rng.standard_normal(samples)
        smooth = np.convolve(noise, np.full(1 + 4 * number, 1 / (1 + 4 * number)), "same")
        sounds.append((0.3 * smooth * np.linspace(1, 0.1, samples)).clip(-1, 1).astype(np.float32))
    return sounds


def require_equal(what: str, found: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference of embeddings `[B, D]`.

    Raises:
        ExportError: it passes `TOLERANCE`, or values are not finite.
    """
    if found.shape != expected.shape:
        raise ExportError(f"{what} gives embeddings {list(found.shape)}, the model {list(expected.shape)}: not written")
    difference = float(np.abs(found - expected).max())
    if not difference <= TOLERANCE:  # NaN too
        raise ExportError(
            f"{what} differs from the model by {difference:.2g} (at most {TOLERANCE:g} may be): it is not written"
        )
    return difference
