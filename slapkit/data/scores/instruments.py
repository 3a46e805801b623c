"""The General MIDI instruments that clips use: range, roles, and what people call them."""

from __future__ import annotations

import dataclasses
import re


@dataclasses.dataclass(frozen=True)
class Instrument:
    """One General MIDI instrument.

    Attributes:
        name: canonical name, used in facts and in captions of every split.
        program: General MIDI program, 0..127.
        family: strings, woodwind, brass, keyboard, plucked, percussion, voice or electronic.
        low, high: playable range, MIDI numbers inclusive.
        roles: m melody, p several voices at once, c chords, s sustained chords, b bass, d drone.
        train, test: another name, used only in training and validation captions / only in test captions.
        sustained: the tone lasts as long as the note, so that short and long notes differ.
        plural: the name takes no article and a plural verb ("strings play").
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


# name, program, family, range, roles, "s" for short tones and "p" for plural, name in training, name in test
_TABLE = """
piano               0    keyboard    28-96   mpc   s   grand piano                 concert piano
electric piano      4    keyboard    36-88   mpc   s   electric piano              Rhodes piano
harpsichord         6    keyboard    36-84   mpc   s   harpsichord                 cembalo
celesta             8    percussion  60-96   mp    s   celesta                     bell-like celesta
glockenspiel        9    percussion  72-100  m     s   glockenspiel                bell lyre
music box           10   percussion  60-96   mp    s   music box                   tinkling musical box
vibraphone          11   percussion  53-89   mpc   s   vibes                       vibraharp
marimba             12   percussion  48-91   mpc   s   wooden marimba              marimba with soft mallets
xylophone           13   percussion  65-96   m     s   xylophone                   bright wooden xylophone
tubular bells       14   percussion  58-79   m     sp  tubular bells               chimes
hammered dulcimer   15   plucked     50-88   mpc   s   dulcimer                    hammer dulcimer
Hammond organ       16   keyboard    36-88   mpsb  -   electric organ              drawbar organ
church organ        19   keyboard    36-90   mpsd  -   organ                       pipe organ
accordion           21   keyboard    50-88   mpsd  -   accordion                   squeezebox
harmonica           22   woodwind    60-88   m     -   mouth harp                  blues harp
nylon guitar        24   plucked     40-79   mpc   s   classical guitar            Spanish guitar
steel guitar        25   plucked     40-79   mpc   s   acoustic guitar             steel-string guitar
jazz guitar         26   plucked     40-79   mpc   s   mellow electric guitar      hollow-body guitar
distorted guitar    30   plucked     40-76   ms    -   overdriven electric guitar  fuzz guitar
double bass         32   strings     28-60   b     s   upright bass                acoustic bass
electric bass       33   plucked     28-60   b     s   bass guitar                 fingered bass
violin              40   strings     55-96   m     -   bowed violin                fiddle
viola               41   strings     48-84   m     -   mellow viola                alto fiddle
cello               42   strings     36-74   mb    -   warm cello                  violoncello
pizzicato strings   45   strings     36-84   mpc   sp  plucked strings             strings played pizzicato
harp                46   plucked     36-92   mpc   s   concert harp                pedal harp
string ensemble     48   strings     40-90   mpsd  -   string section              string orchestra
choir               52   voice       43-79   mpsd  -   wordless choir              chorus of voices
trumpet             56   brass       55-82   m     -   bright trumpet              open trumpet
muted trumpet       59   brass       55-82   m     -   trumpet with a mute         trumpet played with a Harmon mute
trombone            57   brass       40-72   mb    -   slide trombone              tenor trombone
tuba                58   brass       29-58   mb    -   tuba                        bass tuba
French horn         60   brass       41-77   m     -   horn                        orchestral horn
brass section       61   brass       40-82   mps   -   brass ensemble              horn section
soprano saxophone   64   woodwind    56-87   m     -   soprano sax                 high saxophone
alto saxophone      65   woodwind    49-80   m     -   alto sax                    saxophone
baritone saxophone  67   woodwind    37-69   mb    -   baritone sax                deep saxophone
oboe                68   woodwind    58-91   m     -   nasal oboe                  reedy oboe
bassoon             70   woodwind    34-72   mb    -   woody bassoon               low double-reed bassoon
clarinet            71   woodwind    50-91   m     -   round-toned clarinet        B-flat clarinet
piccolo             72   woodwind    74-103  m     -   piccolo                     small high flute
flute               73   woodwind    60-96   m     -   silver flute                concert flute
recorder            74   woodwind    60-91   m     -   treble recorder             wooden recorder
pan flute           75   woodwind    60-91   m     -   panpipe                     Andean flute
ocarina             79   woodwind    60-91   m     -   clay ocarina                vessel flute
synthesizer lead    81   electronic  48-88   m     -   sawtooth synth              buzzing synth lead
chiptune synth      80   electronic  48-88   m     -   square-wave synth           8-bit game synth
synth pad           89   electronic  40-84   sd    -   warm synthesizer pad        ambient synth wash
sitar               104  plucked     48-79   m     s   Indian sitar                twangy sitar
banjo               105  plucked     48-84   mpc   s   five-string banjo           bluegrass banjo
koto                107  plucked     48-84   mpc   s   Japanese koto               Japanese zither
kalimba             108  percussion  55-84   mp    s   thumb piano                 African mbira
bagpipe             109  woodwind    55-82   md    -   Scottish bagpipe            Highland pipes
steel drums         114  percussion  52-84   mpc   sp  steel pans                  Caribbean steelpans
"""


def _read_row(line: str) -> Instrument:
    name, program, family, span, roles, flags, train, test = re.split(r" {2,}", line)
    low, high = map(int, span.split("-"))
    return Instrument(name, int(program), family, low, high, roles, train, test, "s" not in flags, "p" in flags)


INSTRUMENTS = tuple(map(_read_row, _TABLE.strip().splitlines()))
BY_NAME = {instrument.name: instrument for instrument in INSTRUMENTS}


def with_role(*letters: str) -> list[Instrument]:
    """Return the instruments that fit at least one of the roles, in the order of the table."""
    return [instrument for instrument in INSTRUMENTS if set(letters) & set(instrument.roles)]
