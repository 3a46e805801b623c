"""The settings of a corpus."""

import dataclasses
from typing import Literal

from slapkit.config import Config, require

CLIPS = {"smoke": 120, "quick": 2_500, "medium": 12_000, "full": 30_000}
CLIPS_PER_WORK = 2  # each with another excerpt and arrangement


@dataclasses.dataclass(frozen=True)
class CorpusConfig(Config):
    """Settings of the score corpus.

    Attributes:
        size: `quick` (2,500 clips, minutes), `medium` (12,000), `full` (30,000) or `smoke` (120, seconds, for tests).
        seed: seed of everything that is drawn.
        clips: number of clips, in place of that of `size`.
        clip_s: length of a clip in seconds.
        sample_rate: of the stored audio in Hz; 32 kHz hold all that either front end uses (up to 14 kHz).
        soundfonts: paths of General MIDI SoundFonts (.sf2), among which clips draw; None for the one packaged with
            pretty_midi and, where it is installed, FluidR3.
        unseen_soundfont: path of the one that renders the split "shift" alone; None for sf_GMbank where it is
            installed, "" for no such split.
        workers: number of processes; None for one a core. It does not change the result.
    """

    size: Literal["smoke", "quick", "medium", "full"] = "quick"
    seed: int = 0
    clips: int | None = None
    clip_s: float = 10.0
    sample_rate: int = 32_000
    soundfonts: tuple[str, ...] | None = None
    unseen_soundfont: str | None = None
    workers: int | None = None

    def check(self) -> None:
        """Refuse values out of range."""
        require(self.seed >= 0, "seed", self.seed, "0 or more")
        require(self.clips is None or 20 <= self.clips <= 1_000_000, "clips", self.clips, "20 to 1,000,000, or None")
        require(4.0 <= self.clip_s <= 60.0, "clip_s", self.clip_s, "4 to 60 seconds")
        require(self.soundfonts is None or len(self.soundfonts) > 0, "soundfonts", self.soundfonts, "one or more")
        rates = (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
        require(self.sample_rate in rates, "sample_rate", self.sample_rate, f"one of {rates} Hz")
        require(self.workers is None or self.workers >= 1, "workers", self.workers, "1 or more, or None")

    @property
    def n_clips(self) -> int:
        """Number of clips to make."""
        return self.clips if self.clips is not None else CLIPS[self.size]

    def folder_name(self, fonts_sha256: str) -> str:
        """Return `scores-<size>` and what differs from the defaults, so that no corpus overwrites another.

        `fonts_sha256` stands for the SoundFonts where they are named.
        """
        default = CorpusConfig()
        name = f"scores-{self.size}"
        name += f"-seed{self.seed}" if self.seed != default.seed else ""
        name += f"-{self.clips}clips" if self.clips not in (None, CLIPS[self.size]) else ""
        name += f"-{self.clip_s:g}s" if self.clip_s != default.clip_s else ""
        name += f"-{self.sample_rate}Hz" if self.sample_rate != default.sample_rate else ""
        named = self.soundfonts is not None or self.unseen_soundfont is not None
        return name + (f"-{fonts_sha256[:8]}" if named else "")
