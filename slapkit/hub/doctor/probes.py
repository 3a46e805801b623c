"""Sounds and captions that every model can be asked about, the same in every place and at every sampling rate.

A probe sound is a function of time whose partials lie below `band` Hz, so that it can be written down exactly at
22,050, 44,100 or 48,000 Hz without resampling anything: what differs between two rates is then the model's doing.
"""

from __future__ import annotations

import numpy as np

SECONDS = 5  # whole, for noise repeats itself after this
COUNT = 24
HIGHEST = 9900.0  # Hz: what a resampler from 22,050 Hz leaves untouched
_BED = 1e-3  # rms of the faint noise under everything, without which empty bands would show rounding errors

CAPTIONS = (
    "a slow and melancholic solo flute over soft strings",
    "fast heavy metal with distorted guitars and double bass drums",
    "a string quartet plays a calm classical movement in a minor key",
    "upbeat electronic dance music with a four on the floor kick",
    "acoustic guitar fingerpicking, warm and intimate",
    "a gospel choir singing and clapping",
    "dark ambient drone with distant metallic noises",
    "traditional Irish jig on fiddle and tin whistle",
    "funky slap bass with wah guitar and brass stabs",
    "a lullaby on a music box",
    "reggae with offbeat guitar and deep bass",
    "solo piano, romantic, with much rubato",
    "lo-fi hip hop beat with vinyl crackle",
    "a marching band with snare drums and trumpets",
    "female voice singing opera with an orchestra",
    "bluegrass banjo at a very fast tempo",
    "a church organ playing a fugue",
    "Brazilian samba percussion",
    "jazz trio with brushes, upright bass and piano",
    "a synthesizer arpeggio in the style of the eighties",
    "Indian sitar and tabla, meditative",
    "an accordion waltz from Paris",
    "punk rock with shouted vocals",
    "epic film music with choir and low brass",
    "a cappella barbershop harmony",
    "a harp glissando",
    "drum solo",
    "country ballad with pedal steel guitar",
    "techno, hypnotic and repetitive",
    "Gregorian chant by male voices in a large church",
    "a child playing the recorder out of tune",
    "salsa with piano montuno and congas",
    "blues in twelve bars with harmonica",
    "minimal music for marimbas with shifting patterns",
    "a trap beat with rattling hi-hats and a deep 808 bass",
    "Baroque harpsichord",
    "a soprano saxophone improvises over soft pads",
    "Balkan brass in an odd metre",
    "silence, then a single bell",
    "noise music, harsh and loud",
)


def band_of(sample_rate: int) -> float:
    """Return the highest frequency (Hz) that probe sounds may hold for a model that listens at `sample_rate` Hz."""
    return min(HIGHEST, 0.45 * sample_rate)


def sounds(sample_rate: int, *, band: float, count: int = COUNT, seed: int = 0) -> list[np.ndarray]:
    """Return probe sounds, float32 `[SECONDS * sample_rate]` each, of rms 0.1 at most.

    Chords, band noise, beaten pulses, sweeps, plucked melodies and bells take turns.

    Args:
        sample_rate: in Hz.
        band: no partial above this, in Hz.
        count: how many; the first ones are the same whatever the count.
        seed: another seed gives other sounds.
    """
    time = np.arange(SECONDS * sample_rate) / sample_rate
    made = []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        wave = _FAMILIES[number % len(_FAMILIES)](time, sample_rate, band, rng)
        wave *= 0.1 * rng.uniform(0.5, 1.0) / np.sqrt(np.mean(wave**2))  # the mean square is the same at every rate
        made.append((wave + _BED * _noise(sample_rate, 20.0, band, rng)).astype(np.float32))
    return made


