"""Configurations of the audio and the text encoder."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from slapkit.audio.frontend import FRONTENDS, FrontendConfig
from slapkit.config import Config, require


@dataclass(frozen=True)
class AudioEncoderConfig(Config):
    """An audio encoder and the log-mel it listens to.

    `window_s` (s) is what the encoder hears at once: a random window in training, windows tiled over the clip in
    evaluation. `mel_mean`, `mel_std` (dB) normalise the CNN's input; training sets them from its data. HTS-AT
    normalises by itself. `channels` are the CNN's; `htsat` overrides fields of transformers' `ClapAudioConfig`.
    """

    kind: Literal["cnn", "htsat"] = "cnn"
    frontend: FrontendConfig = field(default_factory=lambda: FRONTENDS["light"])
    window_s: float = 5.0
    mel_mean: float = -30.0
    mel_std: float = 20.0
    channels: tuple[int, ...] = (16, 48, 96, 256)
    htsat: dict[str, Any] = field(default_factory=dict)
    frozen: bool = False

    def check(self) -> None:
        full = self.frontend.min_s  # short clips are repeated up to this, and no window is longer
        require(0 < self.window_s <= full, "window_s", self.window_s, f"above 0 s, up to frontend.min_s = {full} s")
        require(self.mel_std > 0, "mel_std", self.mel_std, "dB > 0")
        require(
            len(self.channels) >= 2 and min(self.channels) > 0, "channels", self.channels, "two or more positive widths"
        )

    @property
    def window_frames(self) -> int:
        """Frames of one window."""
        return self.frontend.frames(self.window_s)


@dataclass(frozen=True)
class TextEncoderConfig(Config):
    """A text encoder: any transformers text model.

    `source`: "minilm" (the packaged all-MiniLM-L6-v2), "roberta-scratch" (RoBERTa-base's shape with random weights and
        a tokenizer trained on the
    training captions, so that nothing need be downloaded), or any name or folder that `AutoModel.from_pretrained`
    takes.
    `fingerprint` is set when a frozen encoder is saved by reference: loading checks it.
    """

    source: str = "minilm"
    pooling: Literal["mean", "cls"] = "mean"
    max_tokens: int = 77
    frozen: bool = True
    fingerprint: str | None = None

    def check(self) -> None:
        require(bool(self.source.strip()), "source", self.source, "a name or a folder")
        require(2 <= self.max_tokens <= 512, "max_tokens", self.max_tokens, "2 to 512 tokens")
        require(
            not (self.frozen and self.source == "roberta-scratch"),
            "frozen",
            True,
            "False: a scratch encoder has nothing to freeze",
        )
