"""What lies between instruments and listener: a room, an equaliser, a medium of limited band, noise and level.

All of it is done on the spectrum of the whole clip, resampling included: three Fourier transforms.
"""

import dataclasses
import math

import numpy as np

PEAK_DB = -1.0  # of full scale, whatever level is drawn
_TAIL_S = 2.0  # of silence after a clip, into which reverberation may run before the end is cut off
_ROOMS = {"dry": 0.5, "small": 0.28, "large": 0.22}  # and how often
_REVERB_S = {"small": (0.3, 0.7), "large": (1.3, 2.6)}  # time in which it decays by 60 dB
_WET_DB = {"small": (-8.0, -2.0), "large": (-8.0, 0.0)}  # energy of the reverberation against the direct sound
_FADE_S = 0.03  # at the end of a clip


@dataclasses.dataclass(frozen=True)
class Chain:
    """What is done to one clip: 0 of `reverb_s`, `cutoff_hz` and `noise_db` stands for none."""

    room: str
    reverb_s: float
    wet_db: float
    tilt_db: float  # gain for each octave above 1 kHz, and loss below
    cutoff_hz: int  # of a low pass
    noise_db: float  # level of the music above the noise
    level_db: float  # root mean square, of full scale, unless the peaks forbid it


def draw_chain(rng: np.random.Generator) -> Chain:
    """Return what happens to a clip: half of the clips stay nearly dry."""
    room = str(rng.choice(list(_ROOMS), p=list(_ROOMS.values())))
    dry = room == "dry"
    return Chain(
        room=room,
        reverb_s=0.0 if dry else round(float(rng.uniform(*_REVERB_S[room])), 2),
        wet_db=0.0 if dry else round(float(rng.uniform(*_WET_DB[room])), 1),
        tilt_db=0.0 if rng.random() < 0.4 else round(float(rng.uniform(-2.0, 2.0)), 1),
        cutoff_hz=0 if rng.random() < 0.85 else int(1000 * 2 ** rng.uniform(1.8, 3.1)),
        noise_db=round(float(rng.uniform(40.0 if dry else 25.0, 60.0)), 1),
        level_db=round(float(rng.uniform(-26.0, -14.0)), 1),
    )


def apply(wave: np.ndarray, rate: int, out_rate: int, chain: Chain, rng: np.random.Generator) -> np.ndarray:
    """Return a wave `[T]` at `rate` Hz after the chain, float32 `[T * out_rate / rate]` at `out_rate` Hz.

    `rate` and `out_rate` are multiples of 50 Hz, and `out_rate` is not above `rate`.
    """
    from scipy import fft

    steps = fft.next_fast_len(math.ceil(50 * (len(wave) / rate + _TAIL_S)), real=True)  # of 20 ms
    size = steps * out_rate // 50
    spectrum = fft.rfft(wave.astype(np.float32), steps * rate // 50)[: size // 2 + 1] * np.float32(out_rate / rate)
    frequency = np.linspace(0, out_rate / 2, len(spectrum), dtype=np.float32)
    if chain.reverb_s:
        spectrum *= 1 + fft.rfft(_response(chain, out_rate, rng), size) / np.sqrt(1 + (frequency / 5000) ** 2)
    if chain.tilt_db:
        spectrum *= (np.clip(frequency, 60, 12_000) / 1000) ** np.float32(chain.tilt_db / (20 * math.log10(2)))
    if chain.cutoff_hz:
        spectrum /= np.sqrt(1 + (frequency / chain.cutoff_hz) ** 8)
    if chain.noise_db:
        noise = rng.standard_normal((len(spectrum), 2), dtype=np.float32).view(np.complex64)[:, 0]
        noise /= np.sqrt(np.maximum(frequency, 100))  # falls by 3 dB an octave, as most rooms' does
        # The clip is silent in the tail, the noise is not.
        share = np.linalg.norm(spectrum) / np.linalg.norm(noise) * math.sqrt(size / (len(wave) * out_rate / rate))
        spectrum += noise * np.float32(share * 10 ** (-chain.noise_db / 20))
    wave = fft.irfft(spectrum, size)[: round(len(wave) * out_rate / rate)]
    fade = round(_FADE_S * out_rate)
    wave[-fade:] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
    level, peak = float(np.sqrt(np.mean(wave**2))), float(np.abs(wave).max())
    return wave * np.float32(min(10 ** (chain.level_db / 20) / level, 10 ** (PEAK_DB / 20) / peak))


def _response(chain: Chain, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Return the impulse response of a room without the direct sound: noise that decays, after a moment."""
    time = np.arange(round(min(0.75 * chain.reverb_s, _TAIL_S) * rate), dtype=np.float32) / rate
    decay = np.exp(time * np.float32(-math.log(1000) / chain.reverb_s))
    response = rng.standard_normal(len(time), dtype=np.float32) * decay
    response *= np.float32(10 ** (chain.wet_db / 20) / np.linalg.norm(response))
    return np.concatenate([np.zeros(round((0.004 + 0.01 * chain.reverb_s) * rate), dtype=np.float32), response])
