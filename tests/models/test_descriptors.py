"""Rhythm and tonality: known tempi and keys, and slow sums for oracles."""

import numpy as np
import pytest
import torch

from slapkit.audio.frontend import FRONTENDS, make_transform
from slapkit.data.scores.score import find_key
from slapkit.errors import ConfigError
from slapkit.models.encoders import AudioEncoderConfig, build_audio_encoder, descriptors
from slapkit.models.encoders.descriptors import RHYTHM, TEMPI, TONALITY, rhythm, tonality

FRONT = FRONTENDS["musicnn"].replace(chroma=True)


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


def test_tonality_of_given_chroma_is_that_of_the_score():
    rng = np.random.default_rng(0)
    for _ in range(50):
        pitch, length = rng.integers(40, 90, 30), rng.uniform(0.2, 2, 30)
        chroma = np.bincount(pitch % 12, weights=length, minlength=12)
        major, minor, difference, *own = tonality(torch.from_numpy(chroma)[None, None])[0].tolist()
        tonic, mode, margin = find_key(pitch, length)
        assert (mode == "major") == (difference > 0)
        assert abs(difference) == pytest.approx(margin, abs=1e-4) and difference == pytest.approx(major - minor)
        assert own[0] == pytest.approx(((chroma - chroma.mean()) / chroma.std())[tonic], abs=1e-4)


def test_windows_do_not_touch_one_another_and_silence_is_finite():
    mel, chroma = features(clicks(120))
    two, silent = torch.cat([mel, mel.flip(1)]), torch.full_like(mel, -100.0)
    assert rhythm(two, FRONT.hop_s).shape == (2, RHYTHM) and tonality(chroma).shape == (1, TONALITY)
    assert torch.allclose(rhythm(two, FRONT.hop_s)[:1], rhythm(mel, FRONT.hop_s), atol=1e-5)
    assert rhythm(silent, FRONT.hop_s).isfinite().all() and tonality(torch.zeros_like(chroma)).isfinite().all()


def test_the_encoder_adds_what_its_configuration_asks_for():
    config = AudioEncoderConfig(kind="musicnn", frontend=FRONT, rhythm=True, window_s=10.0, frozen=True)
    mel, chroma = features(clicks(120))
    both = build_audio_encoder(config, weights=False)
    h = both.raw(torch.cat([mel, chroma], 2))
    plain = build_audio_encoder(config.replace(frontend=FRONTENDS["musicnn"], rhythm=False), weights=False)
    plain.load_state_dict({k: v for k, v in both.state_dict().items() if not k.startswith("h_")}, strict=False)
    assert torch.allclose(h, torch.cat([plain.raw(mel), rhythm(mel, FRONT.hop_s), tonality(chroma)], 1))
    assert both.dim == plain.dim + RHYTHM + TONALITY == h.shape[1]
    for name, tags in plain.tags(plain.raw(mel)).items():
        assert torch.equal(both.tags(h)[name], tags)
    assert "rhythm" not in AudioEncoderConfig().to_dict() and AudioEncoderConfig.from_dict(config.to_dict()) == config


def test_other_encoders_refuse_descriptors():
    for values in ({"rhythm": True}, {"frontend": FRONTENDS["light"].replace(chroma=True)}):
        with pytest.raises(ConfigError, match="musicnn"):
            AudioEncoderConfig(**values)
