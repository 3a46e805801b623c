"""Sound that soundfile cannot read, decoded in order by FFmpeg (PyAV): AAC, ALAC, WMA, WavPack, Opus in WebM ..."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from slapkit.errors import AudioError

# By name, so that a file which is a playlist opens nothing else.
_FORMATS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,eac3,flac,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpc,mpc8,"
    "mpeg,mpegts,ogg,rm,tak,tta,voc,w64,wav,wv"
)
_OPTIONS = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
_LAX = {"options": _OPTIONS, "metadata_errors": "replace"}  # tags in Shift-JIS or Latin-1 say nothing of the sound
_EXACT = ("flac", "mov,mp4,m4a,3gp,3g2,mj2", "mp3", "wv")  # their time stamps name samples: a place can be sought
_ESTIMATED = ("aac", "ac3", "dts", "eac3", "mp3", "mpeg", "mpegts")  # their length is a guess from the bit rate
_LEAD_S = 0.5  # decoded before a place that was sought, and thrown away: a decoder needs what comes before
_BLOCK_S = 1.0
REMEDY = "if a player plays it, convert it (`ffmpeg -i FILE NEW.flac`)"
_MOST_BAD = 0.1  # of the packets, that cannot be decoded


def sound_digest(path: Path) -> str:
    """Return the SHA-256 of the packets of a file's sound, which tags leave alone; "" where none can be read."""
    import av

    digest, count = hashlib.sha256(), 0
    try:
        with av.open(f"file:{os.path.abspath(path)}", **_LAX) as container:
            stream = container.streams.audio[0]
            digest.update(f"{stream.codec_context.name} {stream.rate} {stream.codec_context.extradata!r}".encode())
            for packet in container.demux(stream):
                digest.update(bytes(packet))
                count += packet.size
    except (av.FFmpegError, OSError, IndexError, AttributeError):
        return ""
    return digest.hexdigest() if count else ""


