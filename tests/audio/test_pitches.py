"""Pitches of tones, on the grid of the log-mel frames."""

import numpy as np
import pytest
import soundfile
import torch

from slapkit.audio import features
from slapkit.audio.frontend import FRONTENDS, make_transform
from slapkit.audio.pitches import MIDI, STEP
from slapkit.errors import ConfigError

WITH = FRONTENDS["musicnn"].replace(pitches=True)


def tone(*midi, seconds=10.0, partials=1):
    time = np.arange(round(seconds * 16000)) / 16000
    parts = [
        np.sin(2 * np.pi * k * 440 * 2 ** ((m - 69) / 12) * time) / k for m in midi for k in range(1, partials + 1)
    ]
    return 0.1 * np.sum(parts, axis=0, dtype=np.float32)


@pytest.mark.parametrize("midi", [45, 57, 60, 71, 86])
def test_a_rich_tone_is_its_own_pitch(midi):
    found = make_transform(WITH)(torch.from_numpy(tone(midi, partials=6))[None])[0, 40:-40, 96:]
    assert (found.argmax(1) == MIDI.index(midi)).all() and (found.norm(dim=1) - 1).abs().max() < 1e-5
    assert found.mean(0)[MIDI.index(midi)] > 0.9


def test_a_chord_is_its_tones_and_silence_is_nothing():
    wave = np.concatenate([tone(60, 63, 67), np.zeros(160_000, np.float32)])
    found = make_transform(WITH)(torch.from_numpy(wave)[None])[0, :, 96:]
    assert sorted(found[300].topk(3).indices.tolist()) == [MIDI.index(m) for m in (60, 63, 67)]
    assert not found[-200:].any()


def test_bands_stay_as_they_are_and_neighbours_do_not_matter():
    waves = torch.from_numpy(np.stack([tone(60), tone(64, partials=4)]))
    both, alone = make_transform(WITH)(waves), make_transform(WITH)(waves[1:])
    assert both.shape == (2, WITH.frames(10), WITH.width) == (2, 626, 164)
    assert torch.equal(both[1], alone[0])
    assert torch.equal(both[..., :96], make_transform(WITH.replace(pitches=False))(waves))


def test_a_window_of_a_file_has_the_pitches_of_the_whole(tmp_path):
    scale = np.concatenate([tone(m, seconds=0.6, partials=3) for m in range(50, 90)])
    soundfile.write(tmp_path / "scale.wav", scale, 16000, subtype="FLOAT")
    whole = features.extract(tmp_path / "scale.wav", WITH)
    for place in (0.13, 0.5, 0.77):
        place = int(place * features.PLACES)
        start = place * (len(whole) - 200 + 1) // features.PLACES
        part = features.window(tmp_path / "scale.wav", WITH, 200, place, name="scale")
        np.testing.assert_allclose(part[:, 96:], whole[start : start + 200, 96:], atol=2e-3)
    assert (whole[:STEP, 96:] == whole[0, 96:]).all()


def test_waves_have_no_pitches():
    with pytest.raises(ConfigError, match="pitches"):
        FRONTENDS["light"].replace(kind="wave", n_mels=64, pitches=True)
    assert "pitches" not in FRONTENDS["light"].to_dict() and WITH.from_dict(WITH.to_dict()) == WITH
