"""The same music in two splits is found, by file and by audio; other music is not."""

import numpy as np
import pytest
import soundfile

from slapkit.data import AudioTextDataset, Clip
from slapkit.data.leakage import Member, check


@pytest.fixture
def dataset(tmp_path):
    """A function that makes a data set of files that are there, with their splits."""

    def made(splits, groups=None):
        clips = [Clip(id, tmp_path / id, (), {}, split, (groups or {}).get(id, id)) for id, split in splits.items()]
        return AudioTextDataset(tmp_path, clips, name="set")

    return made


def noise(seed, length=800):
    """Noise of 16 bits, which WAV and FLAC both keep exactly."""
    return np.random.default_rng(seed).integers(-3000, 3000, length).astype(np.int16)


def write(path, samples, rate=8000, **options):
    soundfile.write(path, samples, rate, **options)


def test_equal_files_and_equal_audio_across_splits(dataset, tmp_path):
    for name, seed in (("a", 1), ("b", 2), ("c", 3), ("d", 4), ("e", 5)):
        write(tmp_path / f"{name}.wav", noise(seed))
    (tmp_path / "a-copy.wav").write_bytes((tmp_path / "a.wav").read_bytes())
    write(tmp_path / "b.flac", noise(2))
    write(tmp_path / "c-24.wav", noise(3), subtype="PCM_16", format="WAVEX")
    write(tmp_path / "d-stereo.flac", np.stack([noise(4), noise(4)], axis=1))
    write(tmp_path / "f.wav", noise(5, 801))  # another length, but begins alike
    write(tmp_path / "g.wav", noise(5), 16000)  # another rate
    splits = {"a.wav": "train", "a-copy.wav": "test", "b.wav": "train", "b.flac": "validation", "c.wav": "test"}
    splits |= {"c-24.wav": "train", "d.wav": "train", "d-stereo.flac": "test", "e.wav": "train", "f.wav": "test"}
    found = check(dataset(splits | {"g.wav": "test"}), progress=False)
    files, sounds = ([{member.id for member in members} for members in same] for same in (found.files, found.sounds))
    assert files == [{"a.wav", "a-copy.wav"}]
    assert sounds == [{"b.wav", "b.flac"}, {"c.wav", "c-24.wav"}, {"d.wav", "d-stereo.flac"}]
    assert not found.clean and not found.unreadable and found.parts == {"train": 5, "validation": 1, "test": 5}
    assert "a-copy.wav" in found.describe()


def test_undecodable_files_are_reported(dataset, tmp_path):
    write(tmp_path / "a.wav", noise(1))
    (tmp_path / "b.wav").write_bytes(b"no audio")
    write(tmp_path / "c.flac", noise(2, 40_000))
    write(tmp_path / "d.wav", noise(3, 40_000))
    (tmp_path / "c.flac").write_bytes((tmp_path / "c.flac").read_bytes()[:-20_000])
    found = check(dataset({"a.wav": "train", "b.wav": "test", "c.flac": "test", "d.wav": "train"}), progress=False)
    assert found.clean and set(found.unreadable) == {Member("test", "b.wav"), Member("test", "c.flac")}


def test_different_data_sets_are_compared_by_name(dataset, tmp_path):
    (tmp_path / "other").mkdir()
    write(tmp_path / "a.wav", noise(1))
    write(tmp_path / "b.flac", noise(1))
    both = {"corpus": dataset({"a.wav": "train"}), "benchmark": dataset({"b.flac": "test"})}
    found = check(both, progress=False)
    assert found.sounds[0] == (Member("corpus", "a.wav"), Member("benchmark", "b.flac"))
    write(tmp_path / "other" / "a.wav", noise(2))
    other = AudioTextDataset(tmp_path / "other", [Clip("a.wav", tmp_path / "other" / "a.wav", (), group="a.wav")])
    found = check({"corpus": both["corpus"], "other": other}, progress=False)
    assert found.clean and not found.groups, "names of files are no groups"


def test_repetitions_within_a_split_groups_and_clips_without_a_split(dataset, tmp_path):
    for name, seed in (("a.wav", 0), ("a.flac", 0), ("b.wav", 1), ("c.wav", 2), ("d.wav", 0)):
        write(tmp_path / name, noise(seed))
    splits = {"a.wav": "train", "a.flac": "train", "b.wav": "test", "c.wav": "test", "d.wav": None}
    groups = {"a.wav": "artist 1", "b.wav": "artist 1", "c.wav": "artist 2", "d.wav": "artist 2"}
    found = check(dataset(splits, groups), progress=False)
    assert found.clean and found.inside == {"train": 1, "test": 0} and found.groups == ["artist 1"]
    again = check(dataset({"a.wav": "test", "b.wav": "shift"}, groups), progress=False)
    assert again.groups == [], "nothing is trained on either"
    assert "artist 1" in found.describe()
