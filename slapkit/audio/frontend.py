"""Front ends: log-mel spectrograms with the settings of CLAP (LAION) or light ones, and plain waves cut into frames.

A frame's energy in mel band m is `sum_k fb[k, m] |X[k]|^2`, with `X` the discrete Fourier transform under a periodic
Hann window, frames centred by reflection, and is given in dB: `10 log10(max(energy, 1e-10))`. The CLAP settings
agree with transformers' `ClapFeatureExtractor` (truncation "rand_trunc": `clap`; "fusion": `clap-fusion`).

An encoder of waveforms gets samples: frame i is samples `i * hop .. (i + 1) * hop - 1`. Cut like this, a
wave `[frames, hop]` is kept, cropped and tiled as a spectrogram `[frames, n_mels]` is. Kept in float16, a sample errs
by less than one part in 2,000 (a signal-to-noise ratio above 70 dB) and takes the two bytes of 16-bit sound.
"""

import contextlib
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.overrides import TorchFunctionMode

from slapkit.audio.pitches import MIDI, STEP, Pitches, window_length
from slapkit.config import Config, require
from slapkit.errors import AudioError, SlapkitError

FLOOR = 1e-10  # energies below this count as this: -100 dB
_BLOCK = 96  # frames that are transformed together on a CPU, where fewer cost calls and more leave the cache
_GROUPS = 4  # of bands: each multiplies the bins that it uses, together a quarter of all