class Media:
    """The sound of an open file, read in order: `rate` (Hz); `frames`, which the header promises, or None."""

    def __init__(self, path: Path, name: str, *, promised: bool) -> None:
        self._path, self._name, self._container = path, name, None
        self._open()
        container, stream = self._container, self._stream
        self._kind = container.format.name
        lasts = stream.duration and stream.duration * stream.time_base
        lasts = lasts or (container.duration and container.duration / 1e6)
        first = self._first()
        self.rate, self._origin = first.sample_rate, first.pts  # of the sound, which a header of HE-AAC halves
        self.estimated_s = float(lasts) if lasts else float("inf")
        self.frames = round(lasts * self.rate) if lasts and promised and self._kind not in _ESTIMATED else None

    def close(self) -> None:
        """Close the file."""
        if self._container is not None:
            self._container.close()

    def tags(self) -> dict[str, str]:
        """Return the tags by their names in lower case."""
        found = {**self._stream.metadata, **self._container.metadata}
        return {key.lower(): value for key, value in found.items()}

    def count(self) -> int:
        """Return how many frames all packets hold."""
        self._open()
        ticks = sum(packet.duration or 0 for packet in self._packets())
        self._restart()
        return round(ticks * self._stream.time_base * self.rate)

    def blocks(self, first: int, wanted: int | None) -> Iterator[np.ndarray]:
        """Yield up to `wanted` frames (None: all) from `first` on, float32 `[C, n]`."""
        self._go_to(first)
        end = np.inf if wanted is None else first + wanted
        while self._at < end and (self._left is not None or self._decode()):
            skipped = max(0, min(first - self._at, self._left.shape[1]))
            taken = int(min(self._left.shape[1], end - self._at))
            block, rest = self._left[:, skipped:taken], self._left[:, taken:]
            self._at, self._left = self._at + taken, rest if rest.shape[1] else None
            if block.shape[1]:
                yield block

    def _open(self) -> None:
        """Open the file, anew where it is open: to seek its start would find that of the last link of a chain."""
        import av

        self.close()
        container = self._container = av.open(f"file:{os.path.abspath(self._path)}", **_LAX)
        if not container.streams.audio:
            found = ", ".join(stream.type for stream in container.streams) or "nothing"
            raise AudioError(f"{self._name} holds no sound (found: {found})")
        self._stream, self._frames = container.streams.audio[0], self._decoded()
        if self._stream.codec_context is None:
            unknown = "its sound is of an unknown or protected kind"
            raise AudioError(f"{self._name} cannot be decoded: {unknown}; {REMEDY}")

    def _first(self):
        """Return the first frame, which becomes what is left."""
        first = next(self._frames, None)
        if first is None:
            why = "damaged" if self._bad else "not audio, or it holds no samples: zero length"
            raise AudioError(f"{self._name} cannot be decoded: {why}; {REMEDY}")
        self._at, self._left = 0, _samples(first)
        return first

    def _restart(self) -> None:
        self._open()
        self._first()

    def _go_to(self, first: int) -> None:
        """Bring the decoder to a place, or before it."""
        ahead = first - self._at - (0 if self._left is None else self._left.shape[1])
        if first < self._at:
            self._restart()
            ahead = first
        if self._kind not in _EXACT or self._origin is None or ahead < 2 * _LEAD_S * self.rate:
            return
        ticks = (first / self.rate - _LEAD_S) / self._stream.time_base
        self._container.seek(self._origin + round(ticks), stream=self._stream)
        self._frames = self._decoded()
        found = next(self._frames, None)
        if found is not None and found.pts is not None:
            at = round((found.pts - self._origin) * self._stream.time_base * self.rate)
            if 0 <= at <= first:
                self._at, self._left = at, _samples(found)
                return
        self._restart()

    def _decode(self) -> bool:
        """Take in about a second; say whether there was more."""
        parts, size = [], 0
        for frame in self._frames:
            if frame.sample_rate != self.rate:
                changed = f"from {self.rate} to {frame.sample_rate} Hz at {(self._at + size) / self.rate:.1f} s"
                raise AudioError(f"{self._name} changes its sample rate {changed}: {REMEDY}")
            part = _samples(frame)
            if parts and len(part) != len(parts[0]):  # other channels from here on
                part, *parts = (block.mean(axis=0, keepdims=True) for block in (part, *parts))
            parts.append(part)
            size += part.shape[1]
            if size >= _BLOCK_S * self.rate:
                break
        self._left = np.concatenate(parts, axis=1) if parts else None
        return bool(parts)

    def _packets(self):
        import av

        with contextlib.suppress(av.FFmpegError):  # what is cut off ends here
            yield from self._container.demux(self._stream)

    def _decoded(self):
        import av

        count = self._bad = 0  # packets of this pass
        for packet in self._packets():
            count += 1
            try:
                yield from packet.decode()
            except av.FFmpegError:
                self._bad += 1
        if self._bad > max(1, _MOST_BAD * count):  # the last one may be cut off
            raise AudioError(f"{self._name} is damaged: {self._bad} of {count} packets hold no sound")


@contextlib.contextmanager
def opened(path: Path, name: str, *, promised: bool = True) -> Iterator[Media]:
    """Open a file; unless `promised`, the length in its header is not believed. An `AudioError` says that it holds no
    sound that can be decoded."""
    import av

    try:
        with contextlib.closing(Media(path, name, promised=promised)) as media:
            yield media
    except av.FFmpegError as error:
        raise AudioError(f"{name} cannot be decoded: not audio, damaged, or of an unknown format; {REMEDY}") from error


def _samples(frame) -> np.ndarray:
    """Return the samples of a decoded frame, float32 `[C, n]` of full scale 1."""
    x = frame.to_ndarray()
    if not frame.format.is_planar:
        x = x.reshape(-1, frame.layout.nb_channels).T
    if x.dtype == np.uint8:
        return (x.astype(np.float32) - 128) / 128
    scale = 1 if np.issubdtype(x.dtype, np.floating) else -float(np.iinfo(x.dtype).min)
    return x.astype(np.float32) / np.float32(scale)
