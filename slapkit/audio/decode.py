"""Sound files and arrays to mono float32 at one rate, and a clear error for what cannot be used.

Files are read by soundfile (WAV, FLAC, Ogg Vorbis, Opus, MP3, AIFF ...), and by FFmpeg what it cannot read, or not to
the end. Channels are averaged, and the rate is changed by soxr. The packages are imported when a sound is really read.
"""

import contextlib
import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from slapkit._io import as_file, size_and_time
from slapkit.audio import lengths, media
from slapkit.errors import AudioError, SlapkitError

MEDIA_TYPES = {  # of what browsers play as it is
    ".ogg": "audio/ogg", ".opus": "audio/ogg", ".oga": "audio/ogg", ".mp3": "audio/mpeg", ".wav": "audio/wav",
    ".flac": "audio/flac",
}  # fmt: skip
AUDIO_SUFFIXES = (  # of sound files: what has one of them is decoded, or listed with the reason why not
    *MEDIA_TYPES, ".aif", ".aiff", ".aifc", ".au", ".caf", ".w64", ".mp2", ".m4a", ".m4b", ".m4p", ".mp4", ".m4v",
    ".mov", ".aac", ".wma", ".asf", ".wv", ".webm", ".mka", ".mkv", ".tta", ".ac3", ".ape", ".mpc", ".dsf",
    ".wave", ".snd", ".mpga", ".3gp", ".avi", ".eac3", ".voc", ".amr", ".spx", ".dts", ".ra", ".rm", ".tak", ".bwf",
)  # fmt: skip
SILENCE = 1e-4  # peak, full scale 1 (-80 dB): below this there is nothing to learn from
LOUDEST = 1e3  # peak, full scale 1: floats beyond this are not sound (wrong type, wrong byte order)
_RATES = (1000, 1_000_000)  # Hz: a damaged header's rate of 1 Hz would swell a second to an hour
_BLOCK_S = 30.0  # s, decoded at a time, so that channels are mixed before the next ones arrive
# A frame of MP3 may need bits of frames before it (up to 511 bytes, 0.13 s at 32 kbit/s), more of them than the decoder
# goes back by itself: so much is decoded before a part of a file, and thrown away.
_LEAD_S = 0.5
_CUT = "fetch it again, or keep what is there (`ffmpeg -i FILE NEW.flac`)"


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


class Ended(AudioError):
    """A file that ended a little before its header says; the open file has the right length by now."""


class _Soundfile:
    """The sound of a file that soundfile has opened; as `media.Media`, which goes on where it fails."""

    def __init__(self, file, path: Path, name: str) -> None:
        self._file, self._path, self._name = file, path, name
        self.rate, self.frames = file.samplerate, file.frames
        self.estimated_s = self.frames / self.rate

    def blocks(self, first: int, wanted: int | None) -> Iterator[np.ndarray]:
        """Yield up to `wanted` frames (None: all) from `first` on, float32 `[C, n]`."""
        file, at, left = self._file, first, wanted
        block, lead_of_format = round(_BLOCK_S * self.rate), round(_LEAD_S * self.rate) if file.format == "MP3" else 0
        while left is None or left > 0:
            # soundfile seeks after every read, so every block begins anew, and lead and block must be read in one go.
            lead = min(at, lead_of_format)
            try:
                if file.tell() != at - lead:
                    file.seek(at - lead)
                frames = lead + (block if left is None else min(block, left))
                data = file.read(frames, dtype="float32", always_2d=True)[lead:]
            except _package("soundfile").SoundFileError:
                with media.opened(self._path, self._name) as other:
                    yield from other.blocks(at, left)
                return
            if len(data) == 0:
                return
            yield data.T
            at, left = at + len(data), None if left is None else left - len(data)


