"""Sound files of any format, written by FFmpeg (PyAV)."""

from pathlib import Path

import av
import numpy as np
import soundfile

# Codec and container by suffix; None: by the file's name.
CODECS = {
    ".wav": ("pcm_s16le", None), ".aif": ("pcm_s16be", "aiff"), ".aiff": ("pcm_s24be", None),
    ".au": ("pcm_s16be", None), ".aifc": ("pcm_alaw", "aiff"), ".caf": ("alac", None), ".w64": ("pcm_s16le", None),
    ".flac": ("flac", None), ".ogg": ("flac", "ogg"), ".oga": ("libopus", "ogg"), ".opus": ("libopus", None),
    ".mp3": ("libmp3lame", None),
    ".mp2": ("mp2", None), ".m4a": ("aac", "ipod"), ".m4b": ("alac", "ipod"), ".mp4": ("aac", None),
    ".m4v": ("aac", "mp4"), ".mov": ("alac", None), ".aac": ("aac", "adts"), ".ac3": ("ac3", None),
    ".wma": ("wmav2", "asf"), ".asf": ("wmav2", None), ".wv": ("wavpack", None), ".tta": ("tta", None),
    ".webm": ("libopus", None), ".mka": ("flac", "matroska"), ".mkv": ("aac", None), ".wave": ("pcm_s16le", "wav"),
    ".snd": ("pcm_s16be", "au"), ".mpga": ("libmp3lame", "mp3"), ".3gp": ("aac", None), ".avi": ("libmp3lame", None),
    ".eac3": ("eac3", None), ".voc": ("pcm_s16le", None),
}  # fmt: skip


def write(path: Path, wave: np.ndarray, rate: int, **options: str | float) -> Path:
    """Write samples `[T]` by soundfile, in blocks: encoders of Ogg overflow their stack on a long array."""
    with soundfile.SoundFile(path, "w", rate, 1, **options) as file:
        for start in range(0, len(wave), rate):
            file.write(wave[start : start + rate])
    return path


def encode(path: Path, wave: np.ndarray, rate: int = 48000, tags: dict[str, str] | None = None, **options: str) -> Path:
    """Write samples `[T]` or `[C, T]` in the format of a suffix, and return the path."""
    codec, container = CODECS[path.suffix]
    wave = np.atleast_2d(wave).astype(np.float32)
    layout = "mono" if len(wave) == 1 else "stereo"
    with av.open(str(path), "w", format=container, options=options) as file:
        file.metadata.update(tags or {})
        stream = file.add_stream(codec, rate=rate, layout=layout)
        stream.bit_rate = 128_000
        stream.codec_context.open()
        resampler = av.AudioResampler(stream.codec_context.format.name, layout, rate)
        fifo, size, at = av.AudioFifo(), stream.codec_context.frame_size or 4096, 0
        whole = av.AudioFrame.from_ndarray(wave, "fltp", layout)
        whole.sample_rate = rate
        for frame in resampler.resample(whole):
            frame.pts = None
            fifo.write(frame)
        while (frame := fifo.read(size, partial=True)) is not None:
            frame.pts, at = at, at + frame.samples
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def retagged(path: Path, out: Path, **tags: str) -> Path:
    """Write the sound of a file, as it is, with other tags, and return the path."""
    with av.open(str(path)) as file, av.open(str(out), "w", format=CODECS[path.suffix][1]) as other:
        stream = other.add_stream_from_template(file.streams.audio[0])
        other.metadata.update(tags)
        for packet in file.demux(audio=0):
            if packet.dts is not None:
                packet.stream = stream
                other.mux(packet)
    return out
