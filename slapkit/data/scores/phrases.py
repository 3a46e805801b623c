"""The words and frames of captions, read from `captions.txt`; training never shows those of the test split."""

import re
from importlib.resources import files

Pair = tuple[tuple[str, ...], tuple[str, ...]]  # phrases of (training, test)


def _sections() -> dict[str, list[str]]:
    """Return the lines of each section, comments left out."""
    text = (files("slapkit.data.scores") / "captions.txt").read_text(encoding="utf-8")
    parts = re.split(r"(?m)^\[([\w ]+)\].*\n", text)[1:]
    kept = ([line for line in part.splitlines() if line and line[0] != "#"] for part in parts[1::2])
    return dict(zip(parts[::2], kept, strict=True))


def _bank(lines: list[str]) -> dict[str, Pair]:
    """Return the phrases of each fact; a line that begins with "|" continues the one before."""
    bank = {}
    for line in "\n".join(lines).replace("\n|", " |").splitlines():
        fact, phrases = line.split(":")
        train, test = (tuple(part.strip() for part in side.split(";")) for side in phrases.split("|"))
        bank[fact] = train, test
    return bank


REGISTERS = ("sentence", "terse", "tags", "query", "partial")
_SECTIONS = _sections()
# register -> frames
TRAIN, TEST = ({name: tuple(_SECTIONS.pop(f"{side} {name}")) for name in REGISTERS} for side in ("TRAIN", "TEST"))
BANKS = {name: _bank(lines) for name, lines in _SECTIONS.items()}  # "STYLE" -> fact -> phrases
