"""musicnn: a published tagger of music as a frozen encoder (Pons and Serra, arXiv 1909.06654).

Two networks of 0.8 M parameters, trained on recordings: one on MagnaTagATune, one on the Million Song Dataset. The
representation is what both pool over time before their tags: maximum and mean of 753 channels each.

Inference alone: each BatchNorm is a slope and an offset per channel, and those before a dense layer are part of it
(`musicnn_weights` folds them). Where a slope is negative, the greatest output belongs to the least activation, so such
a filter is kept with the opposite sign: the maximum over frequency is one for all.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slapkit._cores import spread
from slapkit.audio.frontend import FRONTENDS
from slapkit.config import require
from slapkit.models.encoders.config import AudioEncoderConfig
from slapkit.models.encoders.descriptors import DESCRIPTORS, describe
from slapkit.models.encoders.musicnn_inference import Temporal, Timbral
from slapkit.models.encoders.musicnn_weights import read_weights
from slapkit.models.encoders.vgg import WIDTH, Vgg, log_energies

TAGS = {
    "MTT_musicnn": (
        "guitar", "classical", "slow", "techno", "strings", "drums", "electronic", "rock", "fast", "piano", "ambient",
        "beat", "violin", "vocal", "synth", "female", "indian", "opera", "male", "singing", "vocals", "no vocals",
        "harpsichord", "loud", "quiet", "flute", "woman", "male vocal", "no vocal", "pop", "soft", "sitar", "solo",
        "man", "classic", "choir", "voice", "new age", "dance", "male voice", "female vocal", "beats", "harp", "cello",
        "no voice", "weird", "country", "metal", "female voice", "choral",
    ),
    "MSD_musicnn": (
        "rock", "pop", "alternative", "indie", "electronic", "female vocalists", "dance", "00s", "alternative rock",
        "jazz", "beautiful", "metal", "chillout", "male vocalists", "classic rock", "soul", "indie rock", "Mellow",
        "electronica", "80s", "folk", "90s", "chill", "instrumental", "punk", "oldies", "blues", "hard rock",
        "ambient", "acoustic", "experimental", "female vocalist", "guitar", "Hip-Hop", "70s", "party", "country",
        "easy listening", "sexy", "catchy", "funk", "electro", "heavy metal", "Progressive rock", "60s", "rnb",
        "indie pop", "sad", "House", "happy",
    ),
}  # fmt: skip
_TIMBRAL, _TEMPORAL, _CHANNELS = (38, 67), (128, 64, 32), 64  # bands, frames, and filters of the middle layers
_FRONT = 2 * 204 + 3 * 51
_POOLED = 2 * (_FRONT + 3 * _CHANNELS)  # of one network
_PUBLISHED = len(TAGS) * _POOLED  # channels of both networks
_FARTHEST = 6.0  # standard deviations, to which a standardised channel is clipped
_LEAST = 1e-3  # standard deviation: below it a channel is constant but for rounding


class _Affine(nn.Module):
    """A BatchNorm in evaluation, of `[B, C, frames]`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.slope, self.offset = (nn.Parameter(torch.full((channels, 1), value)) for value in (1.0, 0.0))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.slope + self.offset


