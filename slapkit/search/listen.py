"""The audio of a track: where its file is, and what a browser is sent to play and to show.

Files are reached by the id of a track alone. An id that the library does not know, and a file that leads out of the
library's folder, get an error.
"""

import io
import itertools
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from slapkit.audio import decode
from slapkit.audio.decode import MEDIA_TYPES
from slapkit.audio.windows import fill
from slapkit.data.home import Home
from slapkit.errors import LibraryError, short
from slapkit.search.store import Entry

EXCERPT_S = 30.0
_SHORT_S, _SHORT_BYTES = 60.0, 2_000_000  # up to both, a file is sent as it is
_WRITTEN = 16_384  # samples given to the encoder at a time: it crashes on much longer pieces
_COLUMNS = 160  # of a picture
_RANGE_DB = 70.0  # below the loudest point of a picture


class Picture(NamedTuple):
    """A log-mel spectrogram of `duration_s` s from `start_s` on, to show.

    `pixels`: uint8 `[n_mels, columns]`, lowest band first, 0 the quietest.
    """

    pixels: np.ndarray
    start_s: float
    duration_s: float


class AudioFiles:
    """The files of a library's tracks: `entries` by id, in `folder`; `frontend` are the settings of the model's."""

    folder: Path
    entries: dict[str, Entry]
    window_s: float
    frontend: dict[str, Any]

    def entry(self, id: str) -> Entry:
        """Return what the library knows of a track; a `LibraryError` if there is no such track."""
        if not isinstance(id, str) or id not in self.entries:
            said = id.casefold() if isinstance(id, str) else ""
            near = (one for one, entry in self.entries.items() if said and said in f"{one}\n{entry.title}".casefold())
            listed = " or ".join(map(short, itertools.islice(near, 3)))
            hint = f"did you mean {listed}?" if listed else "ids are those of library.tracks"
            raise LibraryError(f"the library has no track {short(id)}: {hint}")
        return self.entries[id]

    def path(self, id: str) -> Path:
        """Return the file of a track; raise `LibraryError` where there is no such track, or its file was deleted or
        leads out of the folder."""
        file = self.entry(id).file
        path = self.folder / file
        if not Home(self.folder).holds(path):
            raise LibraryError(f"the file of {id!r} lies outside the library's folder {self.folder}: it is not opened")
        if not path.is_file():
            raise LibraryError(f"{file} was deleted since the library was built: update it")
        return path

    def span(self, id: str, start_s: float | None = None) -> tuple[float, float]:
        """Return which part of a track `sound` gives, as start and duration in s.

        A short file is given whole, of others up to 30 s around the window that begins at `start_s`.
        """
        entry = self.entry(id)
        if _is_short(entry):
            return 0.0, entry.duration_s
        if start_s is not None and not (np.isfinite(start_s) and start_s >= 0):
            raise LibraryError(f"start_s={start_s!r} of {id!r} must be a number of seconds, at least 0")
        length = min(EXCERPT_S, entry.duration_s)
        start = 0.0 if start_s is None else start_s + (self.window_s - length) / 2
        return float(min(max(start, 0.0), entry.duration_s - length)), float(length)

    def sound(self, id: str, start_s: float | None = None) -> tuple[bytes, str]:
        """Return bytes that a browser plays, and their type: a short file as it is, else an excerpt, see `span`. Raise
        as `path`, or `AudioError` where the file cannot be decoded any more."""
        path = self.path(id)
        if _is_short(self.entry(id)) and path.stat().st_size <= _SHORT_BYTES:
            return path.read_bytes(), MEDIA_TYPES[path.suffix.lower()]
        start, length = self.span(id, start_s)
        return excerpt(path, start_s=start, seconds=length), "audio/ogg"

    def log_mel(self, id: str, start_s: float | None = None) -> Picture:
        """Return a picture of what `sound` gives for the same track and start; raises as `sound`."""
        import torch

        from slapkit.audio.frontend import FrontendConfig, LogMel

        path, (start, length) = self.path(id), self.span(id, start_s)
        transform = LogMel(FrontendConfig.from_dict(self.frontend).picture()).eval()
        rate = transform.config.sample_rate
        wave = decode.read(path, sample_rate=rate, start_s=start, duration_s=length or None)
        mel = transform(torch.from_numpy(fill(wave, transform.config.n_fft))[None])[0].numpy()
        edges = np.linspace(0, len(mel), min(_COLUMNS, len(mel)) + 1).astype(np.int64)[:-1]
        columns = np.maximum.reduceat(mel, edges, axis=0)
        relative = (columns - columns.max()) / _RANGE_DB + 1
        pixels = np.ascontiguousarray((255 * np.clip(relative, 0, 1)).round().astype(np.uint8).T)
        return Picture(pixels, start, length)


def _is_short(entry: Entry) -> bool:
    playable = Path(entry.file).suffix.lower() in MEDIA_TYPES
    return playable and entry.duration_s <= _SHORT_S and entry.size <= _SHORT_BYTES


def excerpt(
    path: str | Path, *, start_s: float = 0.0, seconds: float, rate: int | None = None, compression: float | None = None
) -> bytes:
    """Return a part of a file as mono Ogg Vorbis; less where the file ends earlier.

    Args:
        rate: sample rate in Hz; None keeps the file's own, or takes 48 kHz where browsers would not play that.
        compression: of Vorbis, 0 the largest file, 1 the smallest; None is the encoder's default.

    Raises:
        AudioError: the file cannot be decoded.
    """
    import soundfile

    with decode.opened(path) as file:
        rate = rate or (file.rate if 8000 <= file.rate <= 48_000 else 48_000)
        wave = np.clip(file.read(sample_rate=rate, start_s=start_s, duration_s=seconds), -1, 1)
    data = io.BytesIO()
    form = {"format": "OGG", "subtype": "VORBIS", "compression_level": compression}
    with soundfile.SoundFile(data, "w", samplerate=rate, channels=1, **form) as file:
        for first in range(0, len(wave), _WRITTEN):
            file.write(wave[first : first + _WRITTEN])
    return data.getvalue()
