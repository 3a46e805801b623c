"""Configurations of the audio and the text encoder."""

from dataclasses import dataclass, field
from typing import Any, Literal

from slapkit.audio.frontend import FRONTENDS, FrontendConfig
from slapkit.config import Config, require
from slapkit.models.encoders.vgg import LEAST_FRAMES


@dataclass(frozen=True)
class WaveformConfig(Config):
    """A published encoder of waves; `slapkit.models.encoders.waveform_encoder` fills it in.

    `source`: the name or folder that the weights come from when training starts. `layer`: see there. `architecture` is
    the model's own configuration and `features` that of its feature extractor, so that a checkpoint needs no source.
    """

    source: str
    layer: int | None = -1
    architecture: dict[str, Any] = field(default_factory=dict)
    features: dict[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        require(bool(self.source.strip()), "source", self.source, "a name or a folder")
        for name in ("architecture", "features"):
            value = getattr(self, name)
            require(bool(value), name, value, "what slapkit.models.encoders.waveform_encoder(source) reads")


@dataclass(frozen=True)
class AudioEncoderConfig(Config):
    """An audio encoder and its front end.

    `window_s` (s): length of a window, random in training, tiled over the clip in evaluation. `mel_mean`, `mel_std`
    (dB) normalise the CNN's input; training sets them from its data, and HTS-AT normalises by itself. `channels` are
    the CNN's. `htsat` overrides fields of transformers' `ClapAudioConfig`. "musicnn" takes `FRONTENDS["musicnn"]`, of
    which `min_s` and `pitches` are free, and `frozen=True`: nothing in it is trained further. With `pitches` its
    representation has descriptors of rhythm, timbre and tonality, with `bands` what a network that keeps bands apart
    hears.
    """

    kind: Literal["cnn", "htsat", "waveform", "musicnn"] = "cnn"
    frontend: FrontendConfig = field(default_factory=lambda: FRONTENDS["light"])
    window_s: float = 5.0
    mel_mean: float = -30.0
    mel_std: float = 20.0
    channels: tuple[int, ...] = (16, 48, 96, 256)
    htsat: dict[str, Any] = field(default_factory=dict)
    frozen: bool = False
    waveform: WaveformConfig | None = None
    bands: bool = False

    def check(self) -> None:
        full = self.frontend.min_s  # short clips are repeated up to this, and no window is longer
        require(0 < self.window_s <= full, "window_s", self.window_s, f"above 0 s, up to frontend.min_s = {full} s")
        require(self.mel_std > 0, "mel_std", self.mel_std, "dB > 0")
        wave = self.kind == "waveform"
        hint = "waves go with kind='waveform': make it with slapkit.models.encoders.waveform_encoder(source)"
        require((self.frontend.kind == "wave") == wave, "frontend.kind", self.frontend.kind, hint)
        require((self.waveform is not None) == wave, "waveform", self.waveform, hint)
        if self.kind == "musicnn":
            own = FRONTENDS["musicnn"].replace(min_s=full, padding=self.frontend.padding, pitches=self.frontend.pitches)
            found, wanted = self.frontend.to_dict(), own.to_dict()
            unlike = {key: found.get(key) for key in found | wanted if found.get(key) != wanted.get(key)}
            text = ", ".join(f"{key}={value}" for key, value in unlike.items())
            require(not unlike, "frontend", text, f"FRONTENDS['musicnn']: {wanted}")
            require(self.frozen, "frozen", False, "True: musicnn is used as it was published")
            enough = not self.bands or self.window_frames >= LEAST_FRAMES
            require(enough, "window_s", self.window_s, f"{LEAST_FRAMES} frames or more, for bands=True")
        else:
            require(not self.bands, "bands", self.bands, "False: only kind='musicnn' has them")
            pitches = self.frontend.pitches
            require(not pitches, "frontend.pitches", pitches, "False: only kind='musicnn' takes them")
        wide = len(self.channels) >= 2 and min(self.channels) > 0
        require(wide, "channels", self.channels, "two or more positive widths")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for `from_dict`. Without them there is no key `waveform` or `bands`: hashes of the values
        name caches and libraries that are older than these."""
        values = {**super().to_dict(), "frontend": self.frontend.to_dict()}
        return {key: value for key, value in values.items() if key not in ("waveform", "bands") or value}

    @property
    def window_frames(self) -> int:
        """Frames of one window."""
        return self.frontend.frames(self.window_s)


@dataclass(frozen=True)
class TextEncoderConfig(Config):
    """A text encoder: any transformers text model.

    `source`: "minilm" (the packaged all-MiniLM-L6-v2), "roberta-scratch" (RoBERTa-base's shape with random weights and
    a tokenizer trained on the training captions; nothing is downloaded), or a name or folder for
    `AutoModel.from_pretrained`. `pooling`: "mean" over tokens, "cls" for the first one, "pooler" for the model's own.
    `layers`: whose pooled vectors stand side by side; 0 is the first layer's input, -1 the output. `fingerprint`: set
    when a frozen encoder is saved as a reference, and checked when it is loaded.
    """

    source: str = "minilm"
    pooling: Literal["mean", "cls", "pooler"] = "mean"
    layers: tuple[int, ...] = (-1,)
    max_tokens: int = 77
    frozen: bool = True
    fingerprint: str | None = None

    def check(self) -> None:
        require(bool(self.source.strip()), "source", self.source, "a name or a folder")
        require(2 <= self.max_tokens <= 512, "max_tokens", self.max_tokens, "2 to 512 tokens")
        require(bool(self.layers), "layers", self.layers, "one or more")
        fits = self.pooling != "pooler" or self.layers == (-1,)
        require(fits, "layers", self.layers, "(-1,) with pooling='pooler', which takes the output")
        scratch = self.frozen and self.source == "roberta-scratch"
        require(not scratch, "frozen", True, "False: a scratch encoder has nothing to freeze")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for `from_dict`. The output alone is no key `layers`: hashes of the values name what is
        older than it."""
        values = super().to_dict()
        return {key: value for key, value in values.items() if key != "layers" or self.layers != (-1,)}
