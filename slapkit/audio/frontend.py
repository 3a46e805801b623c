"""Log-mel spectrograms: the settings of CLAP (LAION), and a light one for small machines.

A frame's energy in mel band m is `sum_k fb[k, m] |X[k]|^2`, with `X` the discrete Fourier transform under a periodic
Hann window, frames centred by reflection, and is given in dB: `10 log10(max(energy, 1e-10))`. The CLAP settings
agree with transformers' `ClapFeatureExtractor` (truncation "rand_trunc": `clap`; "fusion": `clap-fusion`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from slapkit.config import Config, require
from slapkit.errors import AudioError, SlapkitError

FLOOR = 1e-10  # energies below this count as this: -100 dB


@dataclass(frozen=True)
class FrontendConfig(Config):
    """How sound becomes a log-mel spectrogram. Rates and frequencies in Hz, `n_fft` and `hop` in samples."""

    sample_rate: int = 24000
    n_fft: int = 1024
    hop: int = 480
    n_mels: int = 64
    f_min: float = 0.0
    f_max: float = 12000.0
    mel_scale: Literal["slaney", "htk"] = "slaney"
    norm: Literal["slaney", "none"] = "slaney"
    min_s: float = 5.0  # s, shorter clips are repeated up to this before the transform

    def check(self) -> None:
        require(self.sample_rate >= 1000, "sample_rate", self.sample_rate, "at least 1000 Hz")
        require(self.n_fft >= 16, "n_fft", self.n_fft, "at least 16 samples")
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

    def frames(self, seconds: float) -> int:
        """Return the number of frames that a clip of `seconds` s gives."""
        return round(seconds * self.sample_rate) // self.hop + 1


_CLAP = FrontendConfig(sample_rate=48000, n_fft=1024, hop=480, n_mels=64, f_min=0.0, f_max=14000.0, min_s=10.0)
FRONTENDS: dict[str, FrontendConfig] = {
    "clap": _CLAP,
    "clap-fusion": _CLAP.replace(mel_scale="htk", norm="none"),
    "light": FrontendConfig(),
}


def import_torchaudio():
    """Import torchaudio, telling the remedy where its compiled part does not fit the installed torch.

    Raises:
        SlapkitError: torchaudio is missing, or is linked to a CUDA library that is not there.
    """
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


class LogMel(torch.nn.Module):
    """The log-mel spectrogram of `config`, as a module without parameters; its buffers stay out of checkpoints."""

    def __init__(self, config: FrontendConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or FRONTENDS["light"]
        filters = import_torchaudio().functional.melscale_fbanks(
            config.n_fft // 2 + 1,
            config.f_min,
            config.f_max,
            config.n_mels,
            config.sample_rate,
            norm=None if config.norm == "none" else config.norm,
            mel_scale=config.mel_scale,
        )
        self.register_buffer("window", torch.hann_window(config.n_fft), persistent=False)
        self.register_buffer("filters", filters, persistent=False)  # [n_fft / 2 + 1, n_mels]

    def frames(self, seconds: float) -> int:
        """Return the number of frames that a clip of `seconds` s gives."""
        return self.config.frames(seconds)

    @torch.no_grad()
    def forward(self, wave: torch.Tensor) -> torch.Tensor:
        """Return the log-mel spectrogram in dB, float32 `[B, frames, n_mels]`, of `wave`, float32 `[B, T]`.

        A clip's features do not depend on the clips beside it: on a CPU, to the last bit.

        Raises:
            AudioError: another shape or type, or clips of less than half a window.
        """
        if wave.ndim != 2 or wave.dtype != torch.float32:
            raise AudioError(f"a float32 wave [B, T] is needed, not {wave.dtype} of shape {list(wave.shape)}")
        if wave.shape[1] <= self.config.n_fft // 2:
            raise AudioError(
                f"clips of {wave.shape[1]} samples are too short for a window of {self.config.n_fft}: "
                "repeat them first (slapkit.audio.windows.repeat_pad)"
            )
        # One matrix product over a whole batch rounds differently for different batch sizes, so clips go one by one
        # where that costs nothing. Reduced precision would cost decibels, so autocast stays out.
        with torch.autocast(wave.device.type, enabled=False):
            if wave.device.type == "cpu" and len(wave) > 1:
                return torch.cat([self._transform(clip) for clip in wave.split(1)])
            return self._transform(wave)

    def _transform(self, wave: torch.Tensor) -> torch.Tensor:
        power = import_torchaudio().functional.spectrogram(
            wave,
            pad=0,
            window=self.window,
            n_fft=self.config.n_fft,
            hop_length=self.config.hop,
            win_length=self.config.n_fft,
            power=2.0,
            normalized=False,
        )
        mel = power.transpose(1, 2) @ self.filters
        return mel.clamp_(min=FLOOR).log10_().mul_(10)
