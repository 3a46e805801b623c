"""The sound of a clip as a browser plays it: the file's own bytes where it is short, else an excerpt."""

from __future__ import annotations

import io
from pathlib import Path

from slapkit.audio.decode import MEDIA_TYPES
from slapkit.errors import AudioError

MOST_BYTES = 2_000_000  # of a file that travels as it stands
MOST_S = 30.0  # of an excerpt
EXCERPT_RATE = 24_000  # Hz
_COMPRESSION = 0.8  # of Vorbis: 0 the largest file, 1 the smallest


def sound_of(path: str | Path) -> tuple[bytes, str]:
    """Return the bytes of a clip and their media type: the file where a browser plays it, else its first 30 s as Ogg.

    Raises:
        AudioError: the file is gone, or cannot be read.
    """
    path = Path(path)
    kind = MEDIA_TYPES.get(path.suffix.lower())
    try:
        if kind and path.stat().st_size <= MOST_BYTES:
            return path.read_bytes(), kind
    except OSError as error:
        raise AudioError(
            f"the sound of {path.name} cannot be read ({error.strerror}): it was moved or deleted since the map was "
            "made; make the map again"
        ) from error
    return excerpt(path, seconds=MOST_S)


def excerpt(path: str | Path, *, seconds: float, start_s: float = 0.0, rate: int = EXCERPT_RATE) -> tuple[bytes, str]:
    """Return a part of a sound file as small mono Ogg Vorbis, and its media type.

    Args:
        path: the file.
        seconds: length, in s; less where the file ends earlier.
        start_s: where to begin, in s.
        rate: of the excerpt, in Hz.

    Raises:
        AudioError: the file cannot be read.
    """
    import numpy as np
    import soundfile

    from slapkit.audio import decode

    wave = decode.read(path, sample_rate=rate, start_s=start_s, duration_s=seconds)
    fade = min(len(wave) // 4, rate // 50)
    if fade:
        wave[:fade] *= np.linspace(0, 1, fade, dtype=np.float32)
        wave[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    buffer = io.BytesIO()
    # In pieces: libsndfile's Vorbis encoder overflows its stack on one very long write.
    with soundfile.SoundFile(
        buffer, "w", rate, 1, format="OGG", subtype="VORBIS", compression_level=_COMPRESSION
    ) as file:
        for i in range(0, len(wave), rate):
            file.write(wave[i : i + rate])
    return buffer.getvalue(), "audio/ogg"