class OpenSound:
    """An open audio file, of `rate` Hz. Its header suggests that it lasts `estimated_s` (s; inf: it does not say)."""

    def __init__(self, source: "_Soundfile | media.Media", name: str) -> None:
        self._source, self.name = source, name
        self.rate, self.estimated_s = source.rate, source.estimated_s

    @cached_property
    def frames(self) -> int:
        """Number of frames: what the header promises, or else what was counted in the file."""
        return self._source.count() if self._source.frames is None else self._source.frames

    @property
    def duration_s(self) -> float:
        """Length in s, by `frames`."""
        return self.frames / self.rate

    def read(
        self, *, sample_rate: int, start_s: float = 0.0, duration_s: float | None = None, reject_silent: bool = False
    ) -> np.ndarray:
        """Return a part as mono, float32 `[T]`; arguments and errors are those of `read`."""
        if not (np.isfinite(start_s) and start_s >= 0 and (duration_s is None or duration_s > 0)):
            needed = "start >= 0 and length > 0 needed"
            raise AudioError(f"cannot read {self.name} from {start_s} s for {duration_s} s: {needed}")
        first = round(start_s * self.rate)
        wanted = None if duration_s is None else max(1, round(duration_s * self.rate))
        if first and first >= self.frames:
            raise AudioError(f"{self.name} lasts {self.duration_s:.2f} s: nothing is left from {start_s} s on")
        wave = self._mono(first, wanted)
        if wanted is None or len(wave) < wanted:
            self._end(first + len(wave) if len(wave) or not first else sum(map(np.size, self._mixed(0, None))))
        if first and not len(wave):
            raise Ended(f"{self.name} ends after {self.duration_s:.2f} s: nothing is left from {start_s} s on")
        if reject_silent and len(wave) and is_silent(wave):
            raise AudioError(self.silence(first, wanted))
        return from_array(wave, self.rate, sample_rate, name=self.name)

    def pieces(self, *, sample_rate: int, seconds: float) -> Iterator[np.ndarray]:
        """Yield the sound in order to its end, mono float32 `[T]`, so many seconds at a time.

        What is left over goes with the last piece. Raises as `read`.
        """
        step, at, held = round(seconds * self.rate), 0, np.zeros(0, dtype=np.float32)
        while True:
            wave = self._mono(at, step)
            at += len(wave)
            if len(wave) < step:
                break
            if len(held):
                yield from_array(held, self.rate, sample_rate, name=self.name)
            held = wave
        self._end(at)
        yield from_array(np.concatenate([held, wave]), self.rate, sample_rate, name=self.name)

    def silence(self, first: int = 0, wanted: int | None = None, where: str = "") -> str:
        """Return why a part is silent as mono, and `where`."""
        blocks = self._source.blocks(first, wanted)
        return _silence(self.name, max((float(np.abs(block).max()) for block in blocks), default=0.0), where)

    def _mixed(self, first: int, wanted: int | None) -> Iterator[np.ndarray]:
        return map(_mix, self._source.blocks(first, wanted))

    def _mono(self, first: int, wanted: int | None) -> np.ndarray:
        parts = list(self._mixed(first, wanted))
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)

    def _end(self, frames: int) -> None:
        """Take note of where decoding ended; raise `AudioError` if that is long before what the header promises."""
        promised, self.frames = self._source.frames, frames
        if promised and lengths.is_short(frames, promised):
            promise = f"its header promises {promised / self.rate:.2f} s, {frames / self.rate:.2f} s can be decoded"
            raise AudioError(f"{self.name} is cut off: {promise}; {_CUT}")


@contextlib.contextmanager
def opened(path: str | os.PathLike[str], *, name: str | None = None) -> Iterator[OpenSound]:
    """Open an audio file, so that its length is known before a part of it is chosen.

    It may be a member of a tar, `shard.tar/name`. Messages call it `name`, by default its path. Raises as `read`.
    """
    name = str(path) if name is None else name
    _check_file(Path(path))
    try:
        with as_file(path) as file, _source(Path(file), name) as source:
            yield OpenSound(source, name)
    except (OSError, ValueError, MemoryError) as error:
        if isinstance(error, SlapkitError):  # some are ValueErrors too, and say already what is wrong
            raise
        raise AudioError(f"{name} cannot be read: {error}") from error