class Network(nn.Module):
    """One network: log-mel `[B, frames, 96]` (dB) to what it pools over time, `[B, 1506]`."""

    def __init__(self) -> None:
        super().__init__()
        self.input = _Affine(1)
        self.timbral = nn.ModuleList(nn.Conv2d(1, 204, (7, bands), padding=(3, 0)) for bands in _TIMBRAL)
        self.temporal = nn.ModuleList(nn.Conv2d(1, 51, (frames, 1)) for frames in _TEMPORAL)
        self.front = _Affine(_FRONT)
        self.register_buffer("signs", torch.ones(_FRONT, 1))  # of the filters of the front
        widths = (_FRONT, _CHANNELS, _CHANNELS)
        self.middle = nn.ModuleList(nn.Conv1d(width, _CHANNELS, 7, padding=3) for width in widths)
        self.norms = nn.ModuleList(_Affine(_CHANNELS) for _ in widths)
        self.dense, self.output = nn.Linear(_POOLED, 200), nn.Linear(200, 50)

    def forward(self, mel: Tensor, strongest: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Return maximum and mean over time of each channel in turn, `[B, 1506]`."""
        found = (strongest or self.strongest)(self.input(log_energies(mel)))
        channels = [self.front(F.relu(found * self.signs))]
        for i, (conv, norm) in enumerate(zip(self.middle, self.norms)):
            out = norm(F.relu(conv(channels[-1])))
            channels.append(out + channels[-1] if i else out)
        everything = torch.cat(channels, 1)  # [B, 753, frames]
        return torch.stack([everything.amax(2), everything.mean(2)], 2).flatten(1)

    def strongest(self, x: Tensor) -> Tensor:
        """Return the greatest output over all bands of the first layer's convolutions, `[B, 561, frames]`."""
        found = [conv(x[:, None]).amax(3) for conv in self.timbral]
        for conv in self.temporal:
            last = conv.kernel_size[0] - 1
            padded = F.pad(x, (0, 0, last // 2, last - last // 2))  # TensorFlow's padding to the same length
            found.append(conv(padded[:, None]).amax(3))
        return torch.cat(found, 1)

    def of_one(self) -> Callable[[Tensor], Tensor]:
        """Return the same, faster, for a single clip on a CPU, `[1, frames, 96]` to `[1, 1506]`."""
        layers = [*map(Timbral, self.timbral), Temporal(self.temporal)]
        return partial(self, strongest=lambda x: torch.cat([layer(x[0]) for layer in layers])[None])

    def tags(self, pooled: Tensor) -> Tensor:
        """Return the probabilities of the tags, `[B, 50]`, of `pooled [B, 1506]`."""
        return self.output(F.relu(self.dense(pooled))).sigmoid()


class MusicNN(nn.Module):
    """Features `[B, frames, width]` of the front end "musicnn" to a representation `[B, dim]`.

    These are 3,012 channels of the networks, with `config.bands` 1,536 of a third one that keeps bands apart
    (`slapkit.models.encoders.vgg`), and, where the front end gives pitches, 604 descriptors
    (`slapkit.models.encoders.descriptors`). Their scales differ a hundredfold, so that each is standardised by the
    training data (`standardise_by`), and the few descriptors are given weight. Always in evaluation mode.
    `weights=False` leaves random ones, where others are loaded next.

    Raises:
        ConfigError: the published weights are missing or damaged.
    """

    def __init__(self, config: AudioEncoderConfig | None = None, *, weights: bool = True) -> None:
        super().__init__()
        config = config or AudioEncoderConfig(kind="musicnn", frontend=FRONTENDS["musicnn"], frozen=True)
        self.bands, self.hop_s = config.frontend.n_mels, config.frontend.hop_s
        self.described = config.frontend.pitches
        blocks = [(_PUBLISHED + WIDTH * config.bands, 1.0), *(DESCRIPTORS.values() if self.described else ())]
        self.dim = sum(width for width, _ in blocks)
        self.networks = nn.ModuleDict({name: Network() for name in TAGS} | ({"MTT_vgg": Vgg()} if config.bands else {}))
        if weights:
            own = {key: value for key, value in read_weights().items() if key.split(".")[0] in self.networks}
            self.networks.load_state_dict(own)
        self.register_buffer("h_mean", torch.zeros(self.dim))
        self.register_buffer("h_std", torch.ones(self.dim))
        # Kept with the model, whose heads were trained on what it weighs.
        self.register_buffer("h_weight", torch.cat([torch.full((width,), weight) for width, weight in blocks]))
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> MusicNN:
        """Stay in evaluation mode."""
        return super().train(False)

    def forward(self, features: Tensor) -> Tensor:
        """Encode `features [B, frames, width]` to `[B, dim]`, standardised and clipped at 6 standard deviations."""
        return self.standardised(self.raw(features))

    def raw(self, features: Tensor) -> Tensor:
        """Return what the networks pool over time, and the descriptors: `[B, dim]`, as `tags` and `standardise_by` take
        it."""
        with torch.autocast(features.device.type, enabled=False):
            mel, pitches = features.float().split([self.bands, features.shape[2] - self.bands], 2)
            pooled = self._pooled(mel)
            return torch.cat([pooled, describe(mel, pitches, self.hop_s)], 1) if self.described else pooled

    def _pooled(self, mel: Tensor) -> Tensor:
        """What all networks pool over time, `[B, 3012]`, or with bands `[B, 4548]`."""
        networks = [*self.networks.values()]
        if torch.compiler.is_compiling() or torch.jit.is_tracing():
            return torch.cat([network(mel) for network in networks], 1)
        if mel.device.type != "cpu":  # where the first layer of 16 clips takes a gigabyte
            parts = [torch.cat([network(part) for network in networks], 1) for part in mel.split(16)]
            return torch.cat(parts)
        # One clip and network per thread: so a clip's result does not depend on the clips beside it.
        plans = spread(lambda network: network.of_one(), networks)
        pooled = spread(lambda piece: piece[0](piece[1]), [(plan, one) for plan in plans for one in mel.split(1)])
        return torch.cat([torch.cat(pooled[i :: len(mel)], 1) for i in range(len(mel))])

    def standardised(self, h: Tensor) -> Tensor:
        """Return raw representations `[B, dim]` standardised, clipped and weighted."""
        return ((h - self.h_mean) / self.h_std).clamp(-_FARTHEST, _FARTHEST) * self.h_weight

    def standardise_by(self, h: Tensor) -> None:
        """Standardise by mean and deviation of raw representations `h [W, dim]`."""
        require(h.ndim == 2 and h.shape[1] == self.dim and len(h) > 0, "h", list(h.shape), f"[W, {self.dim}]")
        std, mean = torch.std_mean(h.double(), dim=0, correction=0)
        self.h_mean.copy_(mean)
        self.h_std.copy_(std.clamp(min=_LEAST))

    def tags(self, h: Tensor) -> dict[str, Tensor]:
        """Return the probabilities of the `TAGS` of each network, `[B, 50]`, of raw representations `[B, dim]`."""
        halves = h[:, :_PUBLISHED].chunk(len(TAGS), 1)
        return {name: self.networks[name].tags(half) for name, half in zip(TAGS, halves)}
