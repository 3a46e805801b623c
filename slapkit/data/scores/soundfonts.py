"""SoundFonts: which of them a corpus is rendered with, and the part of one that a clip needs.

The renderer reads a whole SoundFont for each clip, 148 MB of FluidR3 for a few notes. It is given a copy that holds the
samples of these notes alone, and renders the same audio from it.
"""

import dataclasses
import importlib.util
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from slapkit.data.scores.excerpt import Unfit
from slapkit.errors import ConfigError, DataError

# SoundFonts that are used where they are installed, and the Debian packages that bring them.
SEEN, UNSEEN = "FluidR3_GM.sf2", "sf_GMbank.sf2"
PACKAGES = {SEEN: "fluid-soundfont-gm", UNSEEN: "csound-soundfont"}
DRUMS = 128  # bank of the drum kits

_GENERATORS = np.dtype([("kind", "<u2"), ("value", "<u2")])
_BAGS = np.dtype([("generators", "<u2"), ("modulators", "<u2")])
_RECORDS = {
    b"phdr": np.dtype([("name", "S20"), ("program", "<u2"), ("bank", "<u2"), ("bag", "<u2"), ("rest", "V12")]),
    b"pbag": _BAGS,
    b"pgen": _GENERATORS,
    b"inst": np.dtype([("name", "S20"), ("bag", "<u2")]),
    b"ibag": _BAGS,
    b"igen": _GENERATORS,
    b"shdr": np.dtype(
        [("name", "S20"), ("start", "<u4"), ("end", "<u4"), ("loop", "<u4"), ("loop_end", "<u4"), ("rest", "V10")]
    ),
}
_KEYS, _VELOCITIES, _INSTRUMENT, _SAMPLE = 43, 44, 41, 53  # kinds of generators
_SILENCE = 64  # frames after each sample; 46 are prescribed


@dataclasses.dataclass(frozen=True)
class Fonts:
    """The SoundFonts of a corpus: clips draw among `seen`; `unseen` renders the split "shift"."""

    seen: tuple[Path, ...]
    unseen: Path | None
    missing: tuple[str, ...]  # default SoundFonts that were to be used and are not installed, and how to get them


def find_fonts(seen: Sequence[str] | None, unseen: str | None) -> Fonts:
    """Return the SoundFonts named, or for None the default ones: TimGM6mb, which pretty_midi brings, and FluidR3 where
    it is installed; unseen, sf_GMbank where it is installed ("" for none).

    Raises:
        DataError: one is missing, or not a SoundFont.
        ConfigError: two have one name.
    """
    wanted = [name for name, given in ((SEEN, seen), (UNSEEN, unseen)) if given is None]
    missing = [f"{name} (Debian: `apt install {PACKAGES[name]}`)" for name in wanted if not installed(name)]
    if seen is None:
        seen = [path for path in (packaged(), installed(SEEN)) if path]
    if unseen is None:
        unseen = installed(UNSEEN) or ""
    fonts = Fonts(tuple(map(checked, seen)), checked(unseen) if unseen else None, tuple(missing))
    paths = [*fonts.seen, *([fonts.unseen] if fonts.unseen else [])]
    if len({path.stem for path in paths}) < len(paths):
        raise ConfigError(f"SoundFonts of one name: {', '.join(map(str, paths))}: rename one, clips are told by it")
    return fonts


def packaged() -> str:
    """Return the path of the SoundFont packaged with pretty_midi."""
    found = importlib.util.find_spec("pretty_midi")
    return str(Path(found.origin).parent / "TimGM6mb.sf2") if found and found.origin else "TimGM6mb.sf2"


