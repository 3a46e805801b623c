"""Descriptors: known tempi, keys and intervals, and slow sums for oracles."""

import numpy as np
import pytest
import torch

from slapkit.audio.frontend import FRONTENDS, make_transform
from slapkit.audio.pitches import MIDI, STEP
from slapkit.data.scores.score import find_key
from slapkit.models.encoders import AudioEncoderConfig, build_audio_encoder, descriptors
from slapkit.models.encoders.descriptors import DESCRIPTORS, TEMPI, describe, rhythm, texture, timbre, tonality

FRONT = FRONTENDS["musicnn"].replace(pitches=True)


def features(wave):
    found = make_transform(FRONT)(torch.from_numpy(np.asarray(wave, np.float32))[None])
    return found[..., :96], found[..., 96:]


def clicks(bpm, seed=0):
    wave, rng = np.zeros(160_000), np.random.default_rng(seed)
    for start in np.arange(0, 9.9, 60 / bpm):
        burst = rng.standard_normal(800) * np.exp(-np.arange(800) / 200)
        wave[int(start * 16000) : int(start * 16000) + 800] += 0.3 * burst[: len(wave) - int(start * 16000)]
    return wave + 1e-4 * rng.standard_normal(len(wave))


@pytest.mark.parametrize("bpm", [60, 92, 140, 200])
def test_the_tempogram_peaks_at_the_tempo(bpm):
    found = rhythm(features(clicks(bpm))[0], FRONT.hop_s)[0, : len(TEMPI)].numpy()
    near = lambda tempo: found[np.abs(np.log2(np.array(TEMPI) / tempo)).argmin()]  # noqa: E731
    assert near(bpm) > 0.5 and near(bpm) > 3 * near(bpm * 1.3)
    fastest = np.flatnonzero(found > 0.75 * found.max())[-1]  # two beats, three ... repeat as well
    assert fastest == pytest.approx(np.log2(bpm / 30) * 48 / 3.5, abs=2)


def test_rhythm_by_slow_sums():
    mel, hop_s = features(clicks(110))[0], FRONT.hop_s
    x = mel[0].double().numpy()
    x = np.maximum(x, x.max() - descriptors.RANGE_DB)
    rise = np.maximum(np.diff(x, axis=0), 0)[:, 24:60].mean(1)
    padded = np.pad(rise, 31)
    novelty = np.maximum([rise[t] - padded[t : t + 63].sum() / 63 for t in range(len(rise))], 0)
    novelty = np.convolve(novelty, np.ones(5) / 5, "same")
    lag = 60 / TEMPI[20] / hop_s
    at = [np.mean([novelty[t] * novelty[t + k] for t in range(len(novelty) - k)]) for k in (0, int(lag), int(lag) + 1)]
    expected = (at[1] + (lag - int(lag)) * (at[2] - at[1])) / at[0]
    found = rhythm(mel, hop_s)[0].reshape(4, -1)[2]
    assert found[20] == pytest.approx(expected, abs=1e-4)
    assert found[-3:].tolist() == pytest.approx(
        [novelty.mean(), novelty.std(), (novelty > novelty.std()).mean()], rel=1e-3
    )


