"""Rhythm, timbre and tonality of a window, by signal processing: what an encoder trained for tags leaves out.

None depends on the absolute level, and rhythm, tonality and texture on the key neither. Names follow Grosche and Müller
(tempogram) and Krumhansl (profiles).
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from slapkit.audio.pitches import MIDI, STEP

RANGE_DB = 60.0  # below the loudest band of a window, nothing counts as an onset
_TIMBRE_DB = 80.0  # nor as a sound
TEMPI = tuple(30 * 2 ** (i * 3.5 / 48) for i in range(48))  # beats a minute, 30 to 323
_SMOOTH_S = 1.0  # the novelty curve's own mean over so long is taken away
_BLUR = 5  # frames: onsets a frame early or late still agree
_GROUPS = 4  # all bands, and the low, middle and high ones
_INTERVALS = 29  # semitones
# Krumhansl and Kessler's profiles: how well each pitch class fits a key, from its tonic up.
_MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
_MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
# Width of each part, and its weight beside thousands of an encoder's channels, among which few would hardly be heard.
DESCRIPTORS = {
    "rhythm": (_GROUPS * (len(TEMPI) + 3), 1.5),
    "timbre": (3 * 96, 1.0),
    "register": (len(MIDI), 1.0),
    "tonality": (15, 6.0),
    "texture": (_INTERVALS, 1.5),
}


def describe(mel: Tensor, pitches: Tensor, hop_s: float) -> Tensor:
    """Return all `DESCRIPTORS` `[B, 604]` of a log-mel `[B, frames, 96]` (dB) and pitches `[B, frames, 68]`."""
    parts = [rhythm(mel, hop_s), timbre(mel), pitches.mean(1), tonality(pitches), texture(pitches)]
    return torch.cat(parts, 1)


def rhythm(mel: Tensor, hop_s: float) -> Tensor:
    """Return the autocorrelation tempogram of a log-mel `[B, frames, bands]` (dB), and how dense its onsets are.

    The novelty curve is the mean rise of the bands from frame to frame, less its local mean, smoothed. For all bands
    and for the low, middle and high ones, `[B, 204]` holds its autocorrelation at the period of each of `TEMPI`,
    divided by that at lag 0, then its mean, its deviation, and the share of frames above the deviation.
    """
    loud = torch.maximum(mel, mel.amax((1, 2), keepdim=True) - RANGE_DB)
    rise = loud.diff(dim=1).relu()
    low, high = mel.shape[2] // 4, 5 * mel.shape[2] // 8
    novelty = torch.stack([part.mean(2) for part in (rise, rise[..., :low], rise[..., low:high], rise[..., high:])], 1)
    reach = round(_SMOOTH_S / hop_s / 2)
    novelty = (novelty - F.avg_pool1d(novelty, 2 * reach + 1, 1, reach)).relu()
    novelty = F.avg_pool1d(novelty, _BLUR, 1, _BLUR // 2)  # [B, 4, frames - 1]
    frames = novelty.shape[2]
    power = torch.fft.rfft(novelty, 2 * frames).abs().square()
    correlation = torch.fft.irfft(power, 2 * frames)[..., :frames] / (frames - torch.arange(frames, device=mel.device))
    least = mel.new_tensor([1e-9])  # no plain number: the optimiser of ONNX graphs takes one so small for zero
    correlation = correlation / (correlation[..., :1] + least)
    lags = torch.tensor(TEMPI, device=mel.device, dtype=mel.dtype).reciprocal() * (60 / hop_s)
    before = lags.floor().long().clamp(max=frames - 2)
    periodic = torch.lerp(correlation[..., before], correlation[..., before + 1], (lags - before).clamp(0, 1))
    deviation, mean = torch.std_mean(novelty, 2, correction=0)
    dense = (novelty > deviation[..., None]).to(mel.dtype).mean(2)
    return torch.cat([periodic, torch.stack([mean, deviation, dense], 2)], 2).flatten(1)


def timbre(mel: Tensor) -> Tensor:
    """Return mean, deviation and mean change from frame to frame of each band, in dB below the loudest of the window:
    `[B, 3 * bands]`."""
    loud = (mel - mel.amax((1, 2), keepdim=True)).clamp(min=-_TIMBRE_DB)
    deviation, mean = torch.std_mean(loud, 1, correction=0)
    return torch.cat([mean, deviation, loud.diff(dim=1).abs().mean(1)], 1)


def tonality(pitches: Tensor) -> Tensor:
    """Return how well the pitches `[B, frames, 68]` of a window fit a major and a minor key: `[B, 15]`.

    These are the correlations with the profiles of the best major and the best minor key, their difference, and the
    standardised mean of the pitch classes, turned so that the tonic of the better key comes first.
    """
    classes = F.one_hot(torch.tensor(MIDI, device=pitches.device) % 12, 12).to(pitches.dtype)
    mean = _standardised(F.normalize(pitches @ classes, dim=2, eps=1e-6).mean(1))
    turned = torch.stack([mean.roll(-tonic, 1) for tonic in range(12)], 1)  # [B, tonic, 12]
    profiles = _standardised(mean.new_tensor([_MAJOR, _MINOR]))
    fits = turned @ profiles.T / 12  # [B, tonic, mode]
    major, minor = fits.amax(1).unbind(1)
    tonic = fits.flatten(1).argmax(1) // 2
    own = turned[torch.arange(len(turned), device=mean.device), tonic]
    return torch.cat([torch.stack([major, minor, major - minor], 1), own], 1)


def texture(pitches: Tensor) -> Tensor:
    """Return which intervals sound together: the autocorrelation of the pitches `[B, frames, 68]` over 1 to 29
    semitones, mean over time, `[B, 29]`."""
    steps = pitches[:, ::STEP]
    return torch.stack([(steps[..., up:] * steps[..., :-up]).sum(2).mean(1) for up in range(1, _INTERVALS + 1)], 1)


def _standardised(x: Tensor) -> Tensor:
    std, mean = torch.std_mean(x, -1, keepdim=True, correction=0)
    return (x - mean) / (std + 1e-6)
