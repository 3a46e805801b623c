"""The General MIDI instruments that clips use: sound, range, what each is good for, and what people call it."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Instrument:
    """One General MIDI instrument.

    Attributes:
        name: canonical name, used in facts and in captions of every split.
        program: General MIDI program, 0..127.
        family: strings, woodwind, brass, keyboard, plucked, percussion, voice or electronic.
        low, high: playable range, MIDI numbers inclusive.
        roles: m melody, p several voices at once, c chords, s sustained chords, b bass, d drone.
        train, test: further names, used only in training and validation captions / only in test captions.
        sustained: the tone lasts as long as the note, so that short and long notes can be told apart.
        plural: the name takes no article and a plural verb ("strings play").
    """

    name: str
    program: int
    family: str
    low: int
    high: int
    roles: str
    train: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    sustained: bool = True
    plural: bool = False


def _i(
    name: str, program: int, family: str, low: int, high: int, roles: str, train: str, test: str, **more: bool
) -> Instrument:
    def names(text: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",") if part.strip())

    return Instrument(name, program, family, low, high, roles, names(train), names(test), **more)


INSTRUMENTS: tuple[Instrument, ...] = (
    _i("piano", 0, "keyboard", 28, 96, "mpc", "grand piano", "concert piano", sustained=False),
    _i("electric piano", 4, "keyboard", 36, 88, "mpc", "electric piano", "Rhodes piano", sustained=False),
    _i("harpsichord", 6, "keyboard", 36, 84, "mpc", "harpsichord", "cembalo", sustained=False),
    _i("celesta", 8, "percussion", 60, 96, "mp", "celesta", "bell-like celesta", sustained=False),
    _i("glockenspiel", 9, "percussion", 72, 100, "m", "glockenspiel", "bell lyre", sustained=False, plural=False),
    _i("music box", 10, "percussion", 60, 96, "mp", "music box", "tinkling musical box", sustained=False),
    _i("vibraphone", 11, "percussion", 53, 89, "mpc", "vibes", "vibraharp", sustained=False),
    _i("marimba", 12, "percussion", 48, 91, "mpc", "wooden marimba", "marimba with soft mallets", sustained=False),
    _i("xylophone", 13, "percussion", 65, 96, "m", "xylophone", "bright wooden xylophone", sustained=False),
    _i("tubular bells", 14, "percussion", 58, 79, "m", "tubular bells", "chimes", sustained=False, plural=True),
    _i("hammered dulcimer", 15, "plucked", 50, 88, "mpc", "dulcimer", "hammer dulcimer", sustained=False),
    _i("Hammond organ", 16, "keyboard", 36, 88, "mpsb", "electric organ", "drawbar organ"),
    _i("church organ", 19, "keyboard", 36, 90, "mpsd", "organ", "pipe organ"),
    _i("accordion", 21, "keyboard", 50, 88, "mpsd", "accordion", "squeezebox"),
    _i("harmonica", 22, "woodwind", 60, 88, "m", "mouth harp", "blues harp"),
    _i("nylon guitar", 24, "plucked", 40, 79, "mpc", "classical guitar", "Spanish guitar", sustained=False),
    _i("steel guitar", 25, "plucked", 40, 79, "mpc", "acoustic guitar", "steel-string guitar", sustained=False),
    _i("jazz guitar", 26, "plucked", 40, 79, "mpc", "mellow electric guitar", "hollow-body guitar", sustained=False),
    _i("distorted guitar", 30, "plucked", 40, 76, "ms", "overdriven electric guitar", "fuzz guitar"),
    _i("double bass", 32, "strings", 28, 60, "b", "upright bass", "acoustic bass", sustained=False),
    _i("electric bass", 33, "plucked", 28, 60, "b", "bass guitar", "fingered bass", sustained=False),
    _i("violin", 40, "strings", 55, 96, "m", "bowed violin", "fiddle"),
    _i("viola", 41, "strings", 48, 84, "m", "mellow viola", "alto fiddle"),
    _i("cello", 42, "strings", 36, 74, "mb", "warm cello", "violoncello"),
    _i(
        "pizzicato strings",
        45,
        "strings",
        36,
        84,
        "mpc",
        "plucked strings",
        "strings played pizzicato",
        sustained=False,
        plural=True,
    ),
    _i("harp", 46, "plucked", 36, 92, "mpc", "concert harp", "pedal harp", sustained=False),
    _i("string ensemble", 48, "strings", 40, 90, "mpsd", "string section", "string orchestra"),
    _i("choir", 52, "voice", 43, 79, "mpsd", "wordless choir", "chorus of voices"),
    _i("trumpet", 56, "brass", 55, 82, "m", "bright trumpet", "open trumpet"),
    _i("muted trumpet", 59, "brass", 55, 82, "m", "trumpet with a mute", "trumpet played with a Harmon mute"),
    _i("trombone", 57, "brass", 40, 72, "mb", "slide trombone", "tenor trombone"),
    _i("tuba", 58, "brass", 29, 58, "mb", "tuba", "bass tuba"),
    _i("French horn", 60, "brass", 41, 77, "m", "horn", "orchestral horn"),
    _i("brass section", 61, "brass", 40, 82, "mps", "brass ensemble", "horn section"),
    _i("soprano saxophone", 64, "woodwind", 56, 87, "m", "soprano sax", "high saxophone"),
    _i("alto saxophone", 65, "woodwind", 49, 80, "m", "alto sax", "saxophone"),
    _i("baritone saxophone", 67, "woodwind", 37, 69, "mb", "baritone sax", "deep saxophone"),
    _i("oboe", 68, "woodwind", 58, 91, "m", "nasal oboe", "reedy oboe"),
    _i("bassoon", 70, "woodwind", 34, 72, "mb", "woody bassoon", "low double-reed bassoon"),
    _i("clarinet", 71, "woodwind", 50, 91, "m", "round-toned clarinet", "B-flat clarinet"),
    _i("piccolo", 72, "woodwind", 74, 103, "m", "piccolo", "small high flute"),
    _i("flute", 73, "woodwind", 60, 96, "m", "silver flute", "concert flute"),
    _i("recorder", 74, "woodwind", 60, 91, "m", "treble recorder", "wooden recorder"),
    _i("pan flute", 75, "woodwind", 60, 91, "m", "panpipe", "Andean flute"),
    _i("ocarina", 79, "woodwind", 60, 91, "m", "clay ocarina", "vessel flute"),
    _i("synthesizer lead", 81, "electronic", 48, 88, "m", "sawtooth synth", "buzzing synth lead"),
    _i("chiptune synth", 80, "electronic", 48, 88, "m", "square-wave synth", "8-bit game synth"),
    _i("synth pad", 89, "electronic", 40, 84, "sd", "warm synthesizer pad", "ambient synth wash"),
    _i("sitar", 104, "plucked", 48, 79, "m", "Indian sitar", "twangy sitar", sustained=False),
    _i("banjo", 105, "plucked", 48, 84, "mpc", "five-string banjo", "bluegrass banjo", sustained=False),
    _i("koto", 107, "plucked", 48, 84, "mpc", "Japanese koto", "Japanese zither", sustained=False),
    _i("kalimba", 108, "percussion", 55, 84, "mp", "thumb piano", "African mbira", sustained=False),
    _i("bagpipe", 109, "woodwind", 55, 82, "md", "Scottish bagpipe", "Highland pipes"),
    _i(
        "steel drums",
        114,
        "percussion",
        52,
        84,
        "mpc",
        "steel pans",
        "Caribbean steelpans",
        sustained=False,
        plural=True,
    ),
)
BY_NAME = {instrument.name: instrument for instrument in INSTRUMENTS}


def with_role(*letters: str) -> list[Instrument]:
    """Return the instruments that fit at least one of the roles, in the order of the table."""
    return [instrument for instrument in INSTRUMENTS if set(letters) & set(instrument.roles)]