def chords(*triads):
    time = np.arange(160_000 // len(triads)) / 16000
    return np.concatenate([sum(np.sin(2 * np.pi * 440 * 2 ** ((m - 69) / 12) * time) for m in t) for t in triads]) / 10


@pytest.mark.parametrize("up", range(0, 12, 5))
def test_modes_are_told_in_every_key(up):
    major = [(60, 64, 67), (65, 69, 72), (67, 71, 74), (60, 64, 67)]
    minor = [(60, 63, 67), (65, 68, 72), (67, 70, 74), (60, 63, 67)]
    found = [tonality(features(chords(*(tuple(n + up for n in t) for t in c)))[1])[0] for c in (major, minor)]
    assert found[0][2] > 0.1 and found[1][2] < -0.1
    for one, profile in zip(found, (descriptors._MAJOR, descriptors._MINOR)):
        assert np.corrcoef(one[3:], profile)[0, 1] > 0.8  # the tonic stands first


def test_tonality_of_given_pitches_is_that_of_the_score():
    rng = np.random.default_rng(0)
    for _ in range(50):
        pitch, length = rng.integers(40, 90, 30), rng.uniform(0.2, 2, 30)
        pitches = np.bincount(pitch - MIDI[0], weights=length, minlength=len(MIDI))
        classes = np.bincount(pitch % 12, weights=length, minlength=12)
        major, minor, difference, *own = tonality(torch.from_numpy(pitches)[None, None])[0].tolist()
        tonic, mode, margin = find_key(pitch, length)
        assert (mode == "major") == (difference > 0)
        assert abs(difference) == pytest.approx(margin, abs=1e-4) and difference == pytest.approx(major - minor)
        assert own[0] == pytest.approx(((classes - classes.mean()) / classes.std())[tonic], abs=1e-4)


def test_texture_hears_intervals():
    octave, fifths = (texture(features(chords(tones))[1])[0] for tones in ((55, 67), (50, 57, 64)))
    assert octave.argmax() == 11 and octave[11] > 0.3 > 4 * octave[[5, 8, 17]].max()
    assert fifths.argmax() == 6 and fifths[13] > 4 * fifths[11]
    pitches = torch.rand(1, 50 * STEP, len(MIDI), generator=torch.Generator().manual_seed(0)).double()
    x, found = pitches[0, ::STEP].numpy(), texture(pitches)[0].numpy()
    assert found[6] == pytest.approx(np.mean([sum(x[t, i] * x[t, i + 7] for i in range(61)) for t in range(50)]))


def test_timbre_is_in_db_below_the_loudest():
    mel = features(clicks(120))[0]
    x = np.maximum(mel[0].numpy() - mel.max().item(), -80)
    expected = np.concatenate([x.mean(0), x.std(0), np.abs(np.diff(x, axis=0)).mean(0)])
    np.testing.assert_allclose(timbre(mel)[0], expected, atol=1e-3)
    assert torch.allclose(timbre(mel), timbre(mel - 12), atol=1e-3)


def test_windows_do_not_touch_one_another_and_silence_is_finite():
    mel, pitches = features(clicks(120))
    two = describe(torch.cat([mel, mel.flip(1)]), torch.cat([pitches, pitches.flip(1)]), FRONT.hop_s)
    one = describe(mel, pitches, FRONT.hop_s)
    assert torch.allclose(two[:1], one, atol=1e-5) and one.shape == (1, sum(w for w, _ in DESCRIPTORS.values()))
    assert describe(torch.full_like(mel, -100.0), torch.zeros_like(pitches), FRONT.hop_s).isfinite().all()
    assert describe(mel[:, :40], pitches[:, :40], FRONT.hop_s).isfinite().all()


def test_the_encoder_adds_descriptors_of_pitches():
    config = AudioEncoderConfig(kind="musicnn", frontend=FRONT, window_s=10.0, frozen=True)
    mel, pitches = features(clicks(120))
    both = build_audio_encoder(config, weights=False)
    h = both.raw(torch.cat([mel, pitches], 2))
    plain = build_audio_encoder(config.replace(frontend=FRONTENDS["musicnn"]), weights=False)
    plain.load_state_dict({k: v for k, v in both.state_dict().items() if not k.startswith("h_")}, strict=False)
    assert torch.allclose(h, torch.cat([plain.raw(mel), describe(mel, pitches, FRONT.hop_s)], 1))
    assert both.dim == h.shape[1] and both.h_weight[-1] == DESCRIPTORS["texture"][1]
    for name, tags in plain.tags(plain.raw(mel)).items():
        assert torch.equal(both.tags(h)[name], tags)
    assert AudioEncoderConfig.from_dict(config.to_dict()) == config