@dataclass(frozen=True)
class FrontendConfig(Config):
    """How sound becomes features. Rates and frequencies in Hz, `n_fft` and `hop` in samples.

    `kind`: "log-mel", or "wave" for samples in frames of `hop`; a wave leaves all but rate, hop and `min_s` alone.
    `pitches` appends the 68 pitches of `slapkit.audio.pitches` to the mel bands.
    """

    sample_rate: int = 24000
    n_fft: int = 1024
    hop: int = 480
    n_mels: int = 64
    f_min: float = 0.0
    f_max: float = 12000.0
    mel_scale: Literal["slaney", "htk"] = "slaney"
    norm: Literal["slaney", "none"] = "slaney"
    min_s: float = 5.0  # s, shorter clips are repeated up to this before the transform
    padding: Literal["repeat", "repeatpad", "pad"] = "repeat"  # how; see `slapkit.audio.windows.fill`
    kind: Literal["log-mel", "wave"] = "log-mel"
    pitches: bool = False

    def check(self) -> None:
        require(self.sample_rate >= 1000, "sample_rate", self.sample_rate, "at least 1000 Hz")
        if self.kind == "wave":
            require(self.hop >= 1, "hop", self.hop, "at least 1 sample")
            require(self.min_s >= self.hop_s, "min_s", self.min_s, f"at least one frame, {self.hop_s:.3f} s")
            for name in ("n_fft", "n_mels", "f_min", "f_max", "mel_scale", "norm", "pitches"):
                value, default = getattr(self, name), type(self).__dataclass_fields__[name].default
                require(value == default, name, value, "nothing: a wave (kind='wave') has no bands, leave it out")
            return
        require(self.n_fft >= 16 and self.n_fft % 2 == 0, "n_fft", self.n_fft, "an even number of samples, 16 or more")
        require(1 <= self.hop <= self.n_fft, "hop", self.hop, f"1 to n_fft = {self.n_fft} samples")
        require(1 <= self.n_mels <= self.n_fft // 2, "n_mels", self.n_mels, f"1 to n_fft / 2 = {self.n_fft // 2}")
        nyquist = self.sample_rate / 2
        require(0 < self.f_max <= nyquist, "f_max", self.f_max, f"above 0 and up to {nyquist:.0f} Hz, half the rate")
        require(0 <= self.f_min < self.f_max, "f_min", self.f_min, f"0 to f_max = {self.f_max:.0f} Hz")
        shortest = self.n_fft / self.sample_rate
        require(self.min_s >= shortest, "min_s", self.min_s, f"at least one window, {shortest:.3f} s")

    @property
    def hop_s(self) -> float:
        """Time from one frame to the next, in s."""
        return self.hop / self.sample_rate

    @property
    def width(self) -> int:
        """Values of one frame: mel bands and pitches, or the samples of a wave."""
        return self.hop if self.kind == "wave" else self.n_mels + len(MIDI) * self.pitches

    @property
    def reach(self) -> int:
        """Samples on either side of a frame that have a share in it."""
        return (window_length(self.sample_rate) if self.pitches else self.n_fft) // 2

    @property
    def step(self) -> int:
        """Frames after which the grid of transforms repeats: a part of a wave that begins there has the same ones."""
        return STEP if self.pitches else 1

    def frames(self, seconds: float) -> int:
        """Return the number of frames that a clip of `seconds` s gives."""
        samples = round(seconds * self.sample_rate)
        return -(-samples // self.hop) if self.kind == "wave" else samples // self.hop + 1

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that `from_dict` reads back. A log-mel's leave `kind` out, as those written before waves
        were known do, repeated clips' `padding`, and missing `pitches`: hashes of them name files in caches."""
        usual = {"kind": "log-mel", "padding": "repeat", "pitches": False}
        return {name: value for name, value in super().to_dict().items() if name not in usual or value != usual[name]}

    def picture(self) -> "FrontendConfig":
        """Return the log-mel front end that shows what this one sees: itself, or one at the rate of the wave."""
        if self.kind == "log-mel":
            return self.replace(pitches=False)
        return FrontendConfig(sample_rate=self.sample_rate, f_max=self.sample_rate / 2)


_CLAP = FrontendConfig(sample_rate=48000, n_fft=1024, hop=480, n_mels=64, f_min=0.0, f_max=14000.0, min_s=10.0)
FRONTENDS: dict[str, FrontendConfig] = {
    "clap": _CLAP,
    "clap-fusion": _CLAP.replace(mel_scale="htk", norm="none"),
    "light": FrontendConfig(),
    "musicnn": FrontendConfig(sample_rate=16000, n_fft=512, hop=256, n_mels=96, f_max=8000.0, min_s=10.0),
}


def import_torchaudio():
    """Import torchaudio; a `SlapkitError` tells the remedy where it is missing, or its compiled part does not fit this
    torch."""
    try:
        import torchaudio
        import torchaudio.functional
    except OSError as error:
        raise SlapkitError(
            f"torchaudio cannot be loaded beside this torch ({error}): its compiled part is linked to CUDA. "
            "Run `python -m slapkit.environment`, which removes that part; nothing here needs it"
        ) from error
    except ImportError as error:
        raise SlapkitError(f"torchaudio cannot be imported ({error}): `pip install torchaudio`") from error
    return torchaudio


def mel_filters(config: FrontendConfig) -> torch.Tensor:
    """Return torchaudio's mel filters in double precision, `[n_fft // 2 + 1, n_mels]`.

    In single precision the weights at a triangle's feet err by up to a third, which a loud tone there makes heard in
    the next band.
    """
    functional = import_torchaudio().functional
    with _DoubleLinspace():
        return functional.melscale_fbanks(
            config.n_fft // 2 + 1,
            config.f_min,
            config.f_max,
            config.n_mels,
            config.sample_rate,
            norm=None if config.norm == "none" else config.norm,
            mel_scale=config.mel_scale,
        )


class _DoubleLinspace(TorchFunctionMode):
    """Lets `torch.linspace` begin in double precision, in this thread alone: torchaudio has no option for it, and
    torch's default type is that of all threads."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}) | ({"dtype": torch.float64} if func is torch.linspace else {}))


class LogMel(torch.nn.Module):
    """The log-mel spectrogram of `config`, as a module without parameters; its buffers stay out of checkpoints."""

    def __init__(self, config: FrontendConfig) -> None:
        super().__init__()
        self.config = config
        require(config.kind == "log-mel", "kind", config.kind, "'log-mel'; `make_transform` takes either kind")
        filters = mel_filters(config).float()
        # In double precision: rounded to single, a loud tone's transform hides bands 80 dB below it by up to a decibel.
        self.register_buffer("window", torch.hann_window(config.n_fft, dtype=torch.float64), persistent=False)
        self.register_buffer("filters", filters, persistent=False)  # [n_fft / 2 + 1, n_mels]
        # Each band's weights twice, for real and imaginary part, and only up to the highest bin that any band uses.
        used = int((filters.any(1) * torch.arange(len(filters))).max()) + 1
        pairs = filters[:used].repeat_interleave(2, 0).contiguous()
        self.register_buffer("pairs", pairs, persistent=False)
        self.pitches = Pitches(config.sample_rate, config.hop) if config.pitches else None
        self._groups = [_heard(part) for part in pairs.tensor_split(_GROUPS, dim=1)]  # for the CPU

    @torch.no_grad()
    def forward(self, wave: torch.Tensor) -> torch.Tensor:
        """Return the log-mel spectrogram in dB, float32 `[B, frames, width]`, of `wave`, float32 `[B, T]`; pitches, if
        asked for, come after the bands.

        A clip's features do not depend on the clips beside it: on a CPU, to the last bit. An `AudioError` refuses
        another shape or type, and clips that are too short.
        """
        if wave.ndim != 2 or wave.dtype != torch.float32:
            raise AudioError(f"a float32 wave [B, T] is needed, not {wave.dtype} of shape {list(wave.shape)}")
        if wave.shape[1] <= self.config.n_fft // 2:
            raise AudioError(
                f"clips of {wave.shape[1]} samples are too short for a window of {self.config.n_fft}: "
                "repeat them first (slapkit.audio.windows.fill)"
            )
        # One matrix product over a whole batch rounds differently for different batch sizes, so clips go one by one
        # where that costs nothing. Reduced precision would cost decibels, so autocast stays out.
        device = wave.device.type
        with torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else contextlib.nullcontext():
            if wave.device.type == "cpu" and len(wave) > 1:
                return torch.cat([self._transform(clip) for clip in wave.split(1)])
            return self._transform(wave)

    def _transform(self, wave: torch.Tensor) -> torch.Tensor:
        half = self.config.n_fft // 2
        # Reflected at both ends, and joined by hand: torch's own padding takes longer.
        padded = torch.cat([wave[:, 1 : half + 1].flip(1), wave, wave[:, -half - 1 : -1].flip(1)], dim=1)
        frames = padded.unfold(1, self.config.n_fft, self.config.hop)  # [B, frames, n_fft], a view
        in_blocks = wave.device.type == "cpu" and not torch.compiler.is_compiling()  # a graph takes any length
        mel = self._energies_in_blocks(frames[0])[None] if in_blocks else self._energies(frames)
        mel = mel.clamp_(min=FLOOR).log10_().mul_(10)
        return mel if self.pitches is None else torch.cat([mel, self.pitches(wave)], dim=-1)

    def _energies(self, frames: torch.Tensor) -> torch.Tensor:
        """Energy in each band, `[B, frames, n_mels]`, of `frames [B, frames, n_fft]`."""
        parts = torch.view_as_real(torch.fft.rfft(frames * self.window)).flatten(-2).flatten(0, 1)
        # The product with the doubled weights adds the squares of real and imaginary part too: one pass less.
        return (parts[:, : len(self.pairs)].float().square_() @ self.pairs).unflatten(0, frames.shape[:2])

    def _energies_in_blocks(self, frames: torch.Tensor) -> torch.Tensor:
        """The same of one clip on a CPU, `[frames, n_mels]` of `[frames, n_fft]`, in blocks that stay in the cache."""
        blocks = []
        for block in frames.split(_BLOCK):
            bins = torch.view_as_real(torch.fft.rfft(block * self.window)).flatten(1)
            power = bins[:, : len(self.pairs)].float().square_()
            blocks.append(torch.cat([power[:, rows] @ weights for rows, weights in self._groups], dim=1))
        return torch.cat(blocks)


def _heard(weights: torch.Tensor) -> tuple[slice, torch.Tensor]:
    """Return which rows of `weights [bins, bands]` any band uses, and these rows."""
    rows = weights.any(1).nonzero().flatten()
    used = slice(int(rows[0]), int(rows[-1]) + 1) if len(rows) else slice(0, 0)
    return used, weights[used].contiguous()


class Frames(torch.nn.Module):
    """A wave cut into the frames of `config`; the last frame is filled up with zeros."""

    def __init__(self, config: FrontendConfig) -> None:
        super().__init__()
        self.config = config

    @torch.no_grad()
    def forward(self, wave: torch.Tensor) -> torch.Tensor:
        """Return frames `[B, frames, hop]` of `wave`, float32 `[B, T]`. An `AudioError` refuses another shape or type,
        and clips that are too short."""
        if wave.ndim != 2 or wave.dtype != torch.float32 or not wave.shape[1]:
            raise AudioError(f"a float32 wave [B, T] is needed, not {wave.dtype} of shape {list(wave.shape)}")
        padded = torch.nn.functional.pad(wave, (0, -wave.shape[1] % self.config.hop))
        return padded.unflatten(1, (-1, self.config.hop))


def make_transform(config: FrontendConfig) -> LogMel | Frames:
    """Return the module that turns waves `[B, T]` into the features `[B, frames, width]` of `config`."""
    return Frames(config) if config.kind == "wave" else LogMel(config)
