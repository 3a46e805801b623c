"""Arrangements are playable, varied, seeded and in style; what is rendered is as long as it should be."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import symusic
from scipy import signal

from slapkit.data.scores import excerpt, soundfonts, synth
from slapkit.data.scores.arrange import TEMPI, arrange, in_mode
from slapkit.data.scores.captions import BANKS
from slapkit.data.scores.instruments import BY_NAME
from slapkit.data.scores.score import Score, find_key, from_midi
from slapkit.data.scores.soundfonts import SoundFont
from slapkit.data.scores.styles import STYLES, TYPICAL, draw_style
from slapkit.errors import DataError
from tests.data.scores.conftest import make_score, random_tune


def a_tune() -> Score:
    return make_score(random_tune(np.random.default_rng(0), 120), durations=[0.5] * 120, metre=(2, 4))


def a_quartet() -> Score:
    rng = np.random.default_rng(1)
    parts = [make_score(random_tune(rng, 100) - 9 * k, part=k) for k in range(4)]
    arrays = {f: np.concatenate([getattr(p, f) for p in parts]) for f in ("onset", "duration", "pitch", "part")}
    return Score(**arrays, metres=parts[0].metres)


def draws(score: Score, count: int = 60):
    for seed in range(count):
        yield arrange(score, np.random.default_rng(seed), clip_s=10.0, style="reel")


@pytest.mark.parametrize("score", [a_tune(), a_quartet()], ids=["tune", "quartet"])
def test_notes_stay_in_the_playable_range_and_in_the_clip(score):
    for arrangement in draws(score):
        assert 1 <= len(arrangement.voices) <= 3
        assert len({voice.instrument.name for voice in arrangement.voices}) == len(arrangement.voices)
        for voice in arrangement.voices:
            start, length, pitch, velocity = voice.notes.T
            assert pitch.min() >= voice.instrument.low and pitch.max() <= voice.instrument.high
            assert start.min() >= 0 and (start + length).max() < 10.1 and (length > 0).all()
            assert velocity.min() >= 1 and velocity.max() <= 127
            assert np.isfinite(voice.notes).all()
        assert (arrangement.drums is not None) == arrangement.facts["drums"]
        low, high = TEMPI[arrangement.facts["tempo_class"]]
        assert low <= arrangement.facts["tempo_bpm"] <= high


def test_arrangements_repeat_for_a_seed_and_vary():
    one, same, other = (
        arrange(a_quartet(), np.random.default_rng(s), clip_s=10.0, style="Renaissance") for s in (4, 4, 5)
    )
    assert one.facts == same.facts != other.facts
    assert all(np.array_equal(a.notes, b.notes) for a, b in zip(one.voices, same.voices))
    facts = [a.facts for a in draws(a_tune(), 150)]
    assert {f["texture"] for f in facts} >= {"single line", "octaves", "drone", "chords", "bass"}
    assert {len(f["instruments"]) for f in facts} == {1, 2, 3}
    assert len({name for f in facts for name in f["instruments"]}) > 40
    assert {f["drums"] for f in facts} == {True, False}
    assert {a.facts["texture"] for a in draws(a_quartet())} >= {"single line", "chordal"}
    bounds = sorted(TEMPI.values())
    assert all(later[0] >= 1.25 * earlier[1] for earlier, later in zip(bounds, bounds[1:])), "classes do not touch"


def test_a_style_shapes_what_is_played_and_leaves_the_instruments_open():
    assert set(STYLES) == set(BANKS["STYLE"])
    steps = np.cumsum(np.random.default_rng(0).choice([-2, -1, 1, 2], 120)) % 9
    tonal, heard = make_score(67 + np.array([0, 2, 4, 5, 7, 9, 11, 12, 7])[steps], durations=[0.5] * 120), {}
    for style, rules in STYLES.items():
        assert set(rules.leads) | set(rules.others) <= set(BY_NAME)
        assert set(rules.drums) <= {"none", *BANKS["DRUMS"]} and set(rules.tempo) <= set(TEMPI)
        heard[style] = [arrange(tonal, np.random.default_rng(s), clip_s=10.0, style=style).facts for s in range(120)]
        share = np.mean([facts["instruments"][0] in rules.leads for facts in heard[style]])
        assert abs(share - TYPICAL) < 0.2
        assert len({facts["instruments"][0] for facts in heard[style]}) > 12

    def share(style: str, fact: str, value) -> float:
        return float(np.mean([facts[fact] == value for facts in heard[style]]))

    assert share("rock", "drums", True) > 0.85 and share("lullaby", "drums", True) == 0
    assert share("reel", "tempo_class", "fast") > 0.6 and share("ambient", "tempo_class", "slow") > 0.7
    assert share("march", "percussion", "snare drum") > 0.6
    minor = [share(style, "mode", "minor") for style in STYLES if style != "Chinese folk song"]
    assert min(minor) > 0.25 and max(minor) < 0.7, "the mode says nothing about the style"


def test_jazz_swings_and_a_waltz_has_its_bass_on_the_first_beat():
    def offsets(style: str, metre: tuple[int, int], role: str, span: float) -> np.ndarray:
        """Places of all notes inside the beat (or `span` beats)."""
        score, found = make_score(a_tune().pitch, durations=[0.5] * 120, metre=metre), []
        for seed in range(12):
            one = arrange(score, np.random.default_rng(seed), clip_s=10.0, style=style)
            beats = [voice.notes[:, 0] * one.facts["tempo_bpm"] / 60 for voice in one.voices if voice.role == role]
            found += [np.mod(place + 0.1, span) - 0.1 for place in beats]
        return np.concatenate(found)

    swung, even = (offsets(style, (2, 4), "melody", 1.0) for style in ("jazz", "reel"))
    assert abs(np.median(swung[swung > 0.3]) - 0.64) < 0.03 and abs(np.median(even[even > 0.3]) - 0.5) < 0.03
    assert (offsets("waltz", (3, 4), "bass", 3.0) < 0.2).all()
    assert (offsets("waltz", (3, 4), "chords", 3.0) > 0.8).all()


def test_works_are_played_in_styles_that_suit_them():
    rng = np.random.default_rng(0)
    drawn = {
        key: {draw_style(*key, rng) for _ in range(200)}
        for key in (("mass", 4, (4, 2)), ("motet", 1, (2, 2)), ("hornpipe", 1, (6, 8)), ("ballad", 1, (3, 4)))
    }
    mass, motet, compound, triple = drawn.values()
    assert mass == {"Renaissance"} and compound == {"jig"} and triple == {"waltz", "lullaby", "folk song"}
    assert "Renaissance" not in motet and {"rock", "march", "jazz"} <= motet


@pytest.mark.parametrize("mode", ["major", "minor"])
def test_an_excerpt_is_played_in_the_other_mode(mode):
    scale = {"major": [0, 2, 4, 5, 7, 9, 11, 12], "minor": [0, 2, 3, 5, 7, 8, 10, 12]}
    other = "minor" if mode == "major" else "major"
    pitch = np.array([0, 4, 2, 7, 0, 6, 5, 1, 3, 0, 2, 4, 0] * 3)
    score = make_score(62 + np.array(scale[mode])[pitch])
    taken = excerpt.take_excerpt(score, np.random.default_rng(0), tempo=100, clip_s=8.0)
    turned, kept = in_mode(taken, other).parts[0], in_mode(taken, mode).parts[0]
    assert np.array_equal(kept, taken.parts[0])
    assert find_key(turned[:, 2].astype(int), turned[:, 1])[:2] == (2, other)
    assert set((turned[:, 2] - 62) % 12) <= {degree % 12 for degree in scale[other]}


@pytest.mark.parametrize(
    ("density", "metre", "beat"),
    [
        (0.8, (4, 2), 2.0),  # half notes in a Renaissance mass
        (1.6, (4, 4), 1.0),
        (3.5, (2, 4), 0.5),  # sixteenths in a reel written in 2/4
        (1.7, (6, 8), 1.5),  # a jig
    ],
)
def test_the_felt_beat_follows_the_notes_and_not_the_notation(density, metre, beat):
    assert excerpt.felt_beat(density, metre) == beat


def test_a_score_survives_storage_and_reads_midi(tmp_path):
    source = symusic.Score(480)
    track = symusic.Track("a", 0, False)
    track.notes.append(symusic.Note(480, 240, 64, 90))
    track.notes.append(symusic.Note(0, 480, 60, 90))
    source.tracks.append(track)
    source.time_signatures.append(symusic.TimeSignature(0, 6, 8))
    score = from_midi(source.dumps_midi())
    assert score.onset.tolist() == [0.0, 1.0] and score.pitch.tolist() == [60, 64]
    (tmp_path / "s.npz").write_bytes(score.to_bytes())
    again = Score.read(tmp_path / "s.npz")
    assert again.duration.tolist() == [1.0, 0.5] and again.metre_at(0) == (6, 8)
    with pytest.raises(ValueError, match="no notes"):
        from_midi(symusic.Score(480).dumps_midi())


with_tinysoundfont = pytest.mark.skipif(synth.renderer() != "tinysoundfont", reason="it is not installed")


@pytest.mark.parametrize("renderer", ["midirenderer", pytest.param("tinysoundfont", marks=with_tinysoundfont)])
def test_a_rendered_clip_is_as_long_as_it_should_be_and_needs_a_part_of_the_soundfont(renderer, monkeypatch):
    monkeypatch.setattr(synth, "renderer", lambda: renderer)
    font = SoundFont(soundfonts.checked(soundfonts.packaged()))
    whole = SimpleNamespace(part=lambda notes: Path(soundfonts.packaged()).read_bytes())
    for seed, style in enumerate(("reel", "rock", "jazz")):
        arrangement = arrange(a_tune(), np.random.default_rng(seed), clip_s=6.0, style=style)
        settings = {"clip_s": 6.0, "sample_rate": 32_000}
        wave, rate = synth.render(arrangement, font, **settings)
        assert wave.shape == (6 * rate,) and wave.dtype == np.float32 and np.isfinite(wave).all()
        again, everything = (synth.render(arrangement, source, **settings)[0] for source in (font, whole))
        assert np.array_equal(wave, again) and np.abs(wave - everything).max() < 1e-6


@with_tinysoundfont
def test_both_renderers_sound_alike(monkeypatch):
    font, levels = SoundFont(soundfonts.checked(soundfonts.packaged())), []
    for renderer in ("midirenderer", "tinysoundfont"):
        monkeypatch.setattr(synth, "renderer", lambda name=renderer: name)
        arrangement = arrange(a_tune(), np.random.default_rng(1), clip_s=6.0, style="rock")
        wave, rate = synth.render(arrangement, font, clip_s=6.0, sample_rate=32_000)
        _, _, power = signal.spectrogram(wave / wave.std(), rate, nperseg=rate // 20, noverlap=0)
        bands = np.add.reduceat(power, np.unique(np.geomspace(1, 400, 30).astype(int)), axis=0)  # to 8 kHz
        levels.append(np.log(bands + 1e-6)[:, :118])
    assert np.corrcoef(*(level.ravel() for level in levels))[0, 1] > 0.85
    assert np.corrcoef(levels[0].ravel(), np.roll(levels[1], 3, axis=1).ravel())[0, 1] < 0.7


def test_a_soundfont_that_is_damaged_or_lacks_an_instrument_is_refused(tmp_path):
    file = Path(soundfonts.packaged()).read_bytes()
    (tmp_path / "cut.sf2").write_bytes(file[:5000])
    with pytest.raises(DataError, match="cut.sf2 is a damaged SoundFont"):
        SoundFont(tmp_path / "cut.sf2")
    notes = np.array([[0.0, 1.0, 60.0, 90.0]])
    font = SoundFont(Path(soundfonts.packaged()))
    assert font.part([(soundfonts.DRUMS, 99, notes)]) == font.part([(soundfonts.DRUMS, 0, notes)])
    with pytest.raises(excerpt.Unfit, match="no program 5 in bank 90"):
        font.part([(90, 5, notes)])
