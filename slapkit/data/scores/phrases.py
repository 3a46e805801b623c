"""The words of captions: for each fact, what training and validation captions say, and what only test captions say.

A line reads `fact: training phrases | test phrases`, with ";" between phrases. No phrase is in both. Nouns and
adjectives come without an article.
"""

from __future__ import annotations

Pair = tuple[tuple[str, ...], tuple[str, ...]]  # phrases of (training, test)


def _bank(text: str) -> dict[str, Pair]:
    """Return the phrases of each fact; a line that begins with "|" continues the one before."""
    bank = {}
    for line in text.strip().replace("\n|", " |").splitlines():
        fact, phrases = line.split(":")
        train, test = (tuple(part.strip() for part in side.split(";")) for side in phrases.split("|"))
        bank[fact] = train, test
    return bank


STYLE = _bank("""
chorale: chorale; Bach chorale; Lutheran chorale | church hymn; chorale-like hymn; congregational hymn
mass: Renaissance mass; Renaissance mass setting; sacred Renaissance piece
| sixteenth-century mass movement; Palestrina-like sacred work; old liturgical piece
motet: Renaissance motet; Renaissance song | Josquin-era part song; early sixteenth-century motet
madrigal: madrigal; Italian madrigal | Monteverdi-style madrigal; late Renaissance part song
medieval: medieval piece; medieval song | fourteenth-century piece; tune from the Middle Ages
baroque: baroque piece; baroque aria | piece from the baroque era; early eighteenth-century work
classical: classical-era piece; classical piece | chamber work from the age of Haydn; Viennese quartet-style excerpt
romantic: romantic piece; romantic character piece | nineteenth-century work; Schumann-like miniature
ragtime: ragtime piece; rag | Joplin-style rag; syncopated ragtime number
popular song: popular song; old popular song | vintage song; well-worn parlour song
scottish air: Scottish air; Scottish tune | Scots melody; Highland folk melody
irish air: Irish air; Irish tune | Celtic melody; traditional tune from Ireland
fiddle tune: fiddle tune; country dance tune | old-time dance melody; barn dance number
jig: jig; Irish jig | lilting Celtic jig; jig-time dance
slip jig: slip jig; Irish slip jig | lilting nine-beat jig; Celtic slip jig
reel: reel; Irish reel | Celtic reel; ceilidh reel
hornpipe: hornpipe; hornpipe dance | sailor's hornpipe; bouncing Celtic hornpipe
strathspey: strathspey; Scottish strathspey | Highland strathspey; snappy Scots dance
waltz: waltz; folk waltz | ballroom waltz; rustic waltz
march: march; fife march | parade march; military tune
english folk: English folk tune; Northumbrian tune | North Country melody; traditional English melody
folk song: folk song; German folk song | central European traditional song; Volkslied
ballad: ballad; folk ballad | narrative folk melody; old storytelling song
children's song: children's song; nursery song | kids' playground tune; nursery rhyme
chinese folk song: Chinese folk song; pentatonic Chinese melody | traditional tune from China; East Asian folk melody
""")
TEMPO = _bank("""
slow: slow; unhurried; slow-moving | leisurely; languid; lazy
medium: medium-tempo; moderate; mid-tempo | moderately paced; walking-pace; middling
fast: fast; quick; up-tempo | rapid; swift; brisk
""")  # adjectives
PACE = _bank("""
slow: slowly; at a slow tempo; at an unhurried pace | in no rush at all; at a leisurely pace; at a crawl
medium: at a moderate tempo; at a medium pace; neither fast nor slow
| at walking speed; with a moderate pulse; at a middling speed
fast: at a fast tempo; quickly; at a quick pace | at high speed; at a rapid clip; briskly
""")  # adverbials
MOOD = _bank("""
major slow: peaceful; calm; tender | serene; soothing; gentle
major medium: warm; pleasant; relaxed | easy-going; good-natured; sunny
major fast: cheerful; happy; lively | joyful; merry; jolly
minor slow: sad; mournful; sombre | melancholic; sorrowful; gloomy
minor medium: wistful; serious; moody | pensive; brooding; bittersweet
minor fast: dramatic; restless; tense | agitated; urgent; stormy
unclear slow: contemplative; still | meditative; dreamy
unclear medium: plain; thoughtful | modest; reflective
unclear fast: energetic; busy | vigorous; spirited
""")  # adjectives, by mode and tempo class
MODE = _bank("""
major: in a major key; in major | with a major tonality; in a bright major mode
minor: in a minor key; in minor | with a minor tonality; in a dark minor mode
""")  # adverbials
METRE = _bank("""
duple: in duple time; with two beats to the bar | with a two-step feel; counted in two
quadruple: in four-four time; in common time | with four beats per measure; counted in four
triple: in triple time; in three | in waltz time; with three beats per measure
compound: in six-eight time; in a lilting compound metre | with a rolling triplet feel; with a skipping jig rhythm
""")  # adverbials
DRUMS = _bank("""
drum kit: drums; a drum kit; a steady drum beat | a backbeat; a rock-style drum set; percussion from a full kit
hand drums: hand drums; congas and shaker | Latin hand percussion; conga drums
snare drum: a snare drum; a marching snare | a rattling side drum; military drumming
tambourine: a tambourine; a jingling tambourine | a shaken tambourine; the jingle of a tambourine
""")  # noun phrases with article
TEXTURE = _bank("""
single line: a single unaccompanied line; one melody line alone | a bare melody with nothing beneath it; a lone voice
octaves: a melody doubled in octaves; two instruments in unison
| the same tune in parallel; a tune shadowed note for note
drone: a melody over a drone; a tune above a held note | a tune above one sustained tone; a melody on a constant hum
chords: a melody with chords; a tune with accompaniment | a lead with harmonic backing; a tune on top of harmonies
bass: a melody and a bass line; a tune over a bass | just a top line and a low line; a lead with only a bass below
chordal: several voices in block chords; full chords in several parts
| voices that move together as harmony; hymn-like harmony
counterpoint: several independent voices; interweaving lines | polyphony with overlapping parts; contrapuntal strands
""")  # noun phrases with article
ACCOMPANIMENT = _bank("""
chords: strummed chords; steady chords | chords struck on every beat; pulsing harmonies
arpeggios: broken chords; arpeggios | rippling arpeggiated figures; chords picked note by note
sustained chords: sustained chords; long held chords | a bed of lingering harmony; slow-changing pads of harmony
drone: a drone; a held drone | a constant humming tone; one long sustained note
""")  # noun phrases with article
REGISTER = _bank("""
low: low-pitched; deep | bass-heavy; low-register
high: high-pitched; high | treble; high-register
""")  # adjectives
ARTICULATION = _bank("""
staccato: staccato; short, detached | clipped; choppy
legato: legato; smooth | flowing; connected
""")  # adjectives
SIZE = _bank("""
1: solo; solo piece | one-player performance; one-instrument recording
2: duet; duo | piece for a pair of instruments; two-player arrangement
3: trio; piece for three instruments | three-player arrangement; small three-piece group
""")  # by the number of instruments
