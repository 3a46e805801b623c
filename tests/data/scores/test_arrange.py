"""Arrangements are playable, varied and seeded; what is rendered is audible, and as long and loud as it should be."""

import numpy as np
import pytest
import symusic

from slapkit.data.scores import excerpt, render
from slapkit.data.scores.arrange import TEMPI, arrange
from slapkit.data.scores.score import Score, from_midi
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


def tone(seconds: float = 1.0) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * 48_000)) / 48_000)).astype(np.float32)


def test_a_rendered_clip_is_as_long_and_loud_as_it_should_be():
    font = render.find_soundfont(None).read_bytes()
    arrangement = arrange(a_tune(), np.random.default_rng(3), clip_s=6.0, style="reel")
    wave = render.render(arrangement, font, clip_s=6.0)
    assert wave.shape == (6 * 48_000,) and wave.dtype == np.float32
    level, peak = 10 * np.log10(np.mean(wave**2)), 20 * np.log10(np.abs(wave).max())
    assert peak <= -0.99 and (abs(level + 20) < 0.1 or (abs(peak + 1) < 0.1 and level < -20))
    assert np.array_equal(wave, render.render(arrangement, font, clip_s=6.0))
