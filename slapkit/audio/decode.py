"""Sound files and arrays to mono float32 at one rate, and a clear error for what cannot be used.

Files are read by soundfile (WAV, FLAC, Ogg Vorbis, Opus, MP3, AIFF ...), channels are averaged, and the rate is
changed by soxr. Both packages are imported only here, when a sound is really read.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from slapkit.errors import AudioError, SlapkitError

MEDIA_TYPES = {  # of what browsers play
    ".ogg": "audio/ogg", ".opus": "audio/ogg", ".oga": "audio/ogg", ".mp3": "audio/mpeg", ".wav": "audio/wav",
    ".flac": "audio/flac",
}  # fmt: skip
SILENCE = 1e-4  # peak, full scale 1 (-80 dB): below this there is nothing to learn from
LOUDEST = 1e3  # peak, full scale 1: floats beyond this are not sound (wrong type, wrong byte order)
_RATES = (1000, 1_000_000)  # Hz: a damaged header's rate of 1 Hz would swell a second to an hour
_BLOCK_S = 30.0  # s, decoded at a time, so that channels are mixed before the next ones arrive
# A frame of MP3 may need bits of frames before it (up to 511 bytes, 0.13 s at 32 kbit/s), more of them than the decoder
# goes back by itself: so much is decoded before a part of a file, and thrown away.
_LEAD_S = 0.5
_COMPLETE = 0.9  # of the declared length: less than this and the file was cut off


def _package(name: str):
    """Import `name`, or raise `SlapkitError` saying how to get it."""
    import importlib

    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:
        raise SlapkitError(
            f"the package {name!r} is needed to decode or resample audio and cannot be imported ({error}): "
            f"install it with `pip install {name}`; cached features need neither"
        ) from error


def read(
    path: str | os.PathLike[str], *, sample_rate: int, start_s: float = 0.0, duration_s: float | None = None,
    reject_silent: bool = False,
) -> np.ndarray:  # fmt: skip
    """Read an audio file, or a part of it, as mono at `sample_rate` (Hz): float32 `[T]`.

    Args:
        start_s: where to begin, in s; what is before is not decoded.
        duration_s: how much to read, in s; None reads to the end. Less comes back where the file ends earlier.
        reject_silent: refuse a sound whose peak stays under -80 dB of full scale.

    Raises:
        AudioError: the file is missing, empty, not audio, damaged or cut off, holds no samples (from `start_s` on),
            holds NaN, infinity or absurd values, or is silent where that is refused.
    """
    with opened(path) as sound:
        return sound.read(sample_rate=sample_rate, start_s=start_s, duration_s=duration_s, reject_silent=reject_silent)


class OpenSound:
    """An open audio file. Its header says `duration_s` (s); a cut-off file promises more than can be read."""

    def __init__(self, file, name: str) -> None:
        self._file, self.name = file, name
        self.rate, self.declared = file.samplerate, file.frames
        self.duration_s = self.declared / self.rate

    def read(
        self, *, sample_rate: int, start_s: float = 0.0, duration_s: float | None = None, reject_silent: bool = False
    ) -> np.ndarray:
        """Return a part as mono, float32 `[T]`; arguments and errors are those of `read`."""
        name, rate, declared = self.name, self.rate, self.declared
        if not (np.isfinite(start_s) and start_s >= 0 and (duration_s is None or duration_s > 0)):
            needed = "start >= 0 and length > 0 needed"
            raise AudioError(f"cannot read {name} from {start_s} s for {duration_s} s: {needed}")
        first = round(start_s * rate)
        if first and first >= declared:
            raise AudioError(f"{name} lasts {self.duration_s:.2f} s: nothing is left from {start_s} s on")
        wanted = None if duration_s is None else max(1, round(duration_s * rate))
        wave = _mono_blocks(self._file, first, wanted)
        expected = max(0, declared - first) if wanted is None else min(wanted, max(0, declared - first))
        if 0 < len(wave) < _COMPLETE * expected:
            can = f"{len(wave) / rate:.2f} s can be decoded"
            raise AudioError(f"{name} is cut off: its header promises {expected / rate:.2f} s, {can}")
        return from_array(wave, rate, sample_rate, reject_silent=reject_silent, name=name)


@contextlib.contextmanager
def opened(path: str | os.PathLike[str], *, name: str | None = None) -> Iterator[OpenSound]:
    """Open an audio file, so that its length is known before a part of it is chosen.

    Messages call it `name`, by default its path. Raises what `read` raises.
    """
    path = Path(path)
    _check_file(path)
    name, soundfile = str(path) if name is None else name, _package("soundfile")
    try:
        with soundfile.SoundFile(path) as file:
            yield OpenSound(file, name)
    except SlapkitError:  # some are ValueErrors too, and say already what is wrong
        raise
    except soundfile.SoundFileError as error:
        raise AudioError(f"{name} cannot be decoded: not audio, damaged, or of an unknown format ({error})") from error
    except (OSError, ValueError, MemoryError) as error:
        raise AudioError(f"{name} cannot be read: {error}") from error


def _check_file(path: Path) -> None:
    """Raise `AudioError` unless `path` is a file with something in it."""
    try:
        if path.is_dir():
            raise AudioError(f"{path} is a folder, not a sound file")
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise AudioError(f"{path} does not exist") from error
    except (OSError, ValueError) as error:
        raise AudioError(f"{str(path)!r} cannot be opened: {error}") from error
    if size == 0:
        raise AudioError(f"{path} is empty (0 bytes): it was probably not written to the end")


def _mono_blocks(file, first: int, wanted: int | None) -> np.ndarray:
    """Decode up to `wanted` frames (None: all) from `first` on, averaging the channels: float32 `[T]`."""
    block, parts, at, left = max(1, round(_BLOCK_S * file.samplerate)), [], first, wanted
    lead_of_format = round(_LEAD_S * file.samplerate) if file.format == "MP3" else 0
    while left is None or left > 0:
        # soundfile seeks after every read, so every block begins anew, and lead and block must be read in one go.
        lead = min(at, lead_of_format)
        if file.tell() != at - lead:
            file.seek(at - lead)
        frames = lead + (block if left is None else min(block, left))
        data = file.read(frames, dtype="float32", always_2d=True)[lead:]
        if len(data) == 0:
            break
        parts.append(_mix(data.T))
        at, left = at + len(data), None if left is None else left - len(data)
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)


def _mix(x: np.ndarray) -> np.ndarray:
    """Return the mean over the channels of `[C, T]`, float32 `[T]`."""
    return x[0].astype(np.float32, copy=True) if len(x) == 1 else x.mean(axis=0, dtype=np.float32)


def from_array(
    x: np.ndarray, sample_rate: int, target: int, *, reject_silent: bool = False, name: str = "the array"
) -> np.ndarray:
    """Return samples `x`, `[T]` or `[C, T]`, floating point of full scale 1, as mono at the rate `target` (Hz).

    Returns:
        float32 `[T']`.

    Raises:
        AudioError: another shape or type, no samples, NaN, infinity or absurd values, a rate that is not positive,
            or silence where that is refused.
    """
    x = np.asarray(x)
    if not np.issubdtype(x.dtype, np.floating):
        raise AudioError(f"{name} has type {x.dtype}: floating point in [-1, 1] needed (divide int16 by 32768)")
    if x.ndim not in (1, 2):
        raise AudioError(f"{name} has shape {list(x.shape)}: [T], or [C, T] with one channel a row, needed")
    if x.ndim == 2 and x.shape[0] > x.shape[1] > 0:
        raise AudioError(f"{name} has shape {list(x.shape)}, more channels than samples: give [C, T], not [T, C]")
    if x.size == 0:
        raise AudioError(f"{name} holds no samples: zero length")
    for label, rate in (("sample_rate", sample_rate), ("target", target)):
        if isinstance(rate, bool) or not isinstance(rate, (int, np.integer)) or rate < 1:
            raise AudioError(f"{label}={rate!r} of {name} must be a whole number of Hz, at least 1")
    if not _RATES[0] <= sample_rate <= _RATES[1]:
        raise AudioError(f"{name} claims {sample_rate} samples a second: {_RATES[0]} to {_RATES[1]} Hz can be used")
    with np.errstate(over="ignore", invalid="ignore"):
        wave = _mix(np.atleast_2d(x))
    peak = max(float(wave.max()), -float(wave.min()))  # NaN compares false with everything, so test it first
    if not np.isfinite(wave).all():
        bad = np.flatnonzero(~np.isfinite(wave))
        raise AudioError(f"{name} holds {len(bad)} NaN or infinite samples, the first at {bad[0] / sample_rate:.3f} s")
    if peak > LOUDEST:
        raise AudioError(f"{name} reaches {peak:.3g} where full scale is 1: not sound, or samples of another type")
    if reject_silent and peak < SILENCE:
        raise AudioError(f"{name} is silent: its peak is {peak:.1e} of full scale, less than {SILENCE:.0e}")
    if sample_rate == target:
        return np.ascontiguousarray(wave)
    resampled = _package("soxr").resample(wave, sample_rate, target, quality="HQ")
    if len(resampled) == 0:
        raise AudioError(f"{name} holds {len(wave)} samples at {sample_rate} Hz: nothing is left at {target} Hz")
    return resampled
