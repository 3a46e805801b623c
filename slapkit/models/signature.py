"""The signature of a model: its embeddings of a few made-up sounds and captions, kept in `config.json`.

`slapkit.hub.doctor` compares it with those of the loaded model, and so sees a change of the front end or a tower. A
probe sound is a function of time with partials below `band` Hz, so it needs no resampling at any sampling rate.
"""

import functools
from typing import Any

import numpy as np
import torch

from slapkit.audio.frontend import make_transform
from slapkit.audio.windows import fill
from slapkit.errors import SlapkitError
from slapkit.models.joint import JointModel

SIGNATURE_FORMAT = 2  # goes up when the same model would get other values
SECONDS = 5  # s of a probe sound, a whole number: its noise repeats after this
_COUNT, _WIDTH = 8, 16  # sounds and captions, and coordinates kept of each embedding
_BED = 1e-3  # rms of the noise under everything: empty bands would show rounding errors
CAPTIONS = (
    "a slow and melancholic solo flute over soft strings",
    "fast heavy metal with distorted guitars and double bass drums",
    "a string quartet plays a calm classical movement in a minor key",
    "upbeat electronic dance music with a four on the floor kick",
    "acoustic guitar fingerpicking, warm and intimate",
    "a gospel choir singing and clapping",
    "dark ambient drone with distant metallic noises",
    "traditional Irish jig on fiddle and tin whistle",
)


def signature_of(joint: JointModel) -> dict[str, Any] | None:
    """Return the signature of a model as JSON values, about 4 kB; None where it cannot embed the probes finitely.

    It holds the first coordinates of the embeddings of eight sounds and eight captions, and of a log-mel front end the
    mean of each band in dB.
    """
    modes = {module: module.training for module in joint.modules()}
    try:
        with torch.no_grad():
            values = _measured(joint.eval())
    except (SlapkitError, RuntimeError, ValueError, TypeError):  # it must not keep a trained model from being saved
        return None
    finally:
        for module, mode in modes.items():
            module.training = mode
    if not all(np.isfinite(value).all() for value in values.values()):
        return None
    return {"format": SIGNATURE_FORMAT} | {name: np.round(value, 5).tolist() for name, value in values.items()}


def _measured(joint: JointModel) -> dict[str, np.ndarray]:
    audio, device = joint.config.audio, next(joint.parameters()).device
    frontend = audio.frontend
    waves = np.stack(probe_sounds(frontend.sample_rate, count=_COUNT))
    waves = fill(waves, round(frontend.min_s * frontend.sample_rate), frontend.padding)
    features = make_transform(frontend).to(device)(torch.from_numpy(waves).to(device))[:, : audio.window_frames]
    tokens = {name: ids.to(device) for name, ids in joint.text.encoder.tokenize(list(CAPTIONS)).items()}
    values = {}
    for name, inputs in (("audio", features), ("text", tokens)):
        embedded = torch.nn.functional.normalize(joint.embed(inputs, name)[1].cpu().double(), dim=-1)
        values[name] = embedded[:, :_WIDTH].numpy()
    if frontend.kind == "log-mel":
        values["frontend"] = features.cpu().double().mean(dim=(0, 1)).numpy()
    return values


@functools.lru_cache(maxsize=4)
def probe_sounds(
    sample_rate: int, *, band: float | None = None, count: int = 24, seed: int = 0
) -> tuple[np.ndarray, ...]:
    """Return probe sounds, float32 `[SECONDS * sample_rate]` each, of rms 0.05 to 0.1: notes, noises and sweeps.

    No partial is above `band` Hz; default: what a resampler from 22,050 Hz leaves alone.
    """
    band = min(9900.0, 0.45 * sample_rate) if band is None else band
    time = np.arange(SECONDS * sample_rate) / sample_rate
    sounds = []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        wave = (_notes, _noises, _sweep)[number % 3](time, band, rng)
        wave *= rng.uniform(0.05, 0.1) / np.sqrt(np.mean(wave**2))
        sounds.append((wave + _BED * _noise(time, 20.0, band, rng)).astype(np.float32))
    return tuple(sounds)


def _notes(time: np.ndarray, band: float, rng: np.random.Generator) -> np.ndarray:
    """A melody of decaying notes, which overlap as chords where they are long."""
    root, step, tilt = np.exp(rng.uniform(np.log(60), np.log(900))), 1 / rng.uniform(0.4, 5.0), rng.uniform(0.7, 2.5)
    per_s, partials, wave = rng.uniform(0.3, 3.0) / step, int(rng.integers(1, 10)), np.zeros(len(time))
    for note in range(int(SECONDS / step)):
        pitch = root * 2 ** (rng.choice([0, 2, 3, 4, 5, 7, 9, 12]) / 12)
        first = np.searchsorted(time, note * step)
        since = time[first:] - note * step
        tone = sum(k**-tilt * np.sin(2 * np.pi * k * pitch * since) for k in range(1, partials + 1) if k * pitch < band)
        wave[first:] += tone * np.exp(-per_s * since) * (1 - np.exp(-since / 0.005))
    return wave


def _noises(time: np.ndarray, band: float, rng: np.random.Generator) -> np.ndarray:
    """Noise in a band, from steady to pulses that die away before the next one."""
    low = np.exp(rng.uniform(np.log(50), np.log(band / 3)))
    beats = rng.uniform(1.0, 8.0)  # a second
    since = time % (1 / beats)
    pulse = np.exp(-max(5 * beats, rng.uniform(8.0, 40.0)) * since) * (1 - np.exp(-since / 0.005))
    pulse += rng.choice([0.0, 0.3])
    return _noise(time, low, min(band, low * rng.uniform(1.3, 8.0)), rng) * pulse


def _sweep(time: np.ndarray, band: float, rng: np.random.Generator) -> np.ndarray:
    """A tone that glides over several octaves, up or down, with a tremolo."""
    low, high = np.exp(rng.uniform(np.log(60), np.log(300))), band * rng.uniform(0.2, 0.9)
    start, rate = (low, np.log(high / low)) if rng.random() < 0.5 else (high, np.log(low / high))
    phase = 2 * np.pi * start * SECONDS / rate * (np.exp(rate * time / SECONDS) - 1)
    return np.sin(phase) * (1 + 0.5 * np.sin(2 * np.pi * rng.uniform(0.3, 6.0) * time))


def _noise(time: np.ndarray, low: float, high: float, rng: np.random.Generator) -> np.ndarray:
    """Noise of rms 1 between two frequencies in Hz, of partials that repeat after `SECONDS`."""
    bins = np.arange(round(low * SECONDS), round(high * SECONDS))
    spectrum = np.zeros(len(time) // 2 + 1, dtype=complex)
    spectrum[bins] = rng.standard_normal(len(bins)) + 1j * rng.standard_normal(len(bins))
    return np.fft.irfft(spectrum, len(time)) * len(time) / (2 * np.sqrt(len(bins)))
