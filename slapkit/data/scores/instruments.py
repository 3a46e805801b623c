"""The General MIDI instruments that clips use: range, roles, and what people call them."""

import dataclasses
import re
from importlib.resources import files


@dataclasses.dataclass(frozen=True)
class Instrument:
    """One General MIDI instrument: playable range in MIDI numbers, and what it is called.

    `roles`: m melody, p several voices at once, c chords, s sustained chords, b bass, d drone. `train` and `test` are
    other names, used in captions of these splits alone. A `sustained` tone lasts as long as its note; the name of a
    `plural` takes no article and a plural verb ("strings play"). `sound` is acoustic, amplified or electronic.
    """

    name: str
    program: int
    family: str
    low: int
    high: int
    roles: str
    train: str
    test: str
    sustained: bool
    plural: bool
    sound: str


def _read_row(line: str) -> Instrument:
    name, program, family, span, roles, flags, train, test = re.split(r" {2,}", line)
    low, high = map(int, span.split("-"))
    sound = "electronic" if "e" in flags else "amplified" if "a" in flags else "acoustic"
    return Instrument(name, int(program), family, low, high, roles, train, test, "s" not in flags, "p" in flags, sound)


_TABLE = (files("slapkit.data.scores") / "instruments.txt").read_text(encoding="utf-8")
INSTRUMENTS = tuple(map(_read_row, _TABLE.splitlines()[1:]))
BY_NAME = {instrument.name: instrument for instrument in INSTRUMENTS}


def with_role(*letters: str) -> list[Instrument]:
    """Return the instruments that fit at least one of the roles, in the order of the table."""
    return [instrument for instrument in INSTRUMENTS if set(letters) & set(instrument.roles)]