def _noise(sample_rate: int, low: float, high: float, rng: np.random.Generator) -> np.ndarray:
    """Return noise of rms 1 between two frequencies (Hz), made of partials that repeat after `SECONDS`."""
    n = SECONDS * sample_rate
    bins = np.arange(round(low * SECONDS), round(high * SECONDS))
    spectrum = np.zeros(n // 2 + 1, dtype=complex)
    spectrum[bins] = rng.standard_normal(len(bins)) + 1j * rng.standard_normal(len(bins))
    return np.fft.irfft(spectrum, n) * n / (2 * np.sqrt(len(bins)))


def _tone(time: np.ndarray, pitch: float, band: float, *, partials: int, tilt: float) -> np.ndarray:
    """Return a harmonic tone; `tilt` is the power of 1 / k by which partials fall."""
    wave = np.zeros(len(time))
    for k in range(1, partials + 1):
        if k * pitch < band:
            wave += k**-tilt * np.sin(2 * np.pi * k * pitch * time + k)
    return wave


def _decay(time: np.ndarray, per_s: float) -> np.ndarray:
    """Return the envelope of a struck sound, 0 before time 0, with 5 ms of attack."""
    since = np.maximum(time, 0.0)
    return np.exp(-per_s * since) * (1 - np.exp(-since / 0.005))


def _chord(time, sample_rate, band, rng):
    root = np.exp(rng.uniform(np.log(60), np.log(500)))
    third = rng.choice([3, 4])
    tilt, partials = rng.uniform(0.7, 2.0), int(rng.integers(3, 13))
    wave = sum(_tone(time, root * 2 ** (step / 12), band, partials=partials, tilt=tilt) for step in (0, third, 7))
    return wave * (1 + 0.5 * np.sin(2 * np.pi * rng.uniform(0.3, 6.0) * time))


def _band_noise(time, sample_rate, band, rng):
    low = np.exp(rng.uniform(np.log(50), np.log(band / 3)))
    high = min(band, low * rng.uniform(1.3, 8.0))
    return _noise(sample_rate, low, high, rng) * (1.2 + np.sin(2 * np.pi * rng.uniform(0.2, 3.0) * time))


def _pulses(time, sample_rate, band, rng):
    period = 1 / rng.uniform(1.0, 8.0)
    per_s = max(5 / period, rng.uniform(8.0, 40.0))  # silent before the next beat: a step holds all frequencies
    hit = _noise(sample_rate, 0.2 * band, band, rng) * rng.uniform(0.2, 1.0)
    thump = 2 * np.sin(2 * np.pi * rng.uniform(45, 120) * time)
    return hit * _decay(time % period, per_s) + thump * _decay(time % (2 * period), per_s / 2)


def _sweep(time, sample_rate, band, rng):
    low, high = np.exp(rng.uniform(np.log(60), np.log(300))), band * rng.uniform(0.3, 0.9)
    rate = np.log(high / low) / SECONDS
    if rng.random() < 0.5:
        low, rate = high, -rate
    return np.sin(2 * np.pi * low * (np.exp(rate * time) - 1) / rate)


def _melody(time, sample_rate, band, rng):
    root, length = np.exp(rng.uniform(np.log(100), np.log(900))), 1 / rng.uniform(1.5, 7.0)
    per_s = max(2 / length, rng.uniform(2, 12))
    tilt, partials = rng.uniform(0.8, 2.5), int(rng.integers(1, 10))
    wave = np.zeros(len(time))
    for note in range(int(SECONDS / length)):
        pitch = root * 2 ** (rng.choice([0, 2, 4, 5, 7, 9, 12]) / 12)
        part = (time >= note * length) & (time < (note + 3) * length)
        since = time[part] - note * length
        wave[part] += _tone(since, pitch, band, partials=partials, tilt=tilt) * _decay(since, per_s)
    return wave


def _bells(time, sample_rate, band, rng):
    period, wave = SECONDS / int(rng.integers(2, 7)), np.zeros(len(time))
    for frequency in np.exp(rng.uniform(np.log(200), np.log(0.9 * band), int(rng.integers(3, 9)))):
        envelope = _decay(time % period, max(5 / period, rng.uniform(1, 8)))
        wave += rng.uniform(0.2, 1.0) * np.sin(2 * np.pi * frequency * time) * envelope
    return wave


_FAMILIES = (_chord, _band_noise, _pulses, _sweep, _melody, _bells)