def installed(name: str) -> str | None:
    """Return the path of a SoundFont in the folders where they are usually kept."""
    own = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    shared = (os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share").split(":")
    folders = [Path(base).expanduser() / kind for base in (own, *shared) for kind in ("sounds/sf2", "soundfonts")]
    return next((str(folder / name) for folder in folders if (folder / name).is_file()), None)


def checked(path: str) -> Path:
    """Return the path of a SoundFont.

    Raises:
        DataError: it is missing, or not a SoundFont.
    """
    file = Path(path).expanduser()
    try:
        with open(file, "rb") as stream:
            head = stream.read(12)
    except OSError as error:
        hint = "name a General MIDI .sf2 file, or none for the one that comes with pretty_midi"
        raise DataError(f"SoundFont {str(file)!r} cannot be read ({error.strerror}): {hint}") from error
    if head[:4] != b"RIFF" or head[8:] != b"sfbk":
        raise DataError(f"{file} is not a SoundFont 2 file (it begins with {head!r}): name a General MIDI .sf2 file")
    return file


class SoundFont:
    """A SoundFont file, mapped into memory."""

    def __init__(self, path: Path) -> None:
        """Read the tables of a file, not its samples; `DataError` where it is damaged or has no 16-bit samples."""
        self.name = path.stem
        try:
            file = memoryview(np.memmap(path, dtype=np.uint8, mode="r"))
            lists = {bytes(file[low : low + 4]): (low + 4, high) for _, low, high in _chunks(file, 12, len(file))}
            self._info = bytes(file[slice(*lists[b"INFO"])])
            samples = {name: (low, high) for name, low, high in _chunks(file, *lists[b"sdta"])}
            self._samples = np.frombuffer(file[slice(*samples[b"smpl"])], dtype="<i2")
            self._tables = {name: bytes(file[low:high]) for name, low, high in _chunks(file, *lists[b"pdta"])}
            self._records = {name: np.frombuffer(self._tables[name], kind) for name, kind in _RECORDS.items()}
        except (KeyError, ValueError, struct.error) as error:
            raise DataError(f"{path} is a damaged SoundFont ({error}): get it anew") from error

    def part(self, notes: Iterable[tuple[int, int, np.ndarray]]) -> bytes:
        """Return a SoundFont with the samples of the notes (bank, program, rows that end with key and velocity).

        Raises:
            Unfit: it lacks an instrument.
        """
        headers = self._records[b"shdr"].copy()
        # Samples that are left out become a moment of silence at the beginning.
        for field, value in (("start", 0), ("end", 48), ("loop", 8), ("loop_end", 40)):
            headers[field][:-1] = value
        silence = np.zeros(_SILENCE, dtype="<i2")
        kept, place = [silence], _SILENCE
        for number in sorted(set().union(*(self._needed(*part) for part in notes))):
            own = self._records[b"shdr"][number]
            start, end = int(own["start"]), int(own["end"])
            for field in ("start", "end", "loop", "loop_end"):
                headers[field][number] = int(own[field]) - start + place
            kept += [self._samples[start:end], silence]
            place += end - start + _SILENCE
        tables = self._tables | {b"shdr": headers.tobytes()}
        body = [
            b"sfbk",
            _chunk(b"LIST", b"INFO", self._info),
            _chunk(b"LIST", b"sdta", _chunk(b"smpl", *kept)),
            _chunk(b"LIST", b"pdta", *(_chunk(name, table) for name, table in tables.items())),
        ]
        return _chunk(b"RIFF", *body)

    @cached_property
    def _presets(self) -> dict[tuple[int, int], int]:
        presets = self._records[b"phdr"][:-1]
        keys = zip(presets["bank"].tolist(), presets["program"].tolist(), strict=True)
        return {key: number for number, key in reversed(list(enumerate(keys)))}

    def _needed(self, bank: int, program: int, notes: np.ndarray) -> set[int]:
        """Return the samples that sound in these notes of a preset; a drum kit that is missing is the standard one."""
        preset = self._presets.get((bank, program), self._presets.get((DRUMS, 0)) if bank == DRUMS else None)
        if preset is None:
            raise Unfit(f"no program {program} in bank {bank} of {self.name}")
        instruments = [number for _, number in self._zones(b"phdr", b"pbag", b"pgen", preset, _INSTRUMENT)]
        zones = [zone for number in instruments for zone in self._zones(b"inst", b"ibag", b"igen", number, _SAMPLE)]
        played = notes[:, -2:]
        return {number for (low, high), number in zones if ((played >= low) & (played <= high)).all(axis=1).any()}

    def _zones(
        self, heads: bytes, bags: bytes, generators: bytes, number: int, wanted: int
    ) -> Iterator[tuple[np.ndarray, int]]:
        """Yield (lowest and highest (key, velocity), what generator `wanted` names) of the zones."""
        first, last = self._records[heads]["bag"][number : number + 2].tolist()
        edges = self._records[bags]["generators"][first : last + 1].tolist()
        for low, high in zip(edges, edges[1:]):
            zone = dict(self._records[generators][low:high].tolist())
            if wanted in zone:
                limits = [divmod(zone.get(kind, 127 << 8), 256)[::-1] for kind in (_KEYS, _VELOCITIES)]
                yield np.array(limits).T, zone[wanted]


def _chunks(file: memoryview, low: int, high: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield (name, beginning, end) of the RIFF chunks between two places of a file."""
    while low + 8 <= high:
        name, size = struct.unpack_from("<4sI", file, low)
        yield name, low + 8, low + 8 + size
        low += 8 + size + size % 2


def _chunk(name: bytes, *parts: bytes | np.ndarray) -> bytes:
    content = b"".join(parts)
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