@contextlib.contextmanager
def _source(path: Path, name: str) -> Iterator["_Soundfile | media.Media"]:
    """Open a file by soundfile, or by FFmpeg where soundfile cannot, or would not read it to its end."""
    soundfile = _package("soundfile")
    with contextlib.ExitStack() as stack:
        lacks, file, promised = lengths.missing(path), None, not lengths.is_open(path)
        if promised and not lacks:
            with contextlib.suppress(soundfile.SoundFileError):
                file = stack.enter_context(soundfile.SoundFile(path))
        if file is not None:
            lacks, promised = lengths.missing(path, file.extra_info), 0 < file.frames < 2**62
        if lacks:
            raise AudioError(f"{name} is cut off: {lacks}; {_CUT}")
        if file is not None and promised:
            yield _Soundfile(file, path, name)
        else:
            _package("av")
            yield stack.enter_context(media.opened(path, name, promised=promised))


def duration_s(path: str | os.PathLike[str]) -> float:
    """Return how long an audio file lasts, in s, by its header or by what was counted; 0 where it cannot be opened."""
    try:
        with opened(path) as sound:
            return sound.duration_s
    except AudioError:
        return 0.0


def _check_file(path: Path) -> None:
    """Raise `AudioError` unless `path` is a file with something in it."""
    try:
        if path.is_dir():
            raise AudioError(f"{path} is a folder, not a sound file")
        size, _ = size_and_time(path)
    except FileNotFoundError as error:
        raise AudioError(f"{path} does not exist") from error
    except (OSError, ValueError) as error:
        raise AudioError(f"{str(path)!r} cannot be opened: {error}") from error
    if size == 0:
        raise AudioError(f"{path} is empty (0 bytes): it was probably not written to the end")


def _mix(x: np.ndarray) -> np.ndarray:
    """Return the mean over the channels of `[C, T]`, float32 `[T]`."""
    return x[0].astype(np.float32, copy=True) if len(x) == 1 else x.mean(axis=0, dtype=np.float32)


def is_silent(wave: np.ndarray) -> bool:
    """Say whether the peak of samples stays under -80 dB of full scale."""
    return _peak(wave) < SILENCE


def _peak(wave: np.ndarray) -> float:
    return max(float(wave.max()), -float(wave.min()))


def _silence(name: str, peak: float, where: str = "") -> str:
    """Return why a sound is silent as mono, by the `peak` of its channels."""
    if peak >= SILENCE:
        remedy = "take one of them (`ffmpeg -i FILE -af 'pan=mono|c0=c0' NEW.flac`)"
        return f"{name} is silent{where} as mono: its channels, of peak {peak:.2g}, cancel out; {remedy}"
    return f"{name} is silent{where}: its peak is {peak:.1e} of full scale, less than {SILENCE:.0e}"


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
    if not np.isfinite(wave).all():
        bad = np.flatnonzero(~np.isfinite(wave))
        raise AudioError(f"{name} holds {len(bad)} NaN or infinite samples, the first at {bad[0] / sample_rate:.3f} s")
    if (peak := _peak(wave)) > LOUDEST:
        raise AudioError(f"{name} reaches {peak:.3g} where full scale is 1: not sound, or samples of another type")
    if reject_silent and peak < SILENCE:
        raise AudioError(_silence(name, float(np.abs(x).max())))
    if sample_rate == target:
        return np.ascontiguousarray(wave)
    resampled = _package("soxr").resample(wave, sample_rate, target, quality="HQ")
    if len(resampled) == 0:
        raise AudioError(f"{name} holds {len(wave)} samples at {sample_rate} Hz: nothing is left at {target} Hz")
    return resampled
